"""Conditions on real tables over a real server: exact, resumable, the same offline, and never of too few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pandas as pd
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import kohort
from kohort import wire
from kohort.columns import Array, Batch, ContentDigest
from kohort.conditions import Condition, PartialRows, Rebalancing
from kohort.programs import SampleSpec
from kohort.schema import Storage
from kohort.v1 import sampling_pb2, sampling_pb2_grpc
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server, Wire
from trainers.registry import trainers

ENCOUNTERS = HEART.with_name("diabetes_130us_excerpt.csv")
QUICK = {"argn": {"epochs": 3}}
TRAINERS = [name for name in ("copula", "argn") if name in trainers()]
NO_SPLIT = {"seed": 1, "holdout": 0.0, "validation": 0.0}
SICK_WOMEN = (
    Condition("sex", one_of=("0",)),
    Condition("num", one_of=("1", "2", "3")),
    Condition("age", minimum="50", maximum="65"),
)


class Stream:
    """One Sample call, read to its end; what the wire says of it."""

    def __init__(self, address: str, model: str, count: int, spec: SampleSpec, **more: Any) -> None:
        request = sampling_pb2.SampleRequest(model=model, unit_count=count, **more)
        wire.sample_spec_to_proto(spec, request)
        request.seed = spec.seed
        if spec.partial is not None:
            request.partial_rows.CopyFrom(wire.partial_rows_to_proto(spec.partial))
        self.header = sampling_pb2.SampleHeader()
        self.trailer: sampling_pb2.SampleTrailer | None = None
        self.batches: list[Batch] = []
        self.error: Any = None
        self.reason, self.metadata, self.message = "", {}, ""
        # At most a batch ahead of the reader: where a connection breaks, gRPC drops what was not read.
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)]
        with grpc.insecure_channel(address, options=options) as channel:
            try:
                for message in sampling_pb2_grpc.SamplingServiceStub(channel).Sample(request):
                    self._take(message)
            except grpc.RpcError as error:
                self.error = error
                self._read(error)

    def _read(self, error: Any) -> None:
        status = rpc_status.from_call(error)
        self.message = error.details()
        for detail in status.details if status is not None else ():
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                self.reason, self.metadata = info.reason, dict(info.metadata)

    def _take(self, message: sampling_pb2.SampleResponse) -> None:
        match message.WhichOneof("part"):
            case "header":
                self.header = message.header
                self.schema = wire.schema_from_proto(message.header.schema)
                self.dictionaries = wire.Dictionaries()
            case "dictionary":
                self.dictionaries.add(message.dictionary)
            case "batch":
                table = self.schema.table(message.batch.table)
                self.batches.append(wire.decode_batch(message.batch, table, self.dictionaries))
            case "trailer":
                self.trailer = message.trailer

    @property
    def frame(self) -> pd.DataFrame:
        names = [column.name for column in self.schema.tables[0].columns]
        return pd.DataFrame(
            {n: [c for b in self.batches for c in b.arrays[n].to_python()] for n in names}, dtype=object
        )

    @property
    def next_unit(self) -> int:
        return self.batches[-1].next_unit if self.batches else 0


def offline(path: Path, spec: SampleSpec, start: int, count: int) -> tuple[bytes, pd.DataFrame]:
    """The digest and the rows that the bundle itself gives."""
    with pytest.warns(UserWarning, match="unverified"):
        program = kohort.load(path).program()
    digest, batches = ContentDigest(program.schema), list(program.units(spec, start, count))
    for batch in batches:
        digest.add(batch)
    names = [column.name for column in program.schema.tables[0].columns]
    cells = {n: [c for b in batches for c in b.arrays[n].to_python()] for n in names}
    return digest.digest(), pd.DataFrame(cells, dtype=object)


@pytest.fixture(scope="module")
def datasets(shared: Server) -> dict[str, str]:
    with shared.client() as client:
        return {
            "heart": client.upload(HEART, table="heart").name,
            "encounters": client.upload(ENCOUNTERS, table="encounters").name,
        }


@pytest.fixture(scope="module")
def models(shared: Server, datasets: dict[str, str]) -> dict[tuple[str, str], str]:
    with shared.client() as client:
        jobs = {
            (trainer, table): client.train(name, trainer=trainer, **NO_SPLIT, **QUICK.get(trainer, {}))
            for trainer in TRAINERS
            for table, name in datasets.items()
        }
        return {key: job.result().name for key, job in jobs.items()}


@pytest.fixture(params=TRAINERS)
def trainer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_row_meets_the_conditions_and_is_the_same_offline(
    shared: Server, models: dict[tuple[str, str], str], trainer: str, tmp_path: Path
) -> None:
    spec = SampleSpec(5, conditions=SICK_WOMEN)
    got = Stream(shared.address, models[trainer, "heart"], 1500, spec, start_unit=70)
    frame = got.frame
    assert len(frame) == 1500
    assert set(frame["sex"]) == {0}
    assert set(frame["num"]) == {1, 2, 3}
    assert frame["age"].between(50, 65).all()
    assert frame["chol"].nunique() > 50
    assert got.trailer is not None
    assert got.trailer.unit_count == 1500
    assert got.trailer.drawn_units > 1500
    assert got.trailer.acceptance_rate == pytest.approx(1500 / got.trailer.drawn_units)
    with shared.client() as client:
        path = client.download(models[trainer, "heart"], tmp_path / "model.kohort")
    digest, rows = offline(path, spec, 70, 1500)
    assert digest == got.trailer.digest
    pd.testing.assert_frame_equal(rows, frame)


def test_a_cut_wire_resumes_where_it_was(
    shared: Server, models: dict[tuple[str, str], str], trainer: str
) -> None:
    model, spec = models[trainer, "encounters"], SampleSpec(6, (Condition("gender", one_of=("Female",)),))
    whole = Stream(shared.address, model, 6000, spec, max_batch_rows=500)
    line = Wire(shared.address)
    try:
        line.cut_after(250_000)
        first = Stream(line.address, model, 6000, spec, max_batch_rows=500)
    finally:
        line.close()
    assert first.error is not None
    assert first.trailer is None
    reached = first.next_unit
    assert 0 < reached < 6000
    rest = Stream(
        shared.address,
        model,
        6000 - reached,
        spec,
        start_unit=reached,
        runtime_fingerprint=first.header.runtime_fingerprint,
    )
    assert rest.trailer is not None
    joined = pd.concat([first.frame[:reached], rest.frame], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole.frame)
    assert set(joined["gender"]) == {"Female"}


def test_the_client_goes_on_by_itself_after_a_cut(
    shared: Server, models: dict[tuple[str, str], str], trainer: str
) -> None:
    model = models[trainer, "encounters"]
    asked: Any = {"seed": 8, "augmentation_factor": 14.0, "conditions": {"gender": "Male"}}
    with shared.client() as client:
        whole = client.sample(model, **asked)
    line = Wire(shared.address)
    try:
        with kohort.Client(line.address) as client:
            line.cut_after(250_000)
            found = client.sample(model, **asked)
    finally:
        line.close()
    assert line.cuts == 2, "one in the middle, one by close"
    assert len(whole) == 14 * 441
    assert set(whole["gender"]) == {"Male"}
    pd.testing.assert_frame_equal(found, whole)


def test_shares_are_as_asked_for(shared: Server, models: dict[tuple[str, str], str], trainer: str) -> None:
    spec = SampleSpec(7, rebalancing=Rebalancing("num", (("0", 1.0), ("3", 3.0))))
    frame = Stream(shared.address, models[trainer, "heart"], 4000, spec).frame
    assert set(frame["num"]) == {0, 3}
    assert (frame["num"] == 3).mean() == pytest.approx(0.75, abs=0.03)


def test_the_smallest_cohort_is_five_patients(
    shared: Server, models: dict[tuple[str, str], str], trainer: str
) -> None:
    heart = pd.read_csv(HEART)
    healthy = (Condition("sex", one_of=("0",)), Condition("num", one_of=("0",)))
    four, five = (Condition("age", minimum="67", maximum=high) for high in ("68", "69"))
    of = heart[(heart["sex"] == 0) & (heart["num"] == 0)]["age"]
    assert (of.between(67, 68).sum(), of.between(67, 69).sum()) == (4, 5)
    refused = Stream(shared.address, models[trainer, "heart"], 10, SampleSpec(1, (*healthy, four)))
    assert refused.reason == "COHORT_TOO_SMALL"
    assert "fewer than 5" in refused.message
    assert "4" not in refused.message
    assert not refused.header.model
    assert (
        len(Stream(shared.address, models[trainer, "heart"], 10, SampleSpec(1, (*healthy, five))).frame) == 10
    )


def test_rows_of_one_patient_make_no_cohort(
    shared: Server, models: dict[tuple[str, str], str], trainer: str
) -> None:
    table = pd.read_csv(ENCOUNTERS)
    met = table[(table["age"] == "[50-60)") & (table["A1Cresult"] == "Norm")]
    assert (len(met), met["patient_nbr"].nunique()) == (7, 4)
    conditions = (Condition("age", one_of=("[50-60)",)), Condition("A1Cresult", one_of=("Norm",)))
    refused = Stream(shared.address, models[trainer, "encounters"], 10, SampleSpec(1, conditions))
    assert refused.reason == "COHORT_TOO_SMALL"
    shares = Rebalancing("A1Cresult", (("None", 1.0), ("Norm", 1.0)))
    refused = Stream(
        shared.address, models[trainer, "encounters"], 10, SampleSpec(1, conditions[:1], rebalancing=shares)
    )
    assert refused.reason == "COHORT_TOO_SMALL"


def test_what_cannot_be_drawn_often_enough_ends_with_the_count(
    shared: Server, models: dict[tuple[str, str], str]
) -> None:
    spec = SampleSpec(3, conditions=SICK_WOMEN, max_attempts=40)
    got = Stream(shared.address, models["copula", "heart"], 3000, spec, max_batch_rows=5)
    assert (got.error.code(), got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONDITION_UNSATISFIED")
    assert got.trailer is None
    assert 0 < len(got.frame) < 3000
    assert got.metadata["units_reached"] == str(len(got.frame))
    again = Stream(shared.address, models["copula", "heart"], len(got.frame), spec)
    assert again.trailer is not None
    pd.testing.assert_frame_equal(again.frame, got.frame)


def test_units_by_training_rows(shared: Server, models: dict[tuple[str, str], str], trainer: str) -> None:
    got = Stream(shared.address, models[trainer, "heart"], 0, SampleSpec(2), augmentation_factor=2.0)
    assert got.header.unit_count == len(got.frame) == 606
    encounters = Stream(
        shared.address, models[trainer, "encounters"], 0, SampleSpec(2), augmentation_factor=1.0
    )
    assert encounters.header.unit_count == 441


def test_a_model_says_what_it_can_do(
    shared: Server, models: dict[tuple[str, str], str], trainer: str
) -> None:
    with shared.client() as client:
        abilities = client.model(models[trainer, "encounters"]).info.abilities
        (info,) = (each for each in client.capabilities().trainers if each.name == trainer)
    assert abilities is not None
    assert abilities.conditions == info.conditions
    assert set(abilities.conditions) == {"equals", "one_of", "range", "is_null"}
    assert set(abilities.conditions.values()) == {"native" if trainer == "argn" else "rejection"}
    for ability in ("imputation", "rebalancing", "temperature"):
        assert getattr(abilities, ability) == getattr(info, ability), ability
    assert (abilities.training_rows, abilities.training_patients) == (441, 340)


@pytest.mark.skipif("argn" not in TRAINERS, reason="no trainer here completes rows")
def test_missing_cells_are_filled_in_and_the_others_stay(
    shared: Server, models: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    heart = pd.read_csv(HEART)
    known = {
        "age": Array.make(Storage.INT64, heart["age"]),
        "thalach": Array.make(Storage.INT64, heart["thalach"], heart.index % 3 != 0),
        "num": Array.make(Storage.INT64, heart["num"], heart.index % 2 == 0),
    }
    spec = SampleSpec(9, partial=PartialRows(known, 40, "heart"))
    got = Stream(shared.address, models["argn", "heart"], 0, spec, start_unit=40)
    assert (got.header.start_unit, got.header.unit_count) == (40, 303)
    assert list(got.frame["age"]) == list(heart["age"])
    for name in ("thalach", "num"):
        kept = known[name].is_valid()
        assert list(got.frame[name][kept]) == list(heart[name][kept])
        assert got.frame[name].notna().all()
    with shared.client() as client:
        path = client.download(models["argn", "heart"], tmp_path / "model.kohort")
    digest, rows = offline(path, spec, 40, 303)
    assert got.trailer is not None
    assert digest == got.trailer.digest
    pd.testing.assert_frame_equal(rows, got.frame)


def test_who_cannot_complete_rows_says_so(shared: Server, models: dict[tuple[str, str], str]) -> None:
    rows = PartialRows({"age": Array.make(Storage.INT64, [50])}, 0, "heart")
    refused = Stream(shared.address, models["copula", "heart"], 0, SampleSpec(1, partial=rows))
    assert refused.reason == "CONDITION_UNSUPPORTED"


def test_once_the_data_is_gone_the_model_is_asked(tmp_path: Path) -> None:
    frame = pd.read_csv(ENCOUNTERS)
    with Server(tmp_path, "--devices", "cpu:1") as server, server.client() as client:
        dataset = client.upload(frame, table="encounters")
        model = client.train(dataset, trainer="copula", **NO_SPLIT).result().name
        common = SampleSpec(1, (Condition("gender", one_of=("Female",)),))
        counted = Stream(server.address, model, 300, common)
        client.delete_dataset(dataset.name)
        few = SampleSpec(
            1, (Condition("time_in_hospital", minimum="12"), Condition("insulin", one_of=("Up",)))
        )
        assert Stream(server.address, model, 10, few).reason == "COHORT_TOO_SMALL"
        men = SampleSpec(1, (Condition("gender", one_of=("Male",)),))
        assert set(Stream(server.address, model, 10, men).frame["gender"]) == {"Male"}
        again = Stream(server.address, model, 300, common)
        assert counted.trailer is not None
        assert again.trailer is not None
        assert again.trailer.digest == counted.trailer.digest
        assert "Female" not in server.log()
        assert "sample asked for" in server.log()
