"""How good probabilities are: areas under the curve, bins of confidence, log loss."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

import srat
from srat.core.errors import UserError
from srat.data import Dataset
from srat.evaluation.probabilities import Bin, Probabilities, judged, one_vs_rest, probabilities_of, reliability
from srat.evaluation.record import Evaluation


@pytest.fixture
def logits(rng):
    return 3 * torch.randn(400, 5, generator=rng)


@pytest.fixture
def labels(logits, rng):
    """Right for about half of the images."""
    return torch.where(torch.rand(400, generator=rng) < 0.5, logits.argmax(dim=1), torch.arange(400) % 5)


def test_areas_are_scikit_learns(logits, labels):
    found = judged(logits, labels)
    for c in range(5):
        scores = logits.double().softmax(dim=1)[:, c].numpy()
        assert found.auc[c] == pytest.approx(roc_auc_score((labels == c).numpy(), scores), abs=1e-6)
    assert found.mean_auc == pytest.approx(np.mean(found.auc))


def test_log_loss_is_scikit_learns(logits, labels):
    for temperature in (1.0, 2.5):
        wanted = log_loss(labels.numpy(), (logits.double() / temperature).softmax(dim=1).numpy(), labels=range(5))
        assert judged(logits, labels, temperature=temperature).log_loss == pytest.approx(wanted, abs=1e-6)


def test_ties_count_half():
    scores = torch.tensor([0.2, 0.5, 0.5, 0.5, 0.9, 0.1])
    positive = torch.tensor([False, True, False, True, True, False])
    pairs = [(s > t) + 0.5 * (s == t) for s in scores[positive].tolist() for t in scores[~positive].tolist()]
    assert one_vs_rest(scores, positive) == pytest.approx(sum(pairs) / len(pairs))
    assert one_vs_rest(torch.ones(6), positive) == 0.5


@pytest.mark.parametrize("positive", [torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)])
def test_a_class_of_no_image_or_of_all_has_no_area(positive):
    assert one_vs_rest(torch.rand(3), positive) is None


def test_mean_area_leaves_out_classes_without_images(logits):
    found = judged(logits, torch.arange(400) % 2)
    assert found.auc[2:] == (None, None, None)
    assert found.mean_auc == pytest.approx(sum(found.auc[:2]) / 2)
    assert judged(logits, torch.zeros(400, dtype=torch.long)).mean_auc is None


def test_the_calibration_error_is_that_of_plain_loops(logits, labels):
    found = judged(logits, labels)
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    wanted = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            gap = (predicted == labels)[inside].double().mean() - confidence[inside].mean()
            wanted += inside.double().mean().item() * abs(gap.item())
    assert found.calibration_error == pytest.approx(wanted, abs=1e-6)
    assert sum(each.images for each in found.bins) == 400
    assert sum(each.right for each in found.bins) == int((predicted == labels).sum())


def test_a_bin_holds_its_upper_end():
    bins = reliability(torch.tensor([0.0, 0.5, 0.500001, 1.0]), torch.tensor([False, True, True, False]), bins=2)
    assert [(each.images, each.right) for each in bins] == [(2, 1), (2, 1)]


def test_probabilities_that_say_what_happens_have_no_error():
    logits = torch.tensor([[math.log(3), 0.0]]).repeat(400, 1)  # three quarters
    labels = torch.arange(400) % 4 == 0
    assert judged(logits, labels.long()).calibration_error == pytest.approx(0, abs=1e-6)
    assert judged(logits, labels.long(), temperature=0.1).calibration_error == pytest.approx(0.25, abs=1e-4)


def test_what_is_no_number_is_wrong_and_of_no_confidence(logits, labels):
    broken = logits.clone()
    broken[:100] = torch.nan
    found = judged(broken, labels)
    right = int((logits.argmax(dim=1) == labels)[100:].sum())
    assert sum(each.right for each in found.bins) == right
    assert found.bins[2].images >= 100  # one in five
    assert math.isfinite(found.log_loss)


def test_refuses_nothing_and_no_temperature(logits, labels):
    with pytest.raises(UserError, match="at least one image"):
        judged(logits[:0], labels[:0])
    with pytest.raises(UserError, match="temperature: expected a number above 0"):
        judged(logits, labels, temperature=0.0)
    with pytest.raises(UserError, match="bins"):
        reliability(torch.rand(3), torch.ones(3, dtype=torch.bool), bins=0)


class Brightness(nn.Module):
    """Says how bright an image is; otherwise in train mode."""

    def forward(self, images):
        bright = images.mean(dim=(1, 2, 3)) * (1 if not self.training else -1)
        return torch.stack([-bright, bright], dim=1)


def test_a_model_is_asked_in_eval_mode_in_batches_of_any_size(rng):
    pixels = torch.rand(50, 1, 4, 4, generator=rng)
    dataset = Dataset((pixels * 255).byte(), (pixels.mean(dim=(1, 2, 3)) > 0.5).long(), ("dark", "bright"))
    model = Brightness().train()
    one, other = (probabilities_of(model, dataset, batch_size=size) for size in (7, 50))
    assert one == other
    assert one.auc[1] > 0.95
    assert model.training


class TestInAnEvaluation:
    def test_they_come_with_the_clean_result_alone(self, rng):
        pixels, labels = torch.rand(20, 1, 4, 4, generator=rng), torch.arange(20) % 2
        clean = srat.evaluate(Brightness(), pixels, labels)
        assert clean.probabilities == judged(Brightness().eval()(pixels), labels)
        assert srat.evaluate(Brightness(), pixels, labels, attack="fgsm").probabilities is None

    def test_they_are_written_and_read(self, tmp_path, rng):
        clean = srat.evaluate(Brightness(), torch.rand(20, 1, 4, 4, generator=rng), torch.arange(20) % 2)
        evaluation = Evaluation(class_names=("a", "b"), train_counts=(5, 2), results={"clean": clean})
        (tmp_path / "evaluation.json").write_text(evaluation.to_json())
        assert Evaluation.read(tmp_path / "evaluation.json").results["clean"].probabilities == clean.probabilities

    @pytest.mark.parametrize(
        "changed",
        [
            {"auc": [0.5]},
            {"auc": [0.5, 1.5]},
            {"log_loss": -1.0},
            {"bins": [{"images": 1, "right": 2, "confidence": 1}]},
        ],
    )
    def test_refuses_those_that_cannot_be(self, tmp_path, changed):
        import json

        known = Probabilities(log_loss=0.5, auc=(0.5, None), bins=(Bin(images=1, right=1, confidence=0.9),))
        clean = srat.evaluate(Brightness(), torch.rand(4, 1, 4, 4), torch.arange(4) % 2)
        evaluation = Evaluation(class_names=("a", "b"), train_counts=(5, 2), results={"clean": clean})
        content = json.loads(evaluation.to_json())
        content["results"]["clean"]["probabilities"] = vars(known) | {"bins": [vars(known.bins[0])]} | changed
        path = tmp_path / "evaluation.json"
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match="evaluation.json"):
            Evaluation.read(path)
