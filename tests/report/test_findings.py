"""In what runs differ beside their methods."""

from dataclasses import replace

import pytest

from srat import compose
from srat.report.findings import beside_the_method
from srat.runs.comparing import EvaluatedRun


def told(one, other):
    """Return what is said of two runs, but for their names."""
    runs = [object.__new__(EvaluatedRun) for _ in "ab"]
    for run, name, config in zip(runs, "ab", (one, other), strict=True):
        object.__setattr__(run, "path", name)
        object.__setattr__(run, "config", config)
    return [text.split(": ", 1)[1] for text in beside_the_method(runs)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ce", "srat-ldam"),
        ("ce", "fast-bsl"),  # whose guard comes with its attack
        ("bsl", "fast-bsl"),
        ("bsl", "robustlt"),
        ("ce", "at-awp"),
        ("trades", "at-bsl"),  # whose starts differ
        ("ce", "robal"),
        ("ce", "taet"),
        ("ce", "cfa"),
    ],
)
def test_what_comes_with_the_methods_is_not_said(one, other):
    made = [compose(method=name, data="cifar10") for name in (one, other)]
    assert told(*made) == []
    assert told(made[0], replace(made[1], seed=3)) == []


def test_what_comes_beside_them_is_said():
    ce, bsl = compose(method="ce", data="cifar10"), compose(method="bsl", data="cifar10")
    assert told(ce, replace(bsl, epochs=7)) == [f"epochs {ce.epochs} (not 7)."]
    assert "averaging" in told(ce, compose(bsl, averaging="ema"))[0]  # no method of the two has one
    assert "attack.epsilon" in told(ce, compose(bsl, epsilon=0.01))[0]
    fast = compose(method="fast-bsl", data="cifar10")
    assert "guard" in told(fast, compose(fast, guard="none"))[0]
