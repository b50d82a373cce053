"""What the reader of PromQL sees."""

from __future__ import annotations

import pytest

from tests.operate import promql

RATIO = """
sum by (grpc_method) (rate(grpc_server_handled_total{job="kohort", grpc_code=~"Internal|OK"}[5m])) # bad
  / on (grpc_method) group_left () sum without (instance) (kohort:rpc:rate5m offset 1h) > bool 1e-3
"""


def test_metrics_are_told_from_functions_keywords_and_labels() -> None:
    assert promql.metrics(RATIO) == {"grpc_server_handled_total", "kohort:rpc:rate5m"}


def test_labels_are_those_matched_on_and_grouped_by() -> None:
    assert promql.labels(RATIO) == {"grpc_method", "job", "grpc_code", "instance"}


def test_a_selector_is_a_query_of_its_own() -> None:
    first, second = promql.selectors(RATIO)
    assert first.text == 'grpc_server_handled_total{job="kohort", grpc_code=~"Internal|OK"}'
    assert first.labels == {"job", "grpc_code"}
    assert (second.text, second.labels) == ("kohort:rpc:rate5m", frozenset())


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[$__rate_interval])))", {"a_bucket"}),
        ('a{instance=~"$instance", x="b{c}"} and on () b unless c', {"a", "b", "c"}),
        ("sum(a) by (b) + topk(3, c @ start()) - d[1h:5m]", {"a", "c", "d"}),
        ("time() - a > 15 * 60 or vector(1) or -inf", {"a"}),
        ("absent(up{job='kohort'})", {"up"}),
        ("max_over_time((a > ${limit:raw})[1h:])", {"a"}),
        ("1", set()),
    ],
)
def test_forms(expression: str, metrics: set[str]) -> None:
    assert promql.metrics(expression) == metrics


@pytest.mark.parametrize("expression", ['{__name__=~"a.*"}', 'label_replace(a, "b", "", "c", "")', "a{b='c'"])
def test_what_cannot_be_held_to_the_registry_is_said(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql.labels(expression)
