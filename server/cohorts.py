"""The minimum-cohort rule: what fewer than k training patients met may not be asked for.

While the dataset is held the patients are counted exactly, in the part of it
that the model learned from. Of a model whose dataset is gone, or that came from
elsewhere, the model itself is asked: the share of its units that meet the
conditions, times the patients that its bundle says it learned from. Only
"enough" or "too few" is kept and told, never a count.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import structlog

from kohort.conditions import Condition, bind, met
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.rules import columns_of
from kohort.schema import Schema, TableSchema
from server.blobs import BlobMissingError, BlobStore
from server.layout import DataDir
from server.lineage import load_key, split_salt
from server.metrics import Metrics
from server.modelcache import Loaded
from server.preparing import prepare
from server.records import JobSpec, ModelRecord
from server.spool import SpoolFolder
from server.store import Store
from server.threads import Threads
from tables.infer import physicalise
from tables.statistics import patient_count
from tables.store import read_columns
from tables.tableset import Table, TableSet

ESTIMATE_UNITS = 20_000
"""Units that a model is asked for where the patients themselves cannot be counted."""
_VERDICTS = 4096
_log = structlog.get_logger(log="cohorts")

Cohort = tuple[Condition, ...]
"""What the same row must meet, all of it."""


class Cohorts:
    """Refuses what too few patients met. Verdicts are kept, since neither data nor model change.

    Args:
        threads: for reading a few columns of the tables.
        sampling_threads: for asking the model.
        min_patients: k where a model does not say its own.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        folders: DataDir,
        spool: SpoolFolder,
        threads: Threads,
        sampling_threads: Threads,
        metrics: Metrics,
        min_patients: int,
    ) -> None:
        self._store, self._blobs, self._folders, self._spool = store, blobs, folders, spool
        self._threads, self._sampling_threads = threads, sampling_threads
        self._metrics = metrics
        self._min_patients = min_patients
        self._verdicts: OrderedDict[bytes, bool] = OrderedDict()

    async def check(self, record: ModelRecord, model: Loaded, spec: SampleSpec) -> None:
        """Raises Problem COHORT_TOO_SMALL unless k training patients met all that is asked for together.

        With rebalancing, k patients MUST have met the conditions with each of the values to be drawn.
        """
        asked = {_key(record, cohort): cohort for cohort in _cohorts(spec)}
        k = int(record.privacy.get("min_patients_per_value") or self._min_patients)
        enough = {key: self._verdicts[key] for key in asked if key in self._verdicts}
        unknown = [key for key in asked if key not in enough]
        if unknown:
            counts = await self._count(record, model, [asked[key] for key in unknown], k)
            enough |= {key: count >= k for key, count in zip(unknown, counts, strict=True)}
        for key in asked:
            self._verdicts[key] = enough[key]
            self._verdicts.move_to_end(key)
        while len(self._verdicts) > _VERDICTS:
            self._verdicts.popitem(last=False)
        if not all(enough.values()):
            self._metrics.cohorts_refused.inc()
            field = "conditions" if spec.rebalancing is None else "rebalancing.shares"
            raise Problem.at("COHORT_TOO_SMALL", field, f"fewer than {k} of the training patients met this")

    async def _count(self, record: ModelRecord, model: Loaded, cohorts: list[Cohort], k: int) -> list[float]:
        if record.job:
            exact = await self._threads.run(self._counted, record, model, cohorts)
            if exact is not None:
                self._metrics.cohort_checks.labels("counted").inc(len(cohorts))
                return exact
        self._metrics.cohort_checks.labels("estimated").inc(len(cohorts))
        return await self._estimated(model, cohorts, k)

    def _counted(self, record: ModelRecord, model: Loaded, cohorts: list[Cohort]) -> list[float] | None:
        """Distinct training patients that met each; None where the tables are gone."""
        try:
            job = self._store.jobs.get(record.tenant, record.job)
            dataset = self._store.datasets.get(record.tenant, record.dataset)
            salt = split_salt(load_key(self._folders.patient_key), dataset.digest)
            with self._spool.scratch() as scratch:
                folder = self._blobs.materialise(dataset.blob_prefix, scratch / "dataset")
                counts, rows = count_patients(folder, job.spec, salt, cohorts)
        except (BlobMissingError, FileNotFoundError):
            return None
        except Problem as problem:
            if problem.reason not in ("JOB_NOT_FOUND", "DATASET_NOT_FOUND", "FILE_MALFORMED"):
                raise
            return None
        if model.training_rows and rows != model.training_rows:
            # Another key than the one that split the patients: these are not the rows it learned from.
            _log.warning("training part not found again", model=record.id)
            return None
        return counts

    async def _estimated(self, model: Loaded, cohorts: list[Cohort], k: int) -> list[float]:
        """Patients that the model expects: 0 where fewer than k units met a cohort, or it knows no number."""
        if not model.training_patients:
            return [0.0] * len(cohorts)
        schema = model.program.schema
        table = _table(cohorts, schema)
        tests = [bind(cohort, schema) for cohort in cohorts]
        # Of the model alone, so that nobody can ask again until luck lets them in.
        seed = int.from_bytes(model.content_digest[:8], "little", signed=True)
        units = model.program.units(SampleSpec(seed), 0, ESTIMATE_UNITS)
        hits = [0] * len(cohorts)

        def step() -> bool:
            batch = next(units, None)
            if batch is None:
                return False
            if batch.table == table:
                for i, each in enumerate(tests):
                    hits[i] += int(met(each, batch.arrays).sum())
            return True

        while await self._sampling_threads.run(step):
            pass
        share = model.training_patients / ESTIMATE_UNITS
        return [hit * share if hit >= k else 0.0 for hit in hits]


