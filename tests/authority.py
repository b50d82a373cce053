"""A certificate authority for tests of TLS."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
YESTERDAY, NEXT_MONTH = datetime.timedelta(days=-1), datetime.timedelta(days=30)


@dataclass
class Authority:
    """A certificate authority of a test."""

    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.name, self.key.public_key(), [], ca=True)

    def issue(
        self,
        name: str,
        *sans: x509.GeneralName,
        starts: datetime.timedelta = YESTERDAY,
        ends: datetime.timedelta = NEXT_MONTH,
    ) -> tuple[bytes, bytes]:
        """Key and chain in PEM; valid from and to so long after now."""
        key = ec.generate_private_key(ec.SECP256R1())
        return pem_key(key), pem(self._sign(name, key.public_key(), list(sans), starts=starts, ends=ends))

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        sans: list[x509.GeneralName],
        *,
        ca: bool = False,
        starts: datetime.timedelta = YESTERDAY,
        ends: datetime.timedelta = NEXT_MONTH,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return pem(self.certificate)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
