"""Files of JSON as dataclasses: a mistake is one line that names the file and the key."""

import json
from dataclasses import dataclass, field

import pytest

from srat.audit.suite import Audit
from srat.core.errors import UserError
from srat.core.structuring import read_structured, strict_converter, structured
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.record import Evaluation


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int
    inner: dict[str, Inner] = field(default_factory=dict)


def test_what_is_not_known_is_ignored_unless_it_is_forbidden():
    content = {"count": 1, "more": 2, "inner": {"a": {"share": 1}}}
    assert structured(content, Outer) == Outer(count=1, inner={"a": Inner(share=1.0)})
    with pytest.raises(UserError, match="unknown key 'more'; there are: count, inner"):
        structured(content, Outer, strict_converter(other_keys=False))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "expected a JSON object, got list"),
        ({}, "count: missing"),
        ({"count": True}, "count: expected a whole number, got true"),
        ({"count": 1.0}, "count: expected a whole number, got 1.0"),
        ({"count": "1"}, 'count: expected a whole number, got "1"'),
        ({"count": 1, "inner": {"a": {"share": False}}}, "inner['a'].share: expected a number, got false"),
        ({"count": 1, "inner": {"a": {"share": 1, "names": [1]}}}, "inner['a'].names[0]: expected text, got 1"),
    ],
)
def test_a_mistake_is_said_with_its_place(content, said, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as raised:
        read_structured(path, Outer, limit=1_000, what="thing", advice="remove it")
    assert str(raised.value) == f"{path}: not a readable thing ({said}); remove it"


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (
            Evaluation,
            {"class_names": ["a", 1], "train_counts": [1, 2], "results": {}},
            "class_names[1]: expected text, got 1",
        ),
        (Evaluation, {"class_names": ["a"], "train_counts": [1], "results": {}}, "fewer than two classes"),
        (FeatureMap, {"class_names": ["a", "b"], "labels": [True]}, "labels[0]: expected a whole number, got true"),
        (Audit, {"checks": [{"check": "a", "question": "b", "verdict": "well"}]}, "expected one of pass, warn, fail"),
        (Audit, {"checks": [{"check": "a", "question": "b", "verdict": "pass"}]}, "a verdict without evidence"),
        (Audit, {"checks": [{"check": "a"}]}, "checks[0].question: missing"),
    ],
)
def test_the_files_of_a_run_name_what_is_wrong(kind, content, said, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as raised:
        kind.read(path)
    assert str(raised.value).startswith(f"{path}: not a readable ")
    assert said in str(raised.value)
