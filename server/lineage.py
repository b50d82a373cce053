"""Keyed hashes of patients: what a tombstone keeps to answer "was this patient in it?".

A hash is HMAC-SHA256 under a key of this server over tenant and subject key,
so nobody without the key can try identifiers, and one patient hashes equally in
every dataset of a tenant.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.store.deployment import DeploymentStore

HASH_BYTES = 32
_KEY_BYTES = 32


def load_key(path: Path) -> bytes:
    """The key in a file that others may not read; made where there is none.

    Raises:
        PermissionError: all users may read the file, or others than its owner may write to it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # of two that make one at once, both use the first
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    # Its group may read it: so Kubernetes gives a secret to a user other than root.
    if path.stat().st_mode & 0o037:
        raise PermissionError("the patient hash key must not be open to other users (chmod 600)")
    return path.read_bytes()


def settle_key(path: Path, store: DeploymentStore, *, make: bool) -> None:
    """Sees to it that all machines of a deployment hash and split with one key.

    The first start notes a fingerprint of the key in the database. With another
    key a worker would learn from patients that a server counts as held out.

    Args:
        path: the key's file.
        store: where the fingerprint is.
        make: whether a key may be made where the deployment has none yet.

    Raises:
        ValueError: the key is missing, cannot be read, or is not the deployment's.
        Problem: the database does not answer.
    """
    known = store.patient_key()
    missing = not path.exists()
    if missing and (known is not None or not make):
        raise ValueError("patient_key_file is missing: copy it from another machine of this deployment")
    try:
        key = load_key(path)
    except OSError as error:
        raise ValueError(f"patient_key_file: {error.strerror or error}") from error
    own = hmac.new(key, b"fingerprint", hashlib.sha256).hexdigest()
    if (known or store.settle_patient_key(own)) != own:
        if missing:  # of two that made one at once, this is the second
            path.unlink(missing_ok=True)  # another of this machine may have done so
        raise ValueError("patient_key_file holds another key than the other machines of this deployment use")


def patient_hashes(key: bytes, tenant: str, patients: Iterable[str]) -> bytes:
    """The hashes of distinct patients, sorted and joined, so that their order tells nothing."""
    keyed, hashes = hmac.new(key, tenant.encode() + b"\0", hashlib.sha256), set()
    for patient in patients:
        # A copy of what has taken the key in is nearly three times as fast as a fresh one.
        own = keyed.copy()
        own.update(patient.encode())
        hashes.add(own.digest())
    return b"".join(sorted(hashes))


def split_salt(key: bytes, dataset_digest: bytes) -> bytes:
    """The salt of a dataset's split into train, validation and hold-out.

    One dataset is split in one way on this server, so that models of it can be
    compared; without the key nobody can tell on which side a patient was.
    """
    return hmac.new(key, b"split\0" + dataset_digest, hashlib.sha256).digest()


def holds(hashes: bytes, key: bytes, tenant: str, patient: str) -> bool:
    """Whether a patient is among `patient_hashes`."""
    wanted = patient_hashes(key, tenant, [patient])
    low, high = 0, len(hashes) // HASH_BYTES
    while low < high:
        middle = (low + high) // 2
        if hashes[middle * HASH_BYTES : (middle + 1) * HASH_BYTES] < wanted:
            low = middle + 1
        else:
            high = middle
    return hashes[low * HASH_BYTES : (low + 1) * HASH_BYTES] == wanted
