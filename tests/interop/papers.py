"""Certificates of a server and of those who call it, as PEM files."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tests.authority import LOOPBACK, Authority

LAB, NOBODY = "spiffe://hospital/lab", "spiffe://hospital/nobody"


class Papers:
    """What an authority issued, in a folder: `server`, `lab`, `nobody` and, by another one, `stranger`.

    Attributes:
        ca: the authority.
        other_ca: one that issued nothing to the server.
    """

    def __init__(self, folder: Path) -> None:
        authority, other = Authority("hospital"), Authority("stranger")
        self._folder = folder
        self.ca = self._store("ca.pem", authority.pem)
        self.other_ca = self._store("other.pem", other.pem)
        self._issue("server", authority, LOOPBACK)
        self._issue("lab", authority, x509.UniformResourceIdentifier(LAB))
        self._issue("nobody", authority, x509.UniformResourceIdentifier(NOBODY))
        self._issue("stranger", other, x509.UniformResourceIdentifier(LAB))

    def _issue(self, name: str, authority: Authority, san: x509.GeneralName) -> None:
        key, chain = authority.issue(name, san)
        self._store(f"{name}.key", key)
        self._store(f"{name}.pem", chain)

    def _store(self, name: str, data: bytes) -> Path:
        (self._folder / name).write_bytes(data)
        return self._folder / name

    def key(self, name: str) -> Path:
        """A private key."""
        return self._folder / f"{name}.key"

    def certificate(self, name: str) -> Path:
        """The certificate of that key."""
        return self._folder / f"{name}.pem"

    def client(self, name: str) -> dict[str, Path]:
        """The variables of a driver that shows this certificate."""
        return {"ca": self.ca, "cert": self.certificate(name), "key": self.key(name)}

    def reach(self, transport: str) -> dict[str, Path]:
        """The variables of a driver that is let in by plain, tls or mtls."""
        return {"plain": {}, "tls": {"ca": self.ca}, "mtls": self.client("lab")}[transport]
