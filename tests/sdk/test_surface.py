"""What the package shows: its names, its light import, and one surface for both clients."""

import ast
import inspect
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

import kohort
from kohort import (
    AsyncClient,
    AsyncDataset,
    AsyncEvaluationJob,
    AsyncJob,
    AsyncModel,
    AsyncReport,
    Client,
    Dataset,
    EvaluationJob,
    Job,
    Model,
    Report,
)

PAIRS = (
    (Client, AsyncClient),
    (Job, AsyncJob),
    (EvaluationJob, AsyncEvaluationJob),
    (Model, AsyncModel),
    (Dataset, AsyncDataset),
    (Report, AsyncReport),
)

EXPORTS = """
    Alert AlertAction Allowed AlreadyExists AsyncClient AsyncDataset AsyncEvaluationJob AsyncJob
    AsyncModel AsyncReport BrokenRule Bundle CallCancelled Capabilities Client CohortTooSmall Column
    ColumnOverride Combination Condition ConditionUnsatisfied ConditionUnsupported Conflict Dataset
    DatasetInfo DeadlineExceeded EvaluationCounts EvaluationJob EvaluationOptions EvaluationProfile
    FailedPrecondition Figure FigureKind Finding ForeignKey Handling Inferred IntegrityError Interval
    InvalidRequest Job JobCancelled JobError JobEvent JobFailed JobInfo JobKind JobState KeepAlive Kind
    KohortError LeftOut load Metric MetricDirection MetricFamily MetricInfo Model ModelInfo ModelLocked
    NotFound OneHot Order Overloaded PermissionDenied PhaseStarted Privacy Problem Progress Provenance
    Range Release ReleaseOverride ReleasePolicy ReleaseRule ReleaseState ReleaseWarning Replicas
    ReplicasDiffer Report ReportInfo Retry RpcError RuleEffect RuleKind RuleReference RuleStatistic
    SampleBatch Schema SchemaOverrides Series ServerError StateChanged Storage TableOverride TableRole
    TableSchema Timeouts TLS TrainerInfo Unauthenticated Unavailable Unimplemented Unique Verdict
    __version__ Violation
"""


def test_the_public_names_are_these():
    assert sorted(kohort.__all__) == sorted(EXPORTS.split())
    assert set(kohort.__all__) <= set(dir(kohort))


@pytest.mark.parametrize("name", EXPORTS.split())
def test_every_public_name_is_there(name):
    assert getattr(kohort, name) is not None


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(kohort.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == {n: f"kohort.{kohort._HOME_OF[n]}" for n in seen}
    assert set(seen) == set(kohort._HOME_OF)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kohort.nonsense


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("import kohort", {"grpc", "google.protobuf", "numpy", "pandas", "pyarrow", "onnxruntime"}),
        (
            "import kohort; kohort.Retry, kohort.NotFound, kohort.JobState",
            {"grpc", "google.protobuf", "pandas"},
        ),
        ("import kohort; kohort.load, kohort.Bundle", {"grpc", "google.protobuf", "pandas", "pyarrow"}),
        (
            "import kohort; kohort.Client('localhost:1').close()",
            {"pandas", "pyarrow", "onnxruntime", "torch", "rich"},
        ),
        ("import kohort.cli.main", {"grpc", "google.protobuf", "pandas", "pyarrow", "onnxruntime"}),
    ],
)
def test_imports_are_as_light_as_promised(use, absent):
    code = f"{use}\nimport sys\nprint(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )
    assert not loaded & absent


def surface(cls):
    return {n: m for n, m in inspect.getmembers(cls) if not n.startswith("_") and n not in ("info", "target")}


def shape(member):
    """The signature as text, with the asynchronous names made plain."""
    if isinstance(member, property):
        return "property"
    text = str(inspect.signature(member))
    return re.sub(r"\bAsync(?=Client|Dataset|EvaluationJob|Job|Model|Report|Iterator)", "", text)


@pytest.mark.parametrize("pair", PAIRS)
def test_both_clients_have_one_surface(pair):
    blocking, waiting = map(surface, pair)
    assert set(blocking) == set(waiting)
    assert {n: shape(m) for n, m in blocking.items()} == {n: shape(m) for n, m in waiting.items()}


def test_constructors_are_the_same():
    assert shape(Client.__init__) == shape(AsyncClient.__init__)


def test_what_answers_once_is_awaited_and_what_streams_is_iterated():
    for blocking, waiting in PAIRS:
        for name, member in surface(waiting).items():
            # What both handles share asks nothing of the server.
            if isinstance(member, property) or member is getattr(blocking, name):
                continue
            streams = "Iterator" in str(inspect.signature(getattr(blocking, name)).return_annotation)
            assert inspect.iscoroutinefunction(member) != streams, name


def test_every_public_callable_is_documented():
    for cls in chain(*PAIRS):
        assert [n for n, m in surface(cls).items() if not inspect.getdoc(m)] == []


def test_no_handle_relies_on_finalisation():
    for cls in chain(*PAIRS):
        assert not hasattr(cls, "__del__")


def test_every_error_is_a_kohort_error():
    errors = [
        e
        for e in map(kohort.__getattr__, kohort.__all__[1:])
        if inspect.isclass(e) and issubclass(e, Exception)
    ]
    others = (kohort.Problem, kohort.ReleaseWarning)
    assert all(issubclass(e, kohort.KohortError) for e in errors if e not in others)
    assert not issubclass(kohort.JobFailed, kohort.RpcError)
