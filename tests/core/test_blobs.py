"""What every blob store keeps, in a directory and in a bucket; patient hashes."""

from __future__ import annotations

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kohort.problem import Problem
from server.blobs import (
    BlobExistsError,
    BlobMissingError,
    BlobPlace,
    BlobStore,
    LocalBlobStore,
    bundle_key,
    dataset_prefix,
    open_blobs,
    put_tree,
    segment,
)
from server.lineage import HASH_BYTES, holds, load_key, patient_hashes


@pytest.fixture
def local(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture(params=["directory", pytest.param("bucket", marks=pytest.mark.slow)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return LocalBlobStore(tmp_path / "blobs")
    place: BlobPlace = request.getfixturevalue("bucket")
    return open_blobs(place, tmp_path / "blobs")


def source(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "source"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def test_what_is_put_can_be_read(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put("models/a/1/bundle", source(tmp_path, b"one"))
    with blobs.open("models/a/1/bundle") as file:
        assert file.read() == b"one"
    assert blobs.size("models/a/1/bundle") == 3
    for missing in ("models/a/1", "models/b", "models/a/1/bundle2"):
        with pytest.raises(BlobMissingError):
            blobs.open(missing)


def test_putting_never_replaces(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put("k", source(tmp_path, b"one"))
    with pytest.raises(BlobExistsError):
        blobs.put("k", source(tmp_path, b"two"))
    with blobs.open("k") as file:
        assert file.read() == b"one"
    assert [blob.key for blob in blobs.list()] == ["k"]


def test_of_two_that_put_at_once_one_wins(blobs: BlobStore, tmp_path: Path) -> None:
    sources = []
    for i in range(8):
        sources.append(tmp_path / f"s{i}")
        sources[-1].write_bytes(bytes([i]) * 100_000)

    def put(path: Path) -> bytes | None:
        try:
            blobs.put("k", path)
        except BlobExistsError:
            return None
        return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        won = [data for data in pool.map(put, sources) if data is not None]
    with blobs.open("k") as file:
        assert [file.read()] == won


def test_only_the_owner_can_read_a_directory(local: LocalBlobStore, tmp_path: Path) -> None:
    path = source(tmp_path, b"x")
    path.chmod(0o644)
    local.put("a/b", path)
    root = tmp_path / "blobs"
    for place in (root, root / "a", root / "a" / "b"):
        assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0


def test_trees(blobs: BlobStore, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"12")
    (folder / "sub" / "b").write_bytes(b"345")
    assert put_tree(blobs, "datasets/t/1", folder) == 5
    put_tree(blobs, "datasets/t/10", folder)
    assert [b.key for b in blobs.list("datasets/t/1")] == ["datasets/t/1/a", "datasets/t/1/sub/b"]
    there = blobs.materialise("datasets/t/1", tmp_path / "scratch")
    assert (there / "sub" / "b").read_bytes() == b"345"
    blobs.delete("datasets/t/1")
    blobs.delete("datasets/t/1")
    assert [b.key for b in blobs.list()] == ["datasets/t/10/a", "datasets/t/10/sub/b"]
    with pytest.raises(BlobMissingError):
        blobs.materialise("datasets/t/1", tmp_path / "scratch")
    blobs.delete("datasets/t/10")
    assert list(blobs.list()) == []


def test_what_is_deleted_leaves_no_folder(local: LocalBlobStore, tmp_path: Path) -> None:
    local.put("datasets/t/10/a", source(tmp_path, b"1"))
    local.delete("datasets/t/10")
    assert [p.name for p in (tmp_path / "blobs").rglob("*")] == [".spool"]


def test_copies_hold_every_byte(blobs: BlobStore, tmp_path: Path) -> None:
    data = np.random.default_rng(1).bytes(9_000_001)
    for key, held in (("a/large", data), ("a/empty", b"")):
        blobs.put(key, source(tmp_path, held))
        assert blobs.size(key) == len(held)
        with blobs.open(key) as file:
            assert file.read() == held
            file.seek(len(held) // 2)
            assert file.read(100) == held[len(held) // 2 :][:100]
            assert file.tell() == len(held[len(held) // 2 :][:100]) + len(held) // 2
    folder = blobs.materialise("a", tmp_path / "scratch" / "deep")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {"large": data, "empty": b""}
    assert {b.key: b.size_bytes for b in blobs.list()} == {"a/large": len(data), "a/empty": 0}
    with pytest.raises(BlobExistsError):
        blobs.put("a/large", source(tmp_path, data[::-1]))
    with blobs.open("a/large") as file:
        assert file.read() == data
    assert sorted(b.key for b in blobs.list()) == ["a/empty", "a/large"]


def test_a_store_that_works_says_nothing(blobs: BlobStore) -> None:
    blobs.check()
    blobs.check(write=True)
    assert list(blobs.list()) == []


def test_a_directory_that_is_gone_is_told(local: LocalBlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs").rename(tmp_path / "away")
    with pytest.raises(Problem) as told:
        local.check()
    assert told.value.reason == "STORE_UNAVAILABLE"


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../x", "a/../b", ".spool/x", "a/.b", "a\0b", "a b", "a\n"]
)
def test_a_key_stays_below_the_root(blobs: BlobStore, tmp_path: Path, key: str) -> None:
    path = source(tmp_path, b"x")
    for call in (lambda: blobs.put(key, path), lambda: blobs.open(key), lambda: blobs.delete(key)):
        with pytest.raises(ValueError, match="blob key"):
            call()


def test_any_tenant_is_one_segment_of_its_own(blobs: BlobStore, tmp_path: Path) -> None:
    tenants = ["a", "A", "a/b", "a%2Fb", "..", ".", "", "%", "ä", "spiffe://x/y", ".spool", "%2E"]
    assert len({segment(t) for t in tenants}) == len(tenants)
    for tenant in tenants:
        blobs.put(bundle_key(tenant, "m", 1), source(tmp_path, tenant.encode()))
    for tenant in tenants:
        with blobs.open(bundle_key(tenant, "m", 1)) as file:
            assert file.read() == tenant.encode()
    assert dataset_prefix("n", "d") == "datasets/n/d"


def test_patient_hashes_are_hmacs_of_tenant_and_patient() -> None:
    hashes = patient_hashes(b"key", "north", ["7", "ä"])
    expected = (hmac.new(b"key", b"north\0" + p.encode(), hashlib.sha256).digest() for p in ("7", "ä"))
    assert hashes == b"".join(sorted(expected))


def test_patient_hashes_answer_only_with_the_key(tmp_path: Path) -> None:
    key = load_key(tmp_path / "keys" / "patients")
    assert load_key(tmp_path / "keys" / "patients") == key
    assert stat.S_IMODE((tmp_path / "keys" / "patients").stat().st_mode) == 0o600
    other = load_key(tmp_path / "other")
    hashes = patient_hashes(key, "north", [str(i) for i in range(100)] + ["7"])
    assert len(hashes) == 100 * HASH_BYTES
    assert hashes == patient_hashes(key, "north", [str(i) for i in reversed(range(100))])
    assert all(holds(hashes, key, "north", str(i)) for i in range(100))
    assert not holds(hashes, key, "north", "100")
    assert not holds(hashes, key, "south", "7")
    assert not holds(hashes, other, "north", "7")
    assert not holds(b"", key, "north", "7")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o601])
def test_a_key_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    key = load_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o440)  # a secret in a pod
    assert load_key(tmp_path / "key") == key
    (tmp_path / "key").chmod(mode)
    with pytest.raises(PermissionError):
        load_key(tmp_path / "key")
