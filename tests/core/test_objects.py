"""A bucket as a blob store: what is special about it, on a real SeaweedFS that checks signatures."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import obstore
import pytest
from structlog.testing import capture_logs

from kohort.problem import Problem
from server import objects
from server.blobs import BlobExistsError, BlobMissingError, BlobPlace, BlobStore, open_blobs, put_tree
from server.objects import ObjectStore
from tests.core.objectstore import SeaweedFS
from tests.core.support import until

pytestmark = pytest.mark.slow


@pytest.fixture
def blobs(bucket: BlobPlace) -> ObjectStore:
    return ObjectStore(bucket)


@pytest.fixture
def own_weed(tmp_path: Path) -> Iterator[SeaweedFS]:
    """A store that a test may stop."""
    with SeaweedFS(tmp_path / "weed") as store:
        yield store


def file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def told(problem: Problem) -> str:
    return f"{problem.reason}: {problem.message}"


def test_of_many_large_ones_at_once_none_is_mixed(blobs: ObjectStore, tmp_path: Path) -> None:
    """Whole, and of one that was told so. (SeaweedFS completes several at once where it should refuse.)"""
    sources = [file(tmp_path / f"s{i}", bytes([i]) * (9 << 20)) for i in range(4)]

    def put(path: Path) -> Path | None:
        try:
            blobs.put("models/m", path)
        except BlobExistsError:
            return None
        return path

    with ThreadPoolExecutor(4) as pool:
        won = [path for path in pool.map(put, sources) if path is not None]
    with blobs.open("models/m") as stored:
        assert stored.read() in [path.read_bytes() for path in won]
    assert [b.key for b in blobs.list()] == ["models/m"]  # and nothing of the others is left


def test_a_lost_answer_is_no_other_who_put(
    blobs: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object was made, the answer broke off: the next try meets its own."""
    real, lost = obstore.put, []

    def put(*given: object, **named: object) -> object:
        made = real(*given, **named)
        if not lost:
            lost.append(True)
            raise obstore.exceptions.GenericError("connection closed before message completed")
        return made

    monkeypatch.setattr(objects.obstore, "put", put)
    blobs.put("k", file(tmp_path / "one", b"one"))
    assert lost
    lost.clear()
    with pytest.raises(BlobExistsError):
        blobs.put("k", file(tmp_path / "two", b"two"))
    with blobs.open("k") as stored:
        assert stored.read() == b"one"


def test_memory_holds_a_few_parts_at_most(bucket: BlobPlace, tmp_path: Path) -> None:
    """64 MiB up, to a directory, and as a stream, each below 48 MiB more than before."""
    path = tmp_path / "large"
    with path.open("wb") as out:
        for i in range(64):
            out.write(bytes([i]) * (1 << 20))
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        grown = pool.apply(_carry, (bucket, path, tmp_path / "scratch"))
    assert grown < 48 << 20, f"grew by {grown >> 20} MiB"


def _carry(place: BlobPlace, path: Path, scratch: Path) -> int:
    """Bytes by which the peak of memory grew."""
    blobs = open_blobs(place, scratch)
    blobs.put("warm/up", file(path.with_name("small"), bytes(9 << 20)))
    before = _peak()
    blobs.put("a/large", path)
    with (blobs.materialise("a", scratch / "copy") / "large").open("rb") as copy, path.open("rb") as own:
        while piece := own.read(1 << 20):
            assert copy.read(1 << 20) == piece
    with blobs.open("a/large") as stored, path.open("rb") as own:
        while piece := own.read(1 << 20):
            assert stored.read(1 << 20) == piece
    return _peak() - before


def _peak() -> int:
    """The most memory that this process had. (The peak of getrusage begins with that of who started it.)"""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10


