"""gRPC errors → `kohort.errors`, with a hint where the cause is likely the connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from kohort.channel import Endpoint
from kohort.errors import BY_CODE, RpcError
from kohort.problem import Violation

DOMAIN = "kohort"


def from_grpc(error: Any, endpoint: Endpoint, request_id: str) -> RpcError:
    """The exception for a failed call of either of grpc's APIs; the caller chains them."""
    code: str = error.code().name
    text: str = error.details() or ""
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())
    told: dict[str, Any] = {"metadata": {}, "violations": ()}
    ours = False
    try:
        status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    except DecodeError:
        status = status_pb2.Status()
    for detail in status.details:
        ours = _read_detail(detail, told) or ours
    named = told["metadata"].pop("request_id", None)
    told["request_id"] = named or trailers.get("x-request-id") or request_id
    hint = "" if ours else _hint(code, text, endpoint)
    return BY_CODE.get(code, RpcError)(code, status.message or text or code, hint=hint, **told)


def _read_detail(detail: Any, told: dict[str, Any]) -> bool:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    if detail.Unpack(info) and info.domain == DOMAIN:
        told["reason"], told["metadata"] = info.reason, dict(info.metadata)
        return True
    if detail.Unpack(bad):
        told["violations"] = tuple(Violation(v.field, v.description) for v in bad.field_violations)
    elif detail.Unpack(retry):
        told["retry_after"] = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
    return False


_SELF_SIGNED = "The server's certificate is self-signed: give it as TLS(root_certificates=...)."
_TLS_CAUSES: Mapping[str, str] = {
    "certificate has expired": "The server's certificate has expired: renew it on the server.",
    "certificate is not yet valid": "The server's certificate is not valid yet: compare the clocks.",
    "Hostname Verification": "The server's certificate is for another name: connect by the name it "
    "bears, or give it as TLS(server_name=...).",
    "unable to get local issuer": "The server's certificate is signed by an authority that is not "
    "trusted here: give its certificate as TLS(root_certificates=...).",
    "self signed certificate": _SELF_SIGNED,
    "self-signed certificate": _SELF_SIGNED,
    "certificate required": "The server asks for a client certificate: give TLS(certificate=..., key=...).",
    "WRONG_VERSION_NUMBER": "The server speaks plaintext and this client TLS: pass tls=False if that "
    "is meant, or check the port.",
}


def _hint(code: str, text: str, endpoint: Endpoint) -> str:
    """What a person should check. grpc has no codes for these causes, only texts."""
    if code == "UNIMPLEMENTED":
        return (
            f"{endpoint.target} does not know this call: is it the gRPC port of a Kohort server, "
            "and is the server as new as this client?"
        )
    if code != "UNAVAILABLE":
        return ""
    for sign, cause in _TLS_CAUSES.items():
        if sign in text:
            return cause
    if "CERTIFICATE_VERIFY_FAILED" in text or "andshake" in text:
        return f"TLS with {endpoint.target} failed: check the certificates, or whether the server speaks TLS."
    if "http1" in text.lower() or "http/2" in text.lower():
        return f"{endpoint.target} is no gRPC port: the Kohort server listens on 50051 unless told otherwise."
    if "DNS" in text or "name resolution" in text.lower():
        return f"The host of {endpoint.target} was not found."
    if "refused" in text:
        return f"Nothing listens on {endpoint.target}: is the server running, and is this its port?"
    if not endpoint.secure and ("ocket closed" in text or "onnection reset" in text):
        return (
            f"{endpoint.target} closed the connection: it may speak TLS (this client spoke plaintext), "
            "or be no gRPC port."
        )
    return f"{endpoint.target} could not be reached: check the host, the port and the network."
