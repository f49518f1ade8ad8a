"""Groups of classes by name: who is in them, in whichever order the classes come."""

import io
import itertools
import json

import numpy as np
import pytest
from rich.console import Console

from srat.core.errors import UserError
from srat.evaluation.counts import Counts
from srat.evaluation.groups import COMMON, GROUPINGS, RARE, grouped, groups
from srat.evaluation.record import Evaluation, Result
from srat.report.terminal.table import class_table

# The profiles of the field: ⌊n_max · K^(−c/(C−1))⌋.
EXP_100 = tuple(int(5000 * 100 ** (-c / 9) + 1e-9) for c in range(10))
C100_EXP_10 = tuple(int(500 * 10 ** (-c / 99) + 1e-9) for c in range(100))
C100_EXP_100 = tuple(int(500 * 100 ** (-c / 99) + 1e-9) for c in range(100))
STEP_100 = (5000,) * 5 + (50,) * 5


def of(definition, counts):
    return grouped(definition, counts, tuple(f"c{i}" for i in range(len(counts))))


@pytest.mark.parametrize(
    ("definition", "counts", "expected"),
    [
        ("half", EXP_100, {COMMON: range(5), RARE: range(5, 10)}),
        ("thirds", EXP_100, {"head": range(4), "middle": range(4, 7), "tail": range(7, 10)}),
        ("thirds", C100_EXP_10, {"head": range(34), "middle": range(34, 67), "tail": range(67, 100)}),
        ("rarest-80", EXP_100, {"head": range(2), "tail": range(2, 10)}),
        ("rarest-80", C100_EXP_10, {"head": range(20), "tail": range(20, 100)}),
        ("many-medium-few", EXP_100, {"many": range(8), "medium": range(8, 10)}),
        ("many-medium-few", C100_EXP_100, {"many": range(35), "medium": range(35, 70), "few": range(70, 100)}),
        ("many-medium-few", (101, 100, 20, 19), {"many": (0,), "medium": (1, 2), "few": (3,)}),
        ("c3, 0", (9, 8, 7, 6), {"others": (1, 2), "chosen": (0, 3)}),
    ],
)
def test_who_is_in_which_group(definition, counts, expected):
    assert {name: tuple(classes) for name, classes in expected.items()} == of(definition, counts).named


def test_the_common_classes_come_first_in_each():
    for definition in GROUPINGS:
        sizes = [[EXP_100[c] for c in classes] for classes in of(definition, EXP_100).named.values()]
        assert all(min(one) >= max(other) for one, other in itertools.pairwise(sizes))
        assert sum(map(len, sizes)) == 10


@pytest.mark.parametrize("definition", GROUPINGS)
@pytest.mark.parametrize("seed", range(5))
def test_groups_follow_the_counts_in_any_order_of_the_classes(definition, seed):
    order = np.random.default_rng(seed).permutation(100)
    distinct = tuple(range(200, 0, -2))
    permuted = of(definition, tuple(distinct[c] for c in order)).named
    assert permuted.keys() == of(definition, distinct).named.keys()
    for name, classes in of(definition, distinct).named.items():
        assert {order[c] for c in permuted[name]} == set(classes)


@pytest.mark.parametrize(
    ("definition", "counts", "said"),
    [
        ("many-medium-few", EXP_100, ["No class has fewer than 20 training images (of 50 to 5,000)"]),
        ("many-medium-few", C100_EXP_10, ["No class has fewer than 20"]),
        ("many-medium-few", (5000,) * 10, ["No class has 20 to 100", "No class has fewer than 20"]),
        ("thirds", (7, 7, 7), ["Every class has 7 training images: there are no groups."]),
        ("rarest-80", (7, 6, 5), ["There are too few classes for a group 'head'."]),
        ("rarest-80", STEP_100, ["Of the classes with 5,000 training images the first are in 'head', the others in"]),
        ("rarest-80", EXP_100, []),
        ("half", (5, 5), []),
    ],
)
def test_what_is_empty_or_arbitrary_is_said(definition, counts, said):
    notes = of(definition, counts).notes
    assert [note[: len(start)] for note, start in zip(notes, said, strict=True)] == said
    assert all(classes for classes in of(definition, counts).named.values())


def test_a_number_is_a_label_unless_a_class_is_called_so():
    assert grouped("1", (3, 2, 1), ("a", "b", "c")).named["chosen"] == (1,)
    assert grouped("1", (3, 2, 1), ("1", "b", "c")).named["chosen"] == (0,)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("third", "unknown groups 'third', did you mean 'thirds'"),
        ("rarest_80", "did you mean 'rarest-80'"),
        ("a,x", "unknown groups 'x'"),
        ("3", "unknown groups '3'"),
        ("", "expected some of the 3 classes, got 0"),
        ("a,b,c", "expected some of the 3 classes, got 3"),
    ],
)
def test_other_words_are_refused(definition, said):
    with pytest.raises(UserError, match=said):
        grouped(definition, (3, 2, 1), ("a", "b", "c"))


def evaluation():
    counts = Counts(correct=(9, 8, 1, 2), total=(10, 10, 10, 10))
    return Evaluation(
        class_names=tuple("abcd"), train_counts=(50, 120, 10, 30), results={"clean": Result(counts=counts, attack={})}
    )


def cells(table):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in console.export_text().splitlines()]


def test_a_table_shows_the_groups_asked_for():
    shown = cells(class_table(evaluation(), title="t", groups=of("many-medium-few", (50, 120, 10, 30))))
    rows = [line for line in shown if "[" in line and "interval" not in line]
    starts = ["b many 120 80.0", "a medium 50 90.0", "d medium 30 20.0", "c few 10 10.0"]
    starts += ["overall 210 50.0", "many 120 80.0", "medium 80 55.0", "few 10 10.0", "worst class 10.0"]
    assert [line[: len(start)] for line, start in zip(rows, starts, strict=True)] == starts


def test_the_file_keeps_the_papers_groups():
    content = json.loads(evaluation().to_json())
    assert content["groups"] == {"well": [0, 1], "under": [2, 3]}
    assert set(content["results"]["clean"]["summary"]) == {"overall", "balanced", "well", "under", "worst_class"}
    assert groups((1, 1)).named == {}
