"""gRPC errors → `kohort.errors`, with a hint where the cause is likely the connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from kohort.channel import Endpoint, answers_here
from kohort.errors import BY_CODE, BY_REASON, RpcError
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
    kind = BY_REASON.get(told.get("reason", "")) or BY_CODE.get(code, RpcError)
    return kind(code, status.message or text or code, hint=hint, **told)


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


# Each names the argument of `kohort.TLS` or `Client` and, in brackets, the option of the command.
_SELF_SIGNED = "The server's certificate is self-signed: give it as root_certificates (--ca)."
_NO_LISTENER = "Nothing listens on {}: is the server running, and is this its port?"
_NO_GRPC = "{} closed the connection: it may speak TLS (this client spoke plaintext), or be no gRPC port."
_TLS_FAILED = (
    "TLS with {} failed: check the authority that signed its certificate (--ca), the name in it "
    "(--server-name), whether the server asks for a client's (--cert, --key), and whether it speaks TLS."
)
_TLS_CAUSES: Mapping[str, str] = {
    "certificate has expired": "The server's certificate has expired: renew it on the server.",
    "certificate is not yet valid": "The server's certificate is not valid yet: compare the clocks.",
    "Hostname Verification": "The server's certificate is for another name: connect by the name it "
    "bears, or give it as server_name (--server-name).",
    "unable to get local issuer": "The server's certificate is signed by an authority that is not "
    "trusted here: give the authority's certificate as root_certificates (--ca).",
    "self signed certificate": _SELF_SIGNED,
    "self-signed certificate": _SELF_SIGNED,
    "certificate required": "The server asks for a client certificate: give certificate and "
    "key (--cert, --key).",
    "WRONG_VERSION_NUMBER": "The server speaks plaintext and this client TLS: pass tls=False (--no-tls) if "
    "that is meant, or check the port.",
}


def _hint(code: str, text: str, endpoint: Endpoint) -> str:
    """What a person should check. grpc has no codes for these causes, only texts."""
    if code == "UNIMPLEMENTED":
        return (
            f"{endpoint.target} does not know this call: is it the gRPC port of a Kohort server, "
            "and is the server as new as this client?"
        )
    if code == "DEADLINE_EXCEEDED":
        return "The timeout of this call (timeout, --timeout) was over; a job that the server has goes on."
    if code != "UNAVAILABLE":
        return ""
    for sign, cause in _TLS_CAUSES.items():
        if sign in text:
            return cause
    if "CERTIFICATE_VERIFY_FAILED" in text or "andshake" in text:
        return _TLS_FAILED.format(endpoint.target)
    if "http1" in text.lower() or "http/2" in text.lower():
        return f"{endpoint.target} is no gRPC port: the Kohort server listens on 50051 unless told otherwise."
    if "DNS" in text or "name resolution" in text.lower():
        return f"The host of {endpoint.target} was not found."
    if "refused" in text:
        # localhost has two addresses, and the text tells of the last one only: what failed may be the other.
        if answers_here(endpoint.target):
            return (_TLS_FAILED if endpoint.secure else _NO_GRPC).format(endpoint.target)
        return _NO_LISTENER.format(endpoint.target)
    if any(sign in text for sign in ("ocket closed", "onnection reset", "roken pipe")):
        if not endpoint.secure:
            return _NO_GRPC.format(endpoint.target)
        return (
            f"{endpoint.target} closed the connection after TLS began: it may ask for a client certificate "
            "(--cert, --key) of an authority that it trusts."
        )
    return f"{endpoint.target} could not be reached: check the host, the port and the network."
