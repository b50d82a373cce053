"""Kohort: train generators of synthetic patients on a server, sample from them, here or there.

>>> import kohort
>>> with kohort.Client("localhost:50051") as client:  # doctest: +SKIP
...     model = client.train(patients, trainer="ctgan").result(progress=True)
...     synthetic = model.sample(1000, seed=7)
>>> kohort.load("model.kohort").sample(1000, seed=7)  # doctest: +SKIP

Importing this package is cheap: what a name needs (grpc, pandas, onnxruntime) is
imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kohort.version import __version__ as __version__

if TYPE_CHECKING:
    from kohort.aio import AsyncClient as AsyncClient
    from kohort.bundle import Bundle as Bundle
    from kohort.bundle import load as load
    from kohort.client import Client as Client
    from kohort.conditions import Condition as Condition
    from kohort.config import TLS as TLS
    from kohort.config import KeepAlive as KeepAlive
    from kohort.config import Retry as Retry
    from kohort.config import Timeouts as Timeouts
    from kohort.dataset import AsyncDataset as AsyncDataset
    from kohort.dataset import Dataset as Dataset
    from kohort.errors import AlreadyExists as AlreadyExists
    from kohort.errors import CallCancelled as CallCancelled
    from kohort.errors import CohortTooSmall as CohortTooSmall
    from kohort.errors import ConditionUnsatisfied as ConditionUnsatisfied
    from kohort.errors import ConditionUnsupported as ConditionUnsupported
    from kohort.errors import Conflict as Conflict
    from kohort.errors import DeadlineExceeded as DeadlineExceeded
    from kohort.errors import FailedPrecondition as FailedPrecondition
    from kohort.errors import IntegrityError as IntegrityError
    from kohort.errors import InvalidRequest as InvalidRequest
    from kohort.errors import JobCancelled as JobCancelled
    from kohort.errors import JobError as JobError
    from kohort.errors import JobFailed as JobFailed
    from kohort.errors import KohortError as KohortError
    from kohort.errors import ModelLocked as ModelLocked
    from kohort.errors import NotFound as NotFound
    from kohort.errors import Overloaded as Overloaded
    from kohort.errors import PermissionDenied as PermissionDenied
    from kohort.errors import ReplicasDiffer as ReplicasDiffer
    from kohort.errors import RpcError as RpcError
    from kohort.errors import ServerError as ServerError
    from kohort.errors import Unauthenticated as Unauthenticated
    from kohort.errors import Unavailable as Unavailable
    from kohort.errors import Unimplemented as Unimplemented
    from kohort.evaluation import EvaluationCounts as EvaluationCounts
    from kohort.evaluation import Figure as Figure
    from kohort.evaluation import FigureKind as FigureKind
    from kohort.evaluation import Interval as Interval
    from kohort.evaluation import LeftOut as LeftOut
    from kohort.evaluation import Metric as Metric
    from kohort.evaluation import MetricDirection as MetricDirection
    from kohort.evaluation import MetricFamily as MetricFamily
    from kohort.evaluation import MetricInfo as MetricInfo
    from kohort.evaluation import ReportInfo as ReportInfo
    from kohort.evaluation import Series as Series
    from kohort.job import AsyncEvaluationJob as AsyncEvaluationJob
    from kohort.job import AsyncJob as AsyncJob
    from kohort.job import EvaluationJob as EvaluationJob
    from kohort.job import Job as Job
    from kohort.model import AsyncModel as AsyncModel
    from kohort.model import Model as Model
    from kohort.problem import Problem as Problem
    from kohort.problem import Violation as Violation
    from kohort.release import Alert as Alert
    from kohort.release import AlertAction as AlertAction
    from kohort.release import BrokenRule as BrokenRule
    from kohort.release import EvaluationOptions as EvaluationOptions
    from kohort.release import EvaluationProfile as EvaluationProfile
    from kohort.release import Release as Release
    from kohort.release import ReleaseOverride as ReleaseOverride
    from kohort.release import ReleasePolicy as ReleasePolicy
    from kohort.release import ReleaseRule as ReleaseRule
    from kohort.release import ReleaseState as ReleaseState
    from kohort.release import ReleaseWarning as ReleaseWarning
    from kohort.release import RuleEffect as RuleEffect
    from kohort.release import RuleKind as RuleKind
    from kohort.release import RuleReference as RuleReference
    from kohort.release import RuleStatistic as RuleStatistic
    from kohort.release import Verdict as Verdict
    from kohort.replicas import Replicas as Replicas
    from kohort.report import AsyncReport as AsyncReport
    from kohort.report import Report as Report
    from kohort.resources import Capabilities as Capabilities
    from kohort.resources import DatasetInfo as DatasetInfo
    from kohort.resources import Inferred as Inferred
    from kohort.resources import JobEvent as JobEvent
    from kohort.resources import JobInfo as JobInfo
    from kohort.resources import JobKind as JobKind
    from kohort.resources import JobState as JobState
    from kohort.resources import ModelInfo as ModelInfo
    from kohort.resources import PhaseStarted as PhaseStarted
    from kohort.resources import Privacy as Privacy
    from kohort.resources import Progress as Progress
    from kohort.resources import Provenance as Provenance
    from kohort.resources import StateChanged as StateChanged
    from kohort.resources import TrainerInfo as TrainerInfo
    from kohort.rules import Allowed as Allowed
    from kohort.rules import Combination as Combination
    from kohort.rules import OneHot as OneHot
    from kohort.rules import Order as Order
    from kohort.rules import Range as Range
    from kohort.rules import Unique as Unique
    from kohort.sampling import SampleBatch as SampleBatch
    from kohort.schema import Column as Column
    from kohort.schema import ColumnOverride as ColumnOverride
    from kohort.schema import Finding as Finding
    from kohort.schema import ForeignKey as ForeignKey
    from kohort.schema import Handling as Handling
    from kohort.schema import Kind as Kind
    from kohort.schema import Schema as Schema
    from kohort.schema import SchemaOverrides as SchemaOverrides
    from kohort.schema import Storage as Storage
    from kohort.schema import TableOverride as TableOverride
    from kohort.schema import TableRole as TableRole
    from kohort.schema import TableSchema as TableSchema

# The same names by the module they come from; a test holds both lists together.
_HOMES = {
    "aio": "AsyncClient",
    "bundle": "Bundle load",
    "client": "Client",
    "conditions": "Condition",
    "config": "KeepAlive Retry TLS Timeouts",
    "dataset": "AsyncDataset Dataset",
    "errors": "AlreadyExists CallCancelled CohortTooSmall ConditionUnsatisfied ConditionUnsupported "
    "Conflict DeadlineExceeded FailedPrecondition IntegrityError InvalidRequest JobCancelled "
    "JobError JobFailed KohortError ModelLocked NotFound Overloaded PermissionDenied ReplicasDiffer "
    "RpcError ServerError Unauthenticated Unavailable Unimplemented",
    "evaluation": "EvaluationCounts Figure FigureKind Interval LeftOut Metric MetricDirection MetricFamily "
    "MetricInfo ReportInfo Series",
    "job": "AsyncEvaluationJob AsyncJob EvaluationJob Job",
    "model": "AsyncModel Model",
    "problem": "Problem Violation",
    "release": "Alert AlertAction BrokenRule EvaluationOptions EvaluationProfile Release ReleaseOverride "
    "ReleasePolicy ReleaseRule ReleaseState ReleaseWarning RuleEffect RuleKind RuleReference "
    "RuleStatistic Verdict",
    "replicas": "Replicas",
    "report": "AsyncReport Report",
    "resources": "Capabilities DatasetInfo Inferred JobEvent JobInfo JobKind JobState ModelInfo "
    "PhaseStarted Privacy Progress Provenance StateChanged TrainerInfo",
    "rules": "Allowed Combination OneHot Order Range Unique",
    "sampling": "SampleBatch",
    "schema": "Column ColumnOverride Finding ForeignKey Handling Kind Schema SchemaOverrides Storage "
    "TableOverride TableRole TableSchema",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'kohort' has no attribute {name!r}")
    value = getattr(import_module(f"kohort.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
