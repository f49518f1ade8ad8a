"""Mistakes of evaluation; `planting` has them all."""

import numpy as np
import pytest

from srat.evaluation.counts import Counts
from srat.evaluation.groups import GROUPINGS, NamedGroups
from srat.evaluation.record import Evaluation, Result
from srat.report.terminal.table import notes

# 12. An imbalanced test set.


def check_imbalance_is_told(say):
    counts = Counts(correct=(90, 1), total=(100, 10))
    evaluation = Evaluation(
        class_names=("a", "b"), train_counts=(5, 5), results={"clean": Result(counts=counts, attack={})}
    )
    assert any("not balanced (10 to 100" in note and "'class mean' takes all alike" in note for note in say(evaluation))
    assert evaluation.results["clean"].counts.balanced().accuracy == 0.5


def test_12_an_imbalanced_test_set_is_told_of():
    check_imbalance_is_told(notes)
    with pytest.raises(AssertionError):
        check_imbalance_is_told(lambda evaluation: [])
    balanced = Result(counts=Counts(correct=(5, 1), total=(10, 10)), attack={})
    assert notes(Evaluation(class_names=("a", "b"), train_counts=(5, 5), results={"clean": balanced})) == []


# 39. Tail groups by the order of the labels.


def check_groups(definition):
    """Permuted classes are in permuted groups."""
    counts = (500, 300, 120, 90, 60, 40, 19, 12, 7, 3)
    order = np.random.default_rng(0).permutation(10)
    plain, permuted = definition(counts).named, definition(tuple(counts[c] for c in order)).named
    assert {name: sorted(order[c] for c in classes) for name, classes in permuted.items()} == {
        name: list(classes) for name, classes in plain.items()
    }


def last_third(train_counts):
    """REAT's: the labels from 2 ⌊C/3⌋ + 1 on."""
    first = 2 * (len(train_counts) // 3) + 1
    return NamedGroups(named={"head": tuple(range(first)), "tail": tuple(range(first, len(train_counts)))})


def test_39_groups_follow_the_counts_not_the_labels():
    for definition in GROUPINGS.values():
        check_groups(definition)
    with pytest.raises(AssertionError):
        check_groups(last_third)
