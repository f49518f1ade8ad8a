"""Which run is best in a time: it fits, and more time never makes it less."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import facts

import srat
from srat.core.durations import parse_duration
from srat.core.errors import UserError
from srat.planning.costs import USABLE, Speed, costs_of
from srat.planning.deciding import Option, decide, roughly_above
from srat.planning.ladder import PATIENT, ladder
from srat.planning.planning import choices_of
from srat.planning.settings import FEWEST_EPOCHS, configured, enough_epochs, most_epochs

DATA = facts()
ASKED = srat.compose(data="cifar10", imbalance="none")
CONFIGS = {each: configured(ASKED, DATA, each, epochs=1) for each in ladder(DATA, "linf")}


def options(unit=1e-3, growth=2.5):
    """Return all candidates, each setup so many times as slow as the one before; the first with a unit for a pass."""
    setups = list(dict.fromkeys(candidate.setup for candidate in CONFIGS))
    ascents = {setup: unit * growth**place for place, setup in enumerate(setups)}
    passes = {setup: 22 if setup.method == PATIENT else 2.5 for setup in setups}
    speeds = {setup: Speed(step=passes[setup] * ascent, ascent=ascent) for setup, ascent in ascents.items()}
    return [
        Option(candidate=each, config=config, costs=costs_of(config, DATA, speeds[each.setup], "cpu"))
        for each, config in CONFIGS.items()
    ]


def place(decision, among):
    return among.index(decision.chosen), decision.epochs


times = st.floats(500, 1e7)


@given(seconds=times, unit=st.floats(1e-6, 1e-3), growth=st.floats(1.0, 6.0))
@settings(max_examples=30, deadline=None)
def test_it_fits_into_nine_tenths_of_the_time(seconds, unit, growth):
    there = options(unit, growth)
    found = decide(there, DATA, seconds)
    assert found.chosen.costs.total(found.epochs) <= USABLE * seconds + 1e-6
    assert FEWEST_EPOCHS <= found.epochs <= most_epochs(DATA.images)
    first = there[0]
    assert found.epochs >= enough_epochs(DATA.images) or found.chosen is first


@given(one=times, other=times, unit=st.floats(1e-6, 1e-3), growth=st.floats(1.0, 6.0))
@settings(max_examples=30, deadline=None)
def test_more_time_is_never_a_smaller_network_nor_fewer_epochs_of_it(one, other, unit, growth):
    there = options(unit, growth)
    less, more = (decide(there, DATA, each) for each in sorted((one, other)))
    assert place(less, there) <= place(more, there)


def test_the_largest_with_enough_epochs_is_chosen():
    there = options()
    for seconds in (1e3, 1e4, 1e5, 1e6):
        found = decide(there, DATA, seconds)
        later = there[there.index(found.chosen) + 1 :]
        assert all(each.costs.epochs_within(seconds) < enough_epochs(DATA.images) for each in later)


def test_with_plenty_of_time_it_is_pgd_on_the_largest_network():
    found = decide(options(), DATA, 1e9)
    assert (found.chosen.candidate.setup.method, found.chosen.candidate.selects) == (PATIENT, True)
    assert found.epochs == most_epochs(DATA.images)
    assert found.better is None


def test_the_choice_of_the_epoch_is_given_up_first():
    there = options()
    bare, choosing = there[:2]
    seconds = (bare.costs.shortest(12) + choosing.costs.shortest(12)) / 2
    assert decide(there, DATA, seconds).chosen is bare
    assert decide(there, DATA, choosing.costs.shortest(12) + 1).chosen is choosing


def test_too_short_a_time_is_told_what_would_do():
    first = options()[0]
    shortest = first.costs.shortest(FEWEST_EPOCHS)
    assert decide([first], DATA, shortest + 1e-6).epochs == FEWEST_EPOCHS
    with pytest.raises(UserError) as caught:
        decide([first], DATA, 60)
    shown = "at least 205s for these images on this machine (3 epochs of 36 s, evaluation 1 min, start 12 s), got '60s'"
    assert str(caught.value) == f"`time`: expected {shown}"
    assert 200 < shortest <= 205
    with pytest.raises(UserError, match="^`time`: expected at least 205s "):
        decide([first], DATA, shortest - 1)  # two epochs


@pytest.mark.parametrize(("seconds", "said"), [(0.1, "5s"), (85, "85s"), (86, "90s"), (300, "5m"), (301, "6m")])
def test_what_would_do_is_a_time_that_the_command_takes(seconds, said):
    assert roughly_above(seconds) == said
    assert parse_duration(said, "time") >= seconds


def test_every_choice_has_a_reason():
    there = options()
    for seconds in (600, 3e3, 1e4, 1e5, 1e9):
        choices = choices_of(decide(there, DATA, seconds))
        assert len({choice.what for choice in choices}) == len(choices) == 8
        assert all(choice.value and choice.reason for choice in choices)


def reason(of, seconds, there=None):
    return {c.what: c.reason for c in choices_of(decide(there or options(), DATA, seconds))}[of]


def test_the_network_that_does_not_fit_is_named():
    assert reason("network", 1e3) == "small CNN of width 32 would get 8 epochs of the 12 that it needs"
    assert reason("network", 500) == "the smallest; 12 epochs would be better"
    assert reason("network", 1e9) == "the largest for these images"


def test_time_that_is_left_is_said():
    assert reason("epochs", 1e9) == "more gain nothing for so many images; the rest of the time is left"
    assert reason("epochs", 1e3) == "as many as fit"