def count_patients(folder: Path, job: JobSpec, salt: bytes, cohorts: list[Cohort]) -> tuple[list[float], int]:
    """Per cohort the distinct patients with a row that met it, among the rows that a job learned from.

    Only the columns in question are read.

    Args:
        folder: the canonical tables.
        job: what trained.
        salt: of the split.
        cohorts: at least one; all of one table.

    Returns:
        The counts, and how many rows the job learned from.
    """
    schema = job.schema
    bound = [bind(cohort, schema) for cohort in cohorts]
    columns = {condition.column for cohort in cohorts for condition in cohort}
    train = _training_rows(folder, job, salt, schema.table(_table(cohorts, schema)), columns)
    subjects = train.subjects()
    counts = [float(patient_count(subjects[met(tests, train.arrays)])) for tests in bound]
    return counts, train.num_rows


def _training_rows(
    folder: Path, job: JobSpec, salt: bytes, table: TableSchema, columns: Iterable[str]
) -> Table:
    """The rows that the job learned from, of few columns."""
    ruled = (column for rule in table.constraints for column in columns_of(rule))
    wanted = {*columns, *ruled, *([table.subject_key] if table.subject_key else [])}
    slim = TableSchema(
        table.name,
        tuple(column for column in table.columns if column.name in wanted),
        subject_key=table.subject_key,
        role=table.role,
        constraints=table.constraints,
    )
    cells = physicalise(read_columns(folder, table.name, wanted), slim)
    return prepare(TableSet({table.name: cells}), salt, job.options, job.seed).train.single()


def _cohorts(spec: SampleSpec) -> list[Cohort]:
    asked = tuple(sorted(spec.conditions, key=repr))
    shares = spec.rebalancing
    if shares is None:
        return [asked] if asked else []
    return [
        (*asked, Condition(shares.column, one_of=(value,), table=shares.table))
        for value, share in shares.shares
        if share > 0
    ]


def _table(cohorts: Iterable[Cohort], schema: Schema) -> str:
    """The table that all of it is about; a generator emits one."""
    named = (condition.table for cohort in cohorts for condition in cohort if condition.table)
    return next(named, schema.tables[0].name)


def _key(record: ModelRecord, cohort: Cohort) -> bytes:
    # Sets may be long, and the values themselves need not be kept.
    return hashlib.sha256(f"{record.id}\0{cohort!r}".encode()).digest()
