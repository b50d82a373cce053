"""Signatures of bundles: Ed25519 (RFC 8032) over a digest of the manifest.

The manifest holds the digest of every other file, so it stands for the whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kohort.manifest import canonical_json, invalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_CONTEXT = b"kohort bundle manifest, format 1\n"
_ALGORITHM = "ed25519"


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The bytes of `signature.json` for the bytes of `manifest.json`; equal inputs, equal bytes."""
    return canonical_json(
        {
            "algorithm": _ALGORITHM,
            "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
            "signature": base64.b64encode(key.sign(_message(manifest))).decode(),
        }
    )


def verify(manifest: bytes, signature: bytes, trusted_keys: Iterable[bytes | str]) -> bool:
    """Whether a trusted key signed the manifest.

    Args:
        manifest: the bytes of `manifest.json`.
        signature: the bytes of `signature.json`.
        trusted_keys: raw public keys (32 bytes) or the same as base64.

    Raises:
        Problem: BUNDLE_INVALID when the signature does not hold, whoever made it.
        ValueError: a trusted key is no Ed25519 public key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    trusted = {public_key(key) for key in trusted_keys}
    try:
        value = json.loads(signature)
        if value["algorithm"] != _ALGORITHM:
            raise ValueError
        signer = base64.b64decode(value["public_key"], validate=True)
        signed = base64.b64decode(value["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(signer).verify(signed, _message(manifest))
    except (ValueError, TypeError, KeyError, RecursionError, InvalidSignature):
        raise invalid("signature", "does not hold for this manifest") from None
    return signer in trusted


def public_key(key: bytes | str) -> bytes:
    """32 raw bytes of a public key. Raises ValueError when it is none."""
    try:
        raw = base64.b64decode(key, validate=True) if isinstance(key, str) else key
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise ValueError("a trusted key is neither 32 bytes nor base64 of 32 bytes")
    return raw


def _message(manifest: bytes) -> bytes:
    return _CONTEXT + hashlib.sha256(manifest).digest()
