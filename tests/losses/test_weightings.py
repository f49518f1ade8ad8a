"""Class weightings against closed forms."""

import pytest
import torch

from srat import weightings
from srat.core.errors import UserError
from srat.core.members import members
from srat.weightings import (
    EffectiveNumber,
    Fixed,
    InverseFrequency,
    Weighting,
    effective_number,
    inverse_frequency,
    uniform,
)

COUNTS = (5000, 500, 50)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999, 0.99999])
def test_effective_number_is_its_formula(beta):
    raw = torch.tensor([(1 - beta) / (1 - beta**n) for n in COUNTS], dtype=torch.float64)
    torch.testing.assert_close(weightings.effective_number(COUNTS, beta), (raw / raw.mean()).float())


def test_effective_number_gives_the_paper_its_78():
    weights = weightings.effective_number((5000, 50))
    assert (weights[1] / weights[0]).item() == pytest.approx(78.89, abs=0.005)
    at_999 = weightings.effective_number((5000, 50), beta=0.999)
    assert (at_999[1] / at_999[0]).item() == pytest.approx(20.4, abs=0.05)


def test_effective_number_nears_inverse_frequency_as_beta_nears_one():
    near = weightings.effective_number(COUNTS, beta=1 - 1e-12)
    torch.testing.assert_close(near, weightings.inverse_frequency(COUNTS), rtol=1e-6, atol=0)


def test_inverse_frequency_by_hand():
    torch.testing.assert_close(weightings.inverse_frequency((1, 3)), torch.tensor([1.5, 0.5]))
    torch.testing.assert_close(weightings.inverse_frequency((1, 4), power=0.5), torch.tensor([4 / 3, 2 / 3]))


@pytest.mark.parametrize(
    "weighting", [w() for w in members(Weighting).values() if w is not Fixed], ids=lambda w: w.name
)
class TestEveryWeighting:
    def test_has_mean_one(self, weighting):
        assert weighting.weights(COUNTS).mean().item() == pytest.approx(1)

    def test_is_uniform_on_balanced_data(self, weighting):
        torch.testing.assert_close(weighting.weights((7, 7, 7)), torch.ones(3))

    def test_never_weighs_a_rarer_class_less(self, weighting):
        weights = weighting.weights(COUNTS).tolist()
        assert weights == sorted(weights)


@pytest.mark.parametrize("kind", [EffectiveNumber, InverseFrequency])
def test_majority_one(kind):
    weights = kind(scale="majority_one").weights((50, 5000))
    assert weights[1] == 1
    torch.testing.assert_close(weights[0] / weights[1], kind().weights((50, 5000))[0] / kind().weights((50, 5000))[1])


def test_a_weighting_is_made_of_its_own_settings():
    assert torch.equal(InverseFrequency(power=0.5).weights(COUNTS), inverse_frequency(COUNTS, 0.5))
    assert torch.equal(EffectiveNumber(beta=0.99).weights(COUNTS), effective_number(COUNTS, 0.99))


def test_fixed_is_used_as_it_is():
    assert Fixed(values=(1.0, 78.0)).weights((5000, 50)).tolist() == [1.0, 78.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: weightings.effective_number((10, 0)),
        lambda: weightings.inverse_frequency((10, 0)),
        lambda: weightings.effective_number((10, 1), beta=1.0),
        lambda: EffectiveNumber(beta=-0.1),
        lambda: InverseFrequency(power=-1.0),
        lambda: Fixed(values=(1.0, -1.0)),
        lambda: Fixed(values=(1.0,)).weights((1, 1)),
    ],
)
def test_refuses_what_is_out_of_range(make):
    with pytest.raises(UserError, match="expected"):
        make()


@pytest.mark.parametrize("weigh", [effective_number, inverse_frequency, uniform, Fixed(values=(1, 2)).weights])
def test_counts_beyond_any_data_set_are_refused(weigh):
    for counts, got in (([2**70, 1], "1.18059e+21 in class 0"), ([1, 10**12 + 1], "1000000000001 in class 1")):
        with pytest.raises(UserError) as error:
            weigh(counts)
        assert str(error.value) == f"class counts: expected at most 1e+12 in each class, got {got}"
    assert weigh([10**12, 1]).isfinite().all()