def test_more_than_a_page_is_listed_and_deleted(
    blobs: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_DELETED_AT_ONCE", 7)
    folder = tmp_path / "tree"
    folder.mkdir()
    for i in range(60):
        file(folder / f"f{i:03}", b"x")
    put_tree(blobs, "a/b", folder)
    blobs.put("a/bc", folder / "f000")
    assert len(list(blobs.list("a/b"))) == 60
    blobs.delete("a/b")
    assert [b.key for b in blobs.list()] == ["a/bc"]


def test_a_copy_that_breaks_off_leaves_nothing(
    blobs: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put("d/a", file(tmp_path / "a", b"a"))
    blobs.put("d/b", file(tmp_path / "b", b"b"))
    real = obstore.get_range

    def get_range(store: object, key: str, **named: int) -> object:
        if key == "d/b":
            raise obstore.exceptions.GenericError("connection reset")
        return real(store, key, **named)

    monkeypatch.setattr(objects.obstore, "get_range", get_range)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(Problem, match="does not answer"):
        blobs.materialise("d", tmp_path / "scratch" / "d")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"secret": "wrong"}, "the object store refuses the credentials"),
        ({"url": "s3://absent/x"}, "the bucket does not exist"),
        ({"endpoint": "http://127.0.0.1:1"}, "the object store does not answer"),
    ],
)
def test_what_is_wrong_is_told_without_a_secret(
    weed: SeaweedFS, bucket: BlobPlace, tmp_path: Path, wrong: dict[str, str], message: str
) -> None:
    if "secret" in wrong:
        weed.credentials(Path(bucket.credentials_file), wrong.pop("secret"))
    blobs = ObjectStore(replace(bucket, **wrong))
    source = file(tmp_path / "source", b"x")
    calls = [
        blobs.check,
        lambda: blobs.check(write=True),
        lambda: blobs.put("tenants-key", source),
        lambda: blobs.open("tenants-key"),
        lambda: blobs.size("tenants-key"),
        lambda: blobs.materialise("tenants-key", tmp_path / "scratch"),
        lambda: blobs.delete("tenants-key"),
        lambda: list(blobs.list()),
    ]
    for call in calls:
        with pytest.raises(Problem) as raised:
            call()
        assert told(raised.value) == f"STORE_UNAVAILABLE: {message}"
        assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_a_changed_credentials_file_is_read_again(weed: SeaweedFS, bucket: BlobPlace, tmp_path: Path) -> None:
    path = Path(bucket.credentials_file)
    blobs = ObjectStore(bucket)
    blobs.check()
    noted = path.stat()
    weed.credentials(path, "wrong")
    os.utime(path, ns=(noted.st_atime_ns, noted.st_mtime_ns))  # as within one tick of the clock
    until(lambda: _refused(blobs), "the wrong secret to count")
    weed.credentials(path)
    until(lambda: not _refused(blobs), "the right secret to count")
    path.unlink()
    with pytest.raises(Problem, match="blob_credentials_file"):
        blobs.check()


def _refused(blobs: BlobStore) -> bool:
    try:
        blobs.check()
    except Problem as problem:
        return "refuses" in problem.message
    return False


@pytest.mark.parametrize("text", ["", "[default]\naws_access_key_id = a\n", "[other]\nx = y\n", "key s3cr3t"])
def test_a_credentials_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = file(tmp_path / "credentials", text.encode())
    path.chmod(0o600)
    with pytest.raises(ValueError, match="must hold aws_access_key_id") as refused:
        ObjectStore(BlobPlace("s3://bucket", credentials_file=str(path)))
    assert "s3cr3t" not in str(refused.value) and refused.value.__suppress_context__


def test_a_credentials_file_for_all_eyes_is_refused(bucket: BlobPlace) -> None:
    Path(bucket.credentials_file).chmod(0o644)
    with pytest.raises(ValueError, match="must not be open to all users"):
        ObjectStore(bucket)
    Path(bucket.credentials_file).chmod(0o640)  # as secrets are mounted for a group
    ObjectStore(bucket).check()


def test_the_secret_is_in_no_representation(weed: SeaweedFS, blobs: ObjectStore) -> None:
    shown = repr(vars(blobs)) + repr(vars(blobs._bucket)) + repr(blobs._bucket.patient.config)
    assert weed.secret_key not in shown


def test_it_comes_back_when_the_store_does(own_weed: SeaweedFS, tmp_path: Path) -> None:
    blobs = ObjectStore(own_weed.place(tmp_path / "credentials", "x"))
    source = file(tmp_path / "source", b"kept")
    blobs.put("k", source)
    own_weed.stop()
    for call in (lambda: blobs.put("l", source), lambda: blobs.open("k"), blobs.check):
        with pytest.raises(Problem) as raised:
            call()
        assert told(raised.value) == "STORE_UNAVAILABLE: the object store does not answer"
    own_weed.start()
    with blobs.open("k") as stored:
        assert stored.read() == b"kept"
    with pytest.raises(BlobMissingError):
        blobs.open("l")
    blobs.put("l", source)

    # One that hangs: other threads of this process go on, and a reader goes on where it was.
    reader = blobs.open("k")
    own_weed.pause()
    caught: list[Problem] = []

    def check() -> None:
        try:
            blobs.check()
        except Problem as problem:
            caught.append(problem)

    waiting = threading.Thread(target=check)
    waiting.start()
    beats = 0
    while waiting.is_alive():
        waiting.join(0.05)
        beats += 1
    own_weed.go_on()
    assert beats > 10
    assert [told(problem) for problem in caught] == ["STORE_UNAVAILABLE: the object store does not answer"]
    assert reader.read() == b"kept"


def test_a_plain_endpoint_elsewhere_is_warned_of() -> None:
    with capture_logs() as lines:
        for endpoint in ("http://127.0.0.1:1", "http://localhost:1", "https://192.0.2.1"):
            ObjectStore(BlobPlace("s3://bucket", endpoint))
        assert lines == []
        ObjectStore(BlobPlace("s3://bucket", "http://192.0.2.1"))
    assert [(line["log_level"], "not encrypted" in str(line)) for line in lines] == [("warning", True)]
