"""The normalisation of a file's weights takes the place of a given model's, and that is said."""

import pytest

import srat
from srat.core.signals import Interrupted
from srat.models import wrap
from srat.training.fitting import fit
from stopping import StopAfter
from wrapping import GREY, Own, tiny

SAID = r"trained with mean 0.5, std 0.25, which replaces the mean 0.1, std 0.25 of the given model"


def other():
    return wrap(Own(), mean=0.1, std=0.25)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit(tiny(), model=wrap(Own(), **GREY), out=tmp_path_factory.mktemp("runs") / "a").folder


@pytest.mark.parametrize(
    "asked",
    [lambda run, model: srat.load(run, model=model), lambda run, model: fit(tiny(), model=model, out=run).model],
)
def test_is_told_of_where_it_is_another(asked, run):
    with pytest.warns(UserWarning, match=SAID) as said:
        model = asked(run, other())
    assert len(said) == 1
    assert model.normalization.mean.item() == 0.5
    asked(run, wrap(Own(), mean=[0.50001], std=[0.25]))
    with pytest.warns(UserWarning, match="replaces the mean 0.5, std 0.3 of"):
        asked(run, wrap(Own(), mean=0.5, std=0.3))


def test_is_told_of_where_a_run_goes_on(tmp_path):
    with pytest.raises(Interrupted):
        fit(tiny(), model=wrap(Own(), **GREY), out=tmp_path / "a", observer=StopAfter(3))
    with pytest.warns(UserWarning, match=SAID):
        fit(tiny(), model=other(), out=tmp_path / "a")


def test_nothing_is_said_of_a_model_that_is_built(tmp_path):
    srat.load(fit(tiny(), out=tmp_path / "a").folder)
