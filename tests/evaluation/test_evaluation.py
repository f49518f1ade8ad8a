"""Counts, groups, intervals, and the file that holds them."""

import json
import math
from dataclasses import replace
from functools import cache

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import srat
from srat.attacks import PGD, Attack, Natural, input_gradient
from srat.attacks.walks import Stand, Walk
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.data import Dataset, to_unit
from srat.evaluation.counts import Counts
from srat.evaluation.evaluate import count
from srat.evaluation.groups import groups
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import NEVER
from srat.evaluation.pool import Pool
from srat.evaluation.record import Evaluation, Result, describe_attack, summary
from srat.evaluation.survival import outcome
from srat.evaluation.trial import Trial
from srat.models import Output, lent
from srat.models.backbones.small_cnn import small_cnn_backbone
from srat.runtime.processes import Processes
from srat.statistics.anytime import anytime_interval, anytime_worst
from srat.statistics.intervals import wilson
from srat.statistics.worst import worst_of


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(correct_total):
    correct, total = correct_total
    expected = scipy.stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    got = wilson(correct, total)
    assert (got.low, got.high) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
    assert 0 <= got.low <= got.accuracy <= got.high <= 1


def test_of_nothing_nothing_is_known():
    assert math.isnan(wilson(0, 0).accuracy)
    assert wilson(0, 0)[1:] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("train_counts", "under"),
    [
        ((5000,) * 5 + (50,) * 5, (5, 6, 7, 8, 9)),
        ((50, 5000, 50, 5000), (0, 2)),
        ((9, 8, 7, 6, 5), (3, 4)),
        ((10, 10, 10), ()),
        ((10, 10, 9), (2,)),
        ((10, 10, 10, 9), (2, 3)),
        ((3, 1), (1,)),
    ],
)
def test_the_rarer_half_is_under_represented(train_counts, under):
    got = groups(train_counts)
    assert got.under == under
    assert sorted((*got.well, *got.under)) == list(range(len(train_counts)))


def test_summary_by_hand():
    counts = Counts(correct=(9, 5, 0, 2), total=(10, 10, 10, 5))
    got = summary(counts, groups((100, 100, 1, 1)))
    assert [got[name].accuracy for name in ("overall", "well", "under", "worst_class")] == [
        16 / 35,
        14 / 20,
        2 / 15,
        0.0,
    ]
    assert counts.macro() == pytest.approx((0.9 + 0.5 + 0 + 0.4) / 4)
    assert counts.worst().number == 2


def test_classes_without_test_images_do_not_count():
    counts = Counts(correct=(1, 0), total=(2, 0))
    assert counts.macro() == 0.5
    assert counts.worst().number == 0


