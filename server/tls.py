"""Transport security: certificates by file, read again at the next handshake after they change."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from server.settings import Settings

_log = structlog.get_logger(log="tls")


@dataclass(frozen=True)
class Material:
    """One consistent set: a key, its certificate chain, and the authorities of clients."""

    key: bytes
    chain: bytes
    client_ca: bytes | None
    expires: float
    """When the certificate ends, Unix seconds."""


def read(key: Path, chain: Path, client_ca: Path | None) -> Material:
    """Reads and checks a set. Raises ValueError unless key and certificate belong together, OSError."""
    material = (key.read_bytes(), chain.read_bytes(), client_ca.read_bytes() if client_ca else None)
    try:
        certificate = x509.load_pem_x509_certificates(material[1])[0]
        private = serialization.load_pem_private_key(material[0], None)
        if material[2] is not None:
            x509.load_pem_x509_certificates(material[2])
    except (ValueError, TypeError, IndexError, UnsupportedAlgorithm) as error:
        raise ValueError("tls_certificate, tls_key or tls_client_ca is no PEM file of its kind") from error
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*spki) != certificate.public_key().public_bytes(*spki):
        raise ValueError("tls_key is not the key of tls_certificate")
    return Material(*material, certificate.not_valid_after_utc.timestamp())


class Certificate:
    """The server's certificate, kept up to date.

    gRPC asks `fetch` on a thread of its own at each handshake. A half-written
    set of files is ignored until it is whole.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.tls_key is not None
        assert settings.tls_certificate is not None
        self._files = (settings.tls_key, settings.tls_certificate, settings.tls_client_ca)
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self._material = read(*self._files)

    @property
    def expires(self) -> float:
        """When the certificate in use ends, Unix seconds."""
        return self._material.expires

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for `add_secure_port` that follow the files."""
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self.fetch,  # type: ignore[arg-type]  # None means unchanged; the stubs do not know
            require_client_authentication=self._files[2] is not None,
        )
        return credentials

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """A new configuration, or None when nothing changed."""
        with self._lock:
            try:
                stamp = self._stat()
                if stamp == self._stamp:
                    return None
                material = read(*self._files)
            except (OSError, ValueError):
                _log.error("certificate unreadable, keeping the old one")
                return None
            self._stamp = stamp
            if material == self._material:
                return None
            self._material = material
        _log.info("certificate replaced", sha256=hashlib.sha256(material.chain).hexdigest()[:16])
        return self._configuration()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        material = self._material
        return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.client_ca)

    def _stat(self) -> tuple[tuple[int, int, int], ...]:
        # Seconds alone would miss a second change; renaming a new file over the old changes the inode.
        status = [path.stat() for path in self._files if path]
        return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in status)
