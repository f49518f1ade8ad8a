"""What images are taken for: confusion, precision, F1."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, precision_score

import srat
from srat.core.errors import UserError
from srat.evaluation.classification import confusion_of, f1_scores, macro, precisions, taken_for
from srat.evaluation.counts import Counts
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.record import CLEAN, WORST, Evaluation, Result


@pytest.fixture
def labels(rng):
    return torch.randint(0, 4, (200,), generator=rng)


@pytest.fixture
def outcome(labels, rng):
    """Some are broken, and taken for another class than their own."""
    predicted = torch.where(torch.rand(200, generator=rng) < 0.6, labels, (labels + labels % 2 + 1) % 4)
    return Outcome(torch.where(predicted == labels, NEVER, 3), predicted)


def test_the_confusion_is_scikit_learns(outcome, labels):
    found = confusion_of(outcome, labels, 4).numpy()
    np.testing.assert_array_equal(found, confusion_matrix(labels, outcome.predicted, labels=range(4)))


def test_precision_and_f1_are_scikit_learns(outcome, labels):
    counts = Counts.of(outcome.survived, labels, 4)
    result = Result(counts=counts, attack={}, taken=taken_for(outcome, labels, 4))
    said = {"labels": range(4), "average": None, "zero_division": np.nan}
    assert result.precision == pytest.approx(precision_score(labels, outcome.predicted, **said), nan_ok=True)
    assert result.f1 == pytest.approx(f1_score(labels, outcome.predicted, **said))
    whole = precision_score(labels, outcome.predicted, average="macro", zero_division=0)
    assert result.macro_precision == pytest.approx(whole)
    assert result.macro_f1 == pytest.approx(f1_score(labels, outcome.predicted, average="macro"))


def test_what_broke_on_its_own_class_is_taken_for_nothing():
    """The argmax of logits that are no numbers may be the true class."""
    outcome = Outcome(torch.tensor([0, NEVER, 0]), torch.tensor([1, 1, 0]))
    found = confusion_of(outcome, torch.tensor([1, 1, 1]), 2)
    assert found.tolist() == [[0, 0], [1, 1]]


def test_classes_without_images_or_predictions():
    assert precisions((1, 0, 0), (2, 0, 3)) == pytest.approx((0.5, math.nan, 0.0), nan_ok=True)
    f1 = f1_scores((1, 0, 0), (1, 2, 0), (2, 0, 3))
    assert f1 == pytest.approx((2 / 3, 0.0, math.nan), nan_ok=True)
    assert macro(f1) == pytest.approx(1 / 3)
    assert math.isnan(macro((math.nan,)))


def test_a_worst_case_takes_images_for_no_one_class(outcome, labels):
    examples = Examples(labels=labels, class_names=tuple("abcd"), test="t", weights="w")
    for name in ("pgd-20", "fgsm"):
        examples = examples.with_outcome(name, outcome, Origin(attack={"name": name}, seed=0, budget=""))
    results = examples.results()
    assert results["fgsm"].taken == taken_for(outcome, labels, 4)
    assert results[WORST].taken is None
    assert results[WORST].precision is results[WORST].f1 is results[WORST].macro_f1 is None


def test_a_class_that_is_never_predicted_counts_in_the_mean():
    counts = Counts(correct=(180, 0, 0), total=(180, 10, 10))
    assert Result(counts=counts, attack={}, taken=(200, 0, 0)).macro_precision == pytest.approx(0.3)


class TestInAnEvaluation:
    @pytest.fixture
    def evaluation(self, outcome, labels):
        counts, taken = Counts.of(outcome.survived, labels, 4), taken_for(outcome, labels, 4)
        result = Result(counts=counts, attack={"name": "natural"}, taken=taken)
        return Evaluation(class_names=tuple("abcd"), train_counts=(9, 5, 3, 1), results={CLEAN: result})

    def test_it_is_written_and_read(self, evaluation, tmp_path):
        path = tmp_path / "evaluation.json"
        path.write_text(evaluation.to_json())
        assert Evaluation.read(path).results[CLEAN].taken == evaluation.results[CLEAN].taken

    def test_fewer_taken_than_right_are_refused(self, evaluation, tmp_path):
        path = tmp_path / "evaluation.json"
        content = json.loads(evaluation.to_json())
        content["results"][CLEAN]["taken"][0] = 0
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match="more images right than are taken"):
            Evaluation.read(path)

    def test_the_python_function_has_it_too(self, labels):
        def model(images):
            return torch.stack([images.mean(dim=(1, 2, 3)) * c for c in (1.0, 0.5, 0.2, 0.1)], dim=1)

        class Model(torch.nn.Module):
            forward = staticmethod(model)

        found = srat.evaluate(Model(), torch.rand(200, 1, 2, 2), labels)
        assert found.taken == (200, 0, 0, 0)
        assert found.precision[0] == pytest.approx(found.accuracy.accuracy)
