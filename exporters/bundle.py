"""Writes bundles: equal contents give equal bytes."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kohort.bundle import CARD, MANIFEST, SIGNATURE, read_bundle
from kohort.manifest import Manifest
from kohort.signatures import sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The earliest time that a zip can hold: a bundle says when it was made in its lineage.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Written:
    """A bundle that was written."""

    manifest: Manifest
    """The manifest with its files."""
    digest: bytes
    """SHA-256 of the file."""
    size: int
    """Bytes of the file."""

    @property
    def content_digest(self) -> bytes:
        """See `Manifest.content_digest`."""
        return self.manifest.content_digest


def write_bundle(
    path: str | Path,
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    card: str,
    signing_key: Ed25519PrivateKey | None = None,
) -> Written:
    """Writes a bundle so that it is there as a whole or not at all.

    Args:
        path: where to; replaced if it is there.
        manifest: everything but `files`, which is filled in here.
        graphs: ONNX graphs by file name, such as "graphs/main.onnx".
        card: the model card, Markdown.
        signing_key: signs the manifest.

    Raises:
        Problem: as `kohort.bundle.read_bundle`, which reads the bytes before
            they reach the path: what nobody could load is not written.
        OSError: the file cannot be written.
    """
    manifest, data = pack(manifest, graphs, card, signing_key)
    read_bundle(data, max_bytes=len(data))
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return Written(manifest, hashlib.sha256(data).digest(), len(data))


def pack(
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    card: str,
    signing_key: Ed25519PrivateKey | None = None,
) -> tuple[Manifest, bytes]:
    """The manifest with its files, and the bytes of the bundle; nothing is checked."""
    files = {CARD: card.encode(), **graphs}
    manifest = replace(manifest, files={name: _entry(data) for name, data in files.items()})
    members = {MANIFEST: manifest.to_bytes(), **files}
    if signing_key is not None:
        members[SIGNATURE] = sign(members[MANIFEST], signing_key)
    return manifest, zip_stored(members)


def zip_stored(members: Mapping[str, bytes]) -> bytes:
    """A zip of stored members in the order of their names, without times or owners."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3  # Unix, wherever it is written
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name])
    return buffer.getvalue()


def load_signing_key(pem: bytes) -> Ed25519PrivateKey:
    """The key of an unencrypted PKCS #8 PEM file. Raises ValueError when it is no Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key is no Ed25519 key")  # noqa: TRY004 (a wrong file, not a wrong type)
    return key


def _entry(data: bytes) -> dict[str, str | int]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
