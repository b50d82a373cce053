"""The minimum-cohort rule: what fewer than k training patients met may not be asked for.

While the dataset is held the patients are counted exactly, in the part of it
that the model learned from. Of a model whose dataset is gone, or that came from
elsewhere, the model itself is asked: the share of its units that meet the
conditions, times the patients that its bundle says it learned from. Only
"enough" or "too few" is kept and told, never a count.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

import structlog

from kohort.conditions import Condition, bind, met
from kohort.problem import Problem
from kohort.programs import SampleSpec
from server.blobs import BlobMissingError, BlobStore
from server.counting import Cohort, LearnedRows, count_patients, learned_rows, table_of
from server.layout import DataDir
from server.lineage import load_key, split_salt
from server.metrics import Metrics
from server.modelcache import Loaded
from server.records import JobSpec, ModelRecord
from server.spool import SpoolFolder
from server.store import Store
from server.threads import Threads

ESTIMATE_UNITS = 20_000
"""Units that a model is asked for where the patients themselves cannot be counted."""
_VERDICTS = 4096
_ROWS_BYTES = 64 << 20
"""Of the numbers of learned rows, of all models together; one model needs 8 bytes a row."""
_log = structlog.get_logger(log="cohorts")


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
        self._rows: OrderedDict[tuple[str, str], LearnedRows] = OrderedDict()
        self._lock = threading.Lock()

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
                learned = self._learned(record, job.spec, salt, folder, cohorts)
                if model.training_rows and learned.size != (model.training_rows, model.training_patients):
                    # Another key than the one that split the patients: it learned from other rows.
                    _log.warning("training part not found again", model=record.id)
                    return None
                return [float(n) for n in count_patients(folder, job.spec, learned, cohorts)]
        except (BlobMissingError, FileNotFoundError):
            return None
        except Problem as problem:
            if problem.reason not in ("JOB_NOT_FOUND", "DATASET_NOT_FOUND", "FILE_MALFORMED"):
                raise
            return None

    def _learned(
        self, record: ModelRecord, job: JobSpec, salt: bytes, folder: Path, cohorts: list[Cohort]
    ) -> LearnedRows:
        table = table_of(cohorts, job.schema)
        with self._lock:
            known = self._rows.pop((record.id, table), None)
        learned = known or learned_rows(folder, job, salt, table)
        with self._lock:
            self._rows[record.id, table] = learned
            while sum(rows.nbytes for rows in self._rows.values()) > _ROWS_BYTES:
                self._rows.popitem(last=False)
        return learned

    async def _estimated(self, model: Loaded, cohorts: list[Cohort], k: int) -> list[float]:
        """Patients that the model expects: 0 where fewer than k units met a cohort, or it knows no number."""
        if not model.training_patients:
            return [0.0] * len(cohorts)
        schema = model.program.schema
        table = table_of(cohorts, schema)
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


def _key(record: ModelRecord, cohort: Cohort) -> bytes:
    # Sets may be long, and the values themselves need not be kept.
    return hashlib.sha256(f"{record.id}\0{cohort!r}".encode()).digest()
