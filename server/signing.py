"""The keys of bundles: the one this server signs with, and those it trusts."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from server.settings import Settings

_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def ensure_signing_key(path: Path) -> None:
    """Makes an Ed25519 key, readable by its owner alone, where there is none."""
    if path.exists():
        return
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return  # of two that make one at once, both use the first
    finally:
        draft.unlink()


def check_signing_key(path: Path) -> None:
    """Raises ValueError where the file holds no Ed25519 key, or cannot be read."""
    try:
        _raw(load_pem_private_key(path.read_bytes(), None).public_key(), "signing_key_file")
    except OSError as error:
        raise ValueError(f"signing_key_file: {error.strerror}; copy the server's") from error


def own_key(settings: Settings) -> bytes:
    """The raw public key of `signing_key_file`.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    own = load_pem_private_key(settings.signing_key_file.read_bytes(), None).public_key()
    return _raw(own, "signing_key_file")


def trusted_keys(settings: Settings) -> tuple[bytes, ...]:
    """Raw public keys: the server's own and those of `trusted_keys_file`.

    Raises:
        ValueError: a file holds something else.
        OSError: a file cannot be read.
    """
    keys = [own_key(settings)]
    if settings.trusted_keys_file:
        found = _PUBLIC_KEY.findall(settings.trusted_keys_file.read_bytes())
        if not found:
            raise ValueError("trusted_keys_file holds no PEM public key")
        keys += [_raw(load_pem_public_key(pem), "trusted_keys_file") for pem in found]
    return tuple(keys)


def _raw(key: object, file: str) -> bytes:
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    raise ValueError(f"{file} holds a key that is not Ed25519")