class Threshold(nn.Module):
    """Says class 1 if the mean pixel is above 1/2: attacked by hand easily."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x):
        z = 40 * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack((-z, z), dim=1)


@pytest.fixture
def threshold_data():
    means = torch.tensor([0.2, 0.45, 0.47, 0.55, 0.9, 0.6])
    return Dataset(
        means[:, None, None, None].expand(6, 1, 4, 4).contiguous(), torch.tensor([0, 0, 1, 1, 1, 0]), ("dark", "bright")
    )


@pytest.mark.parametrize(
    ("attack", "correct"),
    [(Natural(), (2, 2)), (PGD(epsilon=0.1, step_size=0.05), (1, 1)), (PGD(epsilon=0.03, step_size=0.01), (2, 2))],
)
def test_counts_by_hand(threshold_data, attack, correct):
    got = count(Threshold(), threshold_data, attack, seed=0)
    assert got == Counts(correct=correct, total=(3, 3))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_counts_do_not_depend_on_the_batch(threshold_data, batch_size):
    assert count(
        Threshold(), threshold_data, PGD(epsilon=0.1, step_size=0.05), seed=0, batch_size=batch_size
    ).correct == (1, 1)


class Brighter(Walk):
    """Three points, each brighter than the one before."""

    points = 3

    def begin(self, images, drawn):
        return {}

    def advance(self, ask, state, step, images, labels):
        point = images + 0.11 * (step + 1)[:, None, None, None]
        return Stand(point, ask(point), state)


@pytest.mark.parametrize(("reach", "broken"), [(0.05, {}), (0.15, {1: 1, 5: 1}), (0.4, {0: 3, 1: 1, 5: 1})])
def test_points_beyond_the_ball_break_nothing(threshold_data, reach, broken):
    model = Threshold().eval()
    trial = Trial(model=model, dataset=threshold_data, seed=0, batch_size=2, observer=Observer())

    def inside(points, images):
        return (points - images).abs().amax(dim=(1, 2, 3)) <= reach

    images, labels = threshold_data.images, threshold_data.labels
    pool = Pool(trial, Brighter(), images, labels, None, slots=2, numbered=lambda step: step + 1, inside=inside)
    found = torch.zeros_like(labels)
    for places, each in pool.run():
        found[places] = each.broken_at
    assert found.tolist() == [broken.get(place, NEVER) for place in range(6)]


def test_evaluation_leaves_the_model_as_it_was(threshold_data):
    model = Threshold().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count(model, threshold_data, PGD(), seed=0)
    assert model.training
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())


def test_evaluate_takes_any_model(threshold_data):
    class Ours(Threshold):
        def forward(self, x):
            logits = super().forward(x)
            return Output(logits, logits, logits)

    for model in (Threshold(), Ours()):
        clean = srat.evaluate(model, threshold_data.images, threshold_data.labels)
        robust = srat.evaluate(model, threshold_data.images, threshold_data.labels, attack="pgd-20")
        assert (clean.counts.correct, clean.attack["name"]) == ((2, 2), "natural")
        assert robust.attack["steps"] == 20
        assert robust.accuracy.accuracy <= clean.accuracy.accuracy


def test_evaluate_takes_bytes(threshold_data):
    images = (threshold_data.images * 255).round().byte()
    assert srat.evaluate(Threshold(), images, threshold_data.labels).counts.correct == (2, 2)


def test_evaluate_refuses_normalised_images(threshold_data):
    with pytest.raises(UserError, match="normalises by itself"):
        srat.evaluate(Threshold(), 4 * threshold_data.images - 2, threshold_data.labels)


def test_evaluate_refuses_labels_outside_the_classes(threshold_data):
    with pytest.raises(UserError, match="from 0 to 1, got 0 to 2"):
        srat.evaluate(Threshold(), threshold_data.images, torch.tensor([0, 1, 2, 0, 0, 0]))


def test_what_is_no_number_is_no_hit(threshold_data):
    class Broken(Threshold):
        def forward(self, x):
            return super().forward(x) * math.nan

    assert count(Broken(), threshold_data, Natural(), seed=0).correct == (0, 0)


def test_images_restarts_and_seeds_draw_other_starts(threshold_data):
    starts = []

    class Spy(PGD):
        def noise(self, shape, *, generator):
            starts.append(torch.rand(1, generator=generator).item())
            return torch.zeros(shape)

    # Four of the six images are right as they are, and tried from two starts each, unless the first breaks them.
    for seed in (0, 0, 1):
        count(Threshold(), threshold_data, Spy(epsilon=1e-6, restarts=2), seed=seed, batch_size=3)
    assert sorted(starts[:8]) == sorted(starts[8:16])
    assert len(set(starts)) == 16


def slowly(model, dataset, attack, *, seed, size):
    """Every image through every step of every start, in full batches; when it is wrong first, and what it is then."""
    with lent(model) as served:
        firsts, classes = [], []
        for indices in torch.arange(len(dataset)).repeat(2)[: math.ceil(len(dataset) / size) * size].split(size):
            images, labels = to_unit(dataset.images[indices]), dataset.labels[indices]

            def loss_at(x, labels=labels):
                return F.cross_entropy(served(x), labels, reduction="none")

            said = [served(images).argmax(dim=1)]
            for start in range(attack.restarts):
                keys = [generator(seed, f"evaluation/{attack.name}", epoch=start, step=int(i)) for i in indices]
                noise = [attack.noise((1, *images.shape[1:]), generator=key) for key in keys]
                x = (images + torch.cat(noise)).clamp(0, 1) if attack.random_start else images
                said.append(served(x).argmax(dim=1))
                for _ in range(attack.steps):
                    x = attack.step(x, input_gradient(loss_at, x), images)
                    said.append(served(x).argmax(dim=1))
            for label, column in zip(labels.tolist(), torch.stack(said, dim=1).tolist(), strict=True):
                first = next((point for point, each in enumerate(column) if each != label), NEVER)
                firsts.append(first)
                classes.append(label if first == NEVER else column[first])
    return torch.tensor(firsts)[: len(dataset)], torch.tensor(classes)[: len(dataset)]


ATTACKS = [
    PGD(epsilon=0.003, step_size=0.001, steps=7),
    PGD(epsilon=0.003, step_size=0.001, steps=3, restarts=3),
    PGD(norm="l2", epsilon=0.05, step_size=0.01),
]


@cache
def near_the_border():
    """A model, and images that are right but for a few, near enough to the border for some to break."""
    torch.manual_seed(0)
    model = nn.Sequential(small_cnn_backbone(3, 8), nn.Linear(64, 4)).to(memory_format=torch.channels_last)
    images = torch.rand(120, 3, 16, 16)
    with torch.no_grad():
        model[1].bias -= model.eval()(images).mean(dim=0)
        labels = model(images).argmax(dim=1)
    labels[::7] = (labels[::7] + 1) % 4
    return model, Dataset(images, labels, ("a", "b", "c", "d"))


@cache
def found_slowly(attack, size):
    return slowly(*near_the_border(), attack, seed=3, size=size)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("size", [16, 50, 64])
@pytest.mark.parametrize(
    "at_once", [{}, {"trial._PART": 5 * 3 * 16 * 16 * 30}, {"pool.passes_between_looks": lambda device: 8}]
)
def test_what_drops_out_changes_nothing(attack, size, at_once, monkeypatch):
    for name, value in at_once.items():
        monkeypatch.setattr(f"srat.evaluation.{name}", value)
    model, data = near_the_border()
    passes = []
    handle = model.register_forward_hook(lambda *_: passes.append(1))
    trial = Trial(model=model, dataset=data, seed=3, batch_size=size, observer=Observer())
    found = outcome(trial, attack)
    handle.remove()
    broken_at, predicted = found_slowly(attack, size)
    assert 5 < (broken_at == NEVER).sum() < 95
    assert len(broken_at.unique()) > 4
    assert torch.equal(found.broken_at, broken_at)
    assert torch.equal(found.predicted, predicted)
    if size == 16 and not at_once:
        assert len(passes) < 0.8 * 8 * (1 + attack.restarts * (attack.steps + 1))


@pytest.mark.parametrize(
    ("standing", "count", "slots"), [(210, 1, 210), (260, 1, 130), (900, 1, 225), (900, 2, 225), (30, 2, 15), (0, 1, 1)]
)
def test_few_slots_are_idle_at_the_end(standing, count, slots):
    data = Dataset(torch.zeros(1000, 1, 2, 2), torch.zeros(1000, dtype=torch.long), ("a", "b"))
    whole = Trial(model=Threshold(), dataset=data, seed=0, batch_size=250, observer=Observer())
    trial = replace(whole, processes=Processes(0, count))
    assert trial.slots_for(standing) == slots
    assert replace(trial, in_place=True).slots_for(standing) == 250


def test_few_images_are_asked_in_small_batches():
    """Ninety of a hundred images are wrong as they are: nobody goes through the attack in their places."""

    class Seen(Threshold):
        def forward(self, x):
            asked.append(len(x))
            return super().forward(x)

    asked = []
    images = torch.rand(100, 1, 2, 2)
    labels = (images.mean((1, 2, 3)) > 0.5).long()
    labels[10:] = 1 - labels[10:]
    count(Seen(), Dataset(images, labels, ("a", "b")), PGD(steps=4), seed=0, batch_size=50)
    assert asked[:2] == [50, 50]
    assert set(asked[2:]) == {10}


def test_a_gradient_that_is_no_number_is_told():
    class Falling(Threshold):
        def forward(self, x):
            return super().forward(x) + 0 * (x - x.detach()).abs().sqrt().sum()  # the root's slope at 0: ∞ · 0

    data = Dataset(torch.full((3, 1, 2, 2), 0.9), torch.ones(3, dtype=torch.long), ("a", "b"))
    with pytest.warns(UserWarning, match="the gradient at 3 images is not finite: attacks are misled there"):
        assert count(Falling(), data, PGD(steps=2), seed=0).correct == (0, 3)


def test_an_attack_without_steps_is_tried_on_what_is_right(threshold_data):
    class Inversion(Attack, hidden=True):
        def perturb(self, loss_at, images, *, generator):
            tried.append(len(images))
            return torch.where(images < 0.46, 1 - images, images)

    tried = []
    assert count(Threshold(), threshold_data, Inversion(), seed=0, batch_size=3).correct == (0, 2)
    assert tried == [3, 3]


def test_an_attack_without_steps_draws_anew_for_each_batch(threshold_data):
    class Noise(Attack, hidden=True):
        def perturb(self, loss_at, images, *, generator):
            drawn.append(torch.rand(1, generator=generator).item())
            return images

    drawn = []
    count(Threshold(), threshold_data, Noise(), seed=0, batch_size=2)
    count(Threshold(), threshold_data, Noise(), seed=1, batch_size=2)
    assert len(set(drawn)) == len(drawn) == 4


def test_intervals_of_what_was_stopped_hold_at_any_stop():
    counts = Counts(correct=(90, 30, 5), total=(100, 100, 100), stopped=True)
    assert counts.accuracy() == anytime_interval(125, 300)
    assert counts.accuracy([1, 2]) == anytime_interval(35, 200)
    assert counts.worst() == anytime_worst(counts.correct, counts.total)
    fixed = replace(counts, stopped=False)
    assert fixed.accuracy() == wilson(125, 300)
    assert fixed.worst() == worst_of(counts.correct, counts.total)


def test_accuracies_of_no_image_are_null(tmp_path):
    result = Result(counts=Counts(correct=(1, 0), total=(2, 0)), attack={})
    evaluation = Evaluation(class_names=("a", "b"), train_counts=(5, 1), results={"clean": result})
    content = json.loads(evaluation.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert content["results"]["clean"]["summary"]["under"] == {"accuracy": None, "low": 0.0, "high": 1.0}
    nothing = Result(counts=Counts(correct=(0, 0), total=(0, 0)), attack={})
    assert "null" in replace(evaluation, results={"clean": nothing}).to_json()


@pytest.fixture
def evaluation(threshold_data):
    attacks = {"clean": Natural(), "pgd-20": PGD(steps=20, epsilon=0.1)}
    results = {
        name: Result(counts=count(Threshold(), threshold_data, attack, seed=0), attack=describe_attack(attack, 2))
        for name, attack in attacks.items()
    }
    return Evaluation(class_names=threshold_data.class_names, train_counts=(90, 10), results=results)


def test_the_file_keeps_its_contract(evaluation):
    content = json.loads(evaluation.to_json())
    assert content["class_names"] == ["dark", "bright"]
    assert content["train_counts"] == [90, 10]
    assert content["groups"] == {"well": [0], "under": [1]}
    assert list(content["results"]) == ["clean", "pgd-20"]
    result = content["results"]["pgd-20"]
    assert all(type(n) is int for n in result["correct"] + result["total"])
    worst = content["class_names"].index(result["worst_class_among"][0])
    assert result["correct"][worst] / result["total"][worst] == result["summary"]["worst_class"]["accuracy"]
    assert result["attack"] | {"steps": 20, "epsilon": 0.1, "norm": "linf"} == result["attack"]
    for name in ("overall", "well", "under", "worst_class"):
        value = result["summary"][name]
        assert set(value) == {"accuracy", "low", "high"}
        assert 0 <= value["low"] <= value["accuracy"] <= value["high"] <= 1


def test_the_file_is_read_back(evaluation, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(evaluation.to_json())
    assert Evaluation.read(path) == evaluation
    assert Evaluation.read(path).to_json() == evaluation.to_json()


GOOD = """{"class_names": ["a", "b"], "train_counts": [1, 2],
    "results": {"clean": {"correct": [1, 0], "total": [1, 1], "attack": {}}}}"""


def test_reads_the_least_that_is_an_evaluation(tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(GOOD)
    assert Evaluation.read(path).results["clean"].accuracy.accuracy == 0.5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"class_names": ["a", "b"], "train_counts": [1, 2]}',
        '{"class_names": ["a", "b"], "train_counts": [1], "results": {}}',
        '{"class_names": ["a", "b"], "train_counts": [1, -2], "results": {}}',
        GOOD.replace("[1, 0]", "[2, 0]"),
        GOOD.replace("[1, 0]", "[0.5, 0]"),
        GOOD.replace("[1, 0]", "[1]"),
        GOOD.replace("[1, 0]", "[true, 0]"),
        GOOD.replace('"attack": {}', '"attack": 3'),
    ],
)
def test_refuses_what_is_no_evaluation(content, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(UserError, match="not a readable evaluation"):
        Evaluation.read(path)


def test_counts_are_those_of_a_plain_loop(rng):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    data = Dataset(torch.rand(40, 1, 4, 4, generator=rng), torch.arange(40) % 3, ("a", "b", "c"))
    right = [int(model(x[None]).argmax() == y) for x, y in zip(data.images, data.labels, strict=True)]
    expected = tuple(sum(r for r, y in zip(right, data.labels, strict=True) if y == c) for c in range(3))
    assert count(model, data, Natural(), seed=0).correct == expected
    assert F.cross_entropy(model(data.images), data.labels) > 0
