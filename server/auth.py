"""Who may call what: one table over every RPC, deny by default.

A principal is a tenant, a name and roles. It comes from a bearer token or from
the URI of a client certificate that the TLS handshake has verified; on
loopback without either, everybody is the administrator of one tenant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from kohort.problem import Problem
from server.context import Call
from server.identities import ADMIN, CUSTODIAN, GENERATOR, ROLES, TRAINER, Certificates, Tokens
from server.interceptors import Layer
from server.records import JobKind, JobRecord, Principal

_ANYBODY = frozenset(ROLES)
_SAMPLING = frozenset({GENERATOR, TRAINER, CUSTODIAN, ADMIN})
_TRAINING = frozenset({TRAINER, ADMIN})
_HANDLING_DATA = frozenset({TRAINER, CUSTODIAN, ADMIN})
_ANSWERING = frozenset({CUSTODIAN, ADMIN})

PERMISSIONS: Mapping[str, frozenset[str]] = {
    "/kohort.v1.CapabilitiesService/GetCapabilities": _ANYBODY,
    "/kohort.v1.DatasetService/UploadDataset": _HANDLING_DATA,
    "/kohort.v1.DatasetService/InferSchema": _HANDLING_DATA,
    "/kohort.v1.DatasetService/GetDataset": _ANYBODY,
    "/kohort.v1.DatasetService/ListDatasets": _ANYBODY,
    "/kohort.v1.DatasetService/DeleteDataset": _HANDLING_DATA,
    "/kohort.v1.TrainingService/Train": _TRAINING,
    "/kohort.v1.TrainingService/Status": _ANYBODY,
    # A custodian cancels evaluations, see `authorise_cancel`.
    "/kohort.v1.TrainingService/Cancel": _HANDLING_DATA,
    "/kohort.v1.TrainingService/GetJob": _ANYBODY,
    "/kohort.v1.TrainingService/ListJobs": _ANYBODY,
    "/kohort.v1.SamplingService/Sample": _SAMPLING,
    "/kohort.v1.SamplingService/GetModel": _ANYBODY,
    "/kohort.v1.SamplingService/ListModels": _ANYBODY,
    "/kohort.v1.SamplingService/DeleteModel": _HANDLING_DATA,
    # A bundle in the hand is a model outside every control of this server.
    "/kohort.v1.SamplingService/DownloadModel": _HANDLING_DATA,
    "/kohort.v1.SamplingService/ImportModel": _TRAINING,
    # Reports hold statistics of patients; who may ask again and again learns more than one of them says.
    "/kohort.v1.EvaluationService/Evaluate": _ANSWERING,
    "/kohort.v1.EvaluationService/GetReport": _ANSWERING,
    "/kohort.v1.EvaluationService/ListReports": _ANSWERING,
    "/kohort.v1.EvaluationService/DownloadReport": _ANSWERING,
    "/kohort.v1.EvaluationService/DeleteReport": _ANSWERING,
    "/kohort.v1.EvaluationService/GetReleasePolicy": _ANYBODY,
    "/kohort.v1.EvaluationService/UpdateReleasePolicy": _ANSWERING,
    "/kohort.v1.EvaluationService/OverrideRelease": _ANSWERING,
}
"""Method → the roles that may call it. A method that is not here is refused to everybody."""

PUBLIC_SERVICES = frozenset({"grpc.health.v1.Health"})
"""Probes carry no identity."""

REFLECTION_SERVICES = frozenset(
    {"grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"}
)
"""Open to every identity, where the operator switched it on."""

LOCAL = Principal("local", "local", frozenset({ADMIN}))
"""Who everybody is where no identities are configured; `Settings` allows that on loopback only."""


class Auth(Layer):
    """Finds the principal of a call and asks the table.

    Args:
        tokens: bearer tokens, or None.
        certificates: identities of client certificates, or None.
        open_to: who a caller without any identity is; None refuses it.
    """

    def __init__(
        self, tokens: Tokens | None, certificates: Certificates | None, open_to: Principal | None
    ) -> None:
        self._tokens = tokens
        self._certificates = certificates
        self._open_to = open_to

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Sets `call.principal`. Raises Problem UNAUTHENTICATED or PERMISSION_DENIED."""
        if call.service not in PUBLIC_SERVICES:
            call.principal = self.identify(call)
            authorise(call.method, call.principal)
        yield

    def identify(self, call: Call) -> Principal:
        """Who calls. Raises Problem UNAUTHENTICATED without saying why an identity does not hold."""
        scheme, _, token = call.metadata.get("authorization", "").partition(" ")
        if scheme:
            found = self._tokens.find(token.strip()) if self._tokens and scheme.lower() == "bearer" else None
            if found is None and not (self._tokens is None and self._open_to):
                raise Problem("UNAUTHENTICATED", "the token is not known here, or has expired")
            return found or self._required()
        if self._certificates:
            for uri in _peer_uris(call):
                found = self._certificates.find(uri)
                if found:
                    return found
        return self._required()

    def _required(self) -> Principal:
        if self._open_to is None:
            raise Problem("UNAUTHENTICATED", "this server asks for a bearer token or a known certificate")
        return self._open_to


def authorise(method: str, principal: Principal) -> None:
    """Raises Problem PERMISSION_DENIED unless a role of the principal may call the method."""
    if method.split("/")[1] in REFLECTION_SERVICES:
        return
    allowed = PERMISSIONS.get(method, frozenset())
    if not allowed & principal.roles:
        needed = " or ".join(role for role in ROLES if role in allowed)
        raise Problem(
            "PERMISSION_DENIED", f"this call needs the role {needed}" if needed else "nobody may call this"
        )


def authorise_completion(principal: Principal) -> None:
    """Raises Problem PERMISSION_DENIED unless the principal may have rows completed.

    What a model says about a row whose cells are known to the caller can tell
    whether that person was learned from: for those alone who may see the data.
    """
    if not _HANDLING_DATA & principal.roles:
        raise Problem("PERMISSION_DENIED", "partial_rows need the role trainer, custodian or admin")


def authorise_cancel(principal: Principal, job: JobRecord) -> None:
    """Raises Problem PERMISSION_DENIED unless the principal might have started such a job."""
    allowed = _TRAINING if job.spec.kind is JobKind.TRAIN else _ANSWERING
    if not allowed & principal.roles:
        needed = " or ".join(role for role in ROLES if role in allowed)
        raise Problem("PERMISSION_DENIED", f"cancelling this job needs the role {needed}")


def _peer_uris(call: Call) -> list[str]:
    # The common name and DNS names say which machine calls, not who: only URIs count.
    auth = call.context.auth_context()
    names = auth.get("x509_subject_alternative_name", ()) or auth.get("peer_uri", ())
    return [name.decode() for name in names if b"://" in name]
