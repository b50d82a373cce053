"""Samples, downloads and imports, on both clients."""

import numpy as np
import pandas as pd
import pytest
from fake_parts import SEXES, Fault, rows_of, two_tables_of
from pandas.testing import assert_frame_equal

import kohort


def expected(seed, start, count):
    batch = rows_of(seed, start, count)
    bmi = np.where(batch.arrays["bmi"].is_valid(), batch.arrays["bmi"].values / 10, np.nan)
    sex = pd.Categorical(batch.arrays["sex"].strings(), categories=SEXES)
    return pd.DataFrame({"key": batch.arrays["key"].values, "sex": sex, "bmi": bmi})


def test_a_sample_is_a_frame_with_its_provenance(client, fake):
    frame = client.sample("models/one", 35)
    assert_frame_equal(frame, expected(99, 0, 35))
    about = frame.attrs["kohort"]
    assert (about["synthetic"], about["model"], about["seed"]) == (True, "models/one", 99)
    assert about["content_digest"] == fake.models["models/one"].content_digest.hex()


@pytest.mark.parametrize("cuts", [[2], [3], [4], [4, 2, 3], [0, 0, 3], [1]])
def test_a_broken_sample_resumes_where_it_broke(client, fake, cuts):
    fake.fail("Sample", *[Fault(after=c) for c in cuts])
    assert_frame_equal(client.sample("models/one", 35, start=5), expected(99, 5, 35))
    requests = fake.requests("Sample")
    assert len(requests) == len(cuts) + 1
    seeds = [r.HasField("seed") for r in requests]
    begun = any(c > 0 for c in cuts)
    # Once a header has named the seed and the runtime, both are held to.
    assert seeds[-1] == begun
    assert requests[-1].runtime_fingerprint == (fake.fingerprint if begun else "")
    assert all(r.start_unit + r.unit_count == 40 for r in requests)


def test_a_cut_before_the_trailer_costs_nothing(client, fake):
    fake.fail("Sample", Fault(after=6))
    assert len(client.sample("models/one", 35)) == 35
    assert len(fake.requests("Sample")) == 1


def test_a_sample_of_several_tables_resumes_by_whole_units(client, fake):
    # Cut within a group: the patients have come, their visits have not.
    fake.fail("Sample", Fault(after=4), Fault(after=2))
    tables = client.sample_tables("models/two", 40, seed=3)
    assert tables["patients"]["patient"].tolist() == list(range(40))
    whole = [two_tables_of(3, start, 10)[1].arrays for start in range(0, 40, 10)]
    assert tables["visits"]["patient"].tolist() == [p for b in whole for p in b["patient"].values]
    assert [r.start_unit for r in fake.requests("Sample")] == [0, 10, 10]


def test_one_frame_of_several_tables_is_refused(client):
    with pytest.raises(ValueError, match="patients, visits"):
        client.sample("models/two", 10)


def test_tables_without_rows_are_there(client, fake):
    fake.batch_units = 1
    tables = client.sample_tables("models/two", 1, seed=0)
    assert len(tables["visits"]) == 0
    assert list(tables["visits"].columns) == ["patient", "day"]


def test_batches_come_one_by_one(client):
    batches = list(client.sample_batches("models/one", 25, seed=1))
    assert [len(b) for b in batches] == [10, 10, 5]
    assert [b.batch.first_unit for b in batches] == [0, 10, 20]
    assert_frame_equal(batches[1].to_frame(), expected(1, 10, 10))
    arrow = batches[2].to_arrow()
    assert arrow.schema.metadata[b"kohort.synthetic"] == b"true"
    assert arrow.column("key").to_pylist() == list(range(21, 26))


def test_leaving_the_iteration_ends_the_stream(client, fake):
    for batch in client.sample_batches("models/one", 10_000_000, seed=1):
        assert batch.batch.first_unit == 0
        break
    assert fake.calls[0].ended.wait(30)
    assert len(client.sample("models/one", 5)) == 5


def set_digest(part):
    def tamper(response):
        if response.WhichOneof("part") == part:
            getattr(response, part).digest = bytes(32)

    return tamper


def drop_row(response):
    if response.HasField("trailer"):
        response.trailer.row_counts["rows"] -= 1


def skip_units(response):
    if response.HasField("batch"):
        response.batch.next_unit += 100


def change_cell(response):
    if response.HasField("batch"):
        response.batch.columns[0].int64s.values[0] += 1


@pytest.mark.parametrize(
    "tamper", [set_digest("batch"), set_digest("trailer"), drop_row, skip_units, change_cell]
)
def test_an_altered_sample_is_refused(client, fake, tamper):
    fake.tamper = tamper
    with pytest.raises(kohort.IntegrityError):
        client.sample("models/one", 35)


def test_a_sample_without_trailer_is_refused(client, fake):
    fake.fail("Sample", Fault(None, after=6))
    with pytest.raises(kohort.IntegrityError, match="without its trailer"):
        client.sample("models/one", 35)


def test_a_resume_elsewhere_is_refused(client, fake):
    def elsewhere(response):
        fake.fingerprint = "cpu-2"

    fake.tamper = elsewhere
    fake.fail("Sample", Fault(after=3))
    with pytest.raises(kohort.FailedPrecondition) as caught:
        client.sample("models/one", 35)
    assert caught.value.reason == "RUNTIME_CHANGED"


@pytest.mark.parametrize(("n", "start"), [(0, 0), (-1, 0), (1, -1), (2**53, 1)])
def test_units_outside_the_numbers_are_refused_here(client, fake, n, start):
    with pytest.raises(ValueError, match="2\\^53"):
        client.sample("models/one", n, start=start)
    assert not fake.calls


def test_models_are_listed_and_deleted(client, fake):
    for i in range(3):
        fake.add_model(f"models/{i}", kohort.Schema())
    assert len(list(client.models())) == 5
    client.model("models/0").delete()
    with pytest.raises(kohort.NotFound):
        client.delete_model("models/0")


def test_a_bundle_is_downloaded_whole(client, fake, tmp_path):
    seen = []
    path = client.model("models/one").download(tmp_path / "m.kohort", progress=lambda *p: seen.append(p))
    assert path.read_bytes() == fake.bundle
    assert seen[-1] == (len(fake.bundle), len(fake.bundle))
    assert [p.name for p in tmp_path.iterdir()] == ["m.kohort"]


def test_a_broken_download_begins_anew(client, fake, tmp_path):
    fake.fail("DownloadModel", Fault(after=2), Fault(after=1))
    client.download("models/one", tmp_path / "m.kohort")
    assert (tmp_path / "m.kohort").read_bytes() == fake.bundle
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("what", ["digest", "size", "cut"])
def test_a_wrong_download_leaves_no_file(client, fake, tmp_path, what):
    def tamper(response):
        if what == "digest":
            response.header.sha256 = bytes(32)
        elif what == "size":
            response.header.size_bytes -= 1

    fake.tamper = tamper
    if what == "cut":
        fake.fail("DownloadModel", Fault(None, after=2))
    (tmp_path / "m.kohort").write_bytes(b"before")
    with pytest.raises(kohort.IntegrityError):
        client.download("models/one", tmp_path / "m.kohort")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"before"]


def test_a_bundle_is_imported(client, fake, tmp_path):
    (tmp_path / "m.kohort").write_bytes(b"x" * 3_000_000)
    assert client.import_model(tmp_path / "m.kohort").name == "models/imported"
    assert fake.bundle == b"x" * 3_000_000
