"""Makes the secrets of deploy/compose.yaml, each once: `init.py FOLDER`.

Below the folder there is one per reader: kohort, client, database, objects,
grafana. Each file belongs to the user who reads it and to nobody else.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import secrets
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.identities import create_token
from server.lineage import load_key
from server.signing import ensure_signing_key

KOHORT, POSTGRES, SEAWEED, GRAFANA, ROOT = 10001, 999, 1000, 472, 0
"""The users of the images."""
NAMES = ("kohort", "server", "localhost")
DAYS = 825
"""What clients take at most of a certificate."""
ROLES = ("trainer", "generator", "custodian")


def main(folder: Path) -> int:
    """Makes what is missing; what is there stays. Returns 0."""
    folders = {name: folder / name for name in ("kohort", "client", "database", "objects", "grafana")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    # Last of all: where it is, all is there.
    done = folders["kohort"] / "complete"
    if done.exists():
        return 0
    own, client = folders["kohort"], folders["client"]
    ensure_signing_key(own / "signing.pem")
    if not (own / "patients").exists():
        load_key(own / "patients")
    password = secrets.token_urlsafe(32)
    _write(folders["database"] / "password", password, POSTGRES)
    _write(own / "pgpass", f"*:*:*:*:{password}\n", KOHORT)
    access, secret = secrets.token_hex(10), secrets.token_urlsafe(32)
    _write(
        own / "objects.ini",
        f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n",
        KOHORT,
    )
    identity = {
        "name": "kohort",
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": [f"{action}:kohort" for action in ("Read", "Write", "List", "Tagging")],
    }
    _write(folders["objects"] / "s3.json", json.dumps({"identities": [identity]}), SEAWEED)
    _write(folders["grafana"] / "password", secrets.token_urlsafe(16), GRAFANA)
    authority, chain, key = _certificates()
    _write(client / "ca.pem", authority, ROOT)
    _write(own / "server.pem", chain, KOHORT)
    _write(own / "server.key", key, KOHORT)
    (own / "tokens.json").unlink(missing_ok=True)
    _write(client / "token", create_token(own / "tokens.json", "local", "first", ROLES, None), ROOT)
    for name in ("signing.pem", "patients", "tokens.json"):
        _give(own / name, KOHORT)
    _write(done, "", KOHORT)
    return 0


def _write(path: Path, text: str, reader: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    _give(path, reader)


def _give(path: Path, reader: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, reader, reader)


def _certificates() -> tuple[str, str, str]:
    """A certificate authority of this installation, and the server's certificate and key, in PEM.

    The authority's key is not kept: nothing else can be signed with it.
    """
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kohort, this installation")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=DAYS))
        )

    authority = (
        builder(issuer, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [*map(x509.DNSName, NAMES), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])]), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (authority.public_bytes(pem).decode(), certificate.public_bytes(pem).decode(), private.decode())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
