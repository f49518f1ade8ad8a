"""Images counted where an attack ends, whatever it has broken on its way: what most papers report."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import srat
from srat.attacks import FGSM, PGD, Natural, PGDMargin, margin, started
from srat.attacks.walks import Steps, drawn_for
from srat.core.errors import UserError
from srat.data import Dataset
from srat.evaluation.evaluate import examine
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.journal import FileJournal
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.record import Evaluation, Result
from srat.evaluation.survival import outcome
from srat.evaluation.trial import Trial
from srat.losses.cross_entropy_loss import entropy_of
from srat.models import lent
from srat.runtime.processes import Processes


class Wavy(nn.Module):
    """Long steps lead from one hill of the loss to the next, across valleys where the image is right."""

    def forward(self, x):
        pixels = x.flatten(1)
        pitch = 12 + 120 * pixels[:, 0]
        wave = 3 * torch.sin(pitch * pixels[:, 1:].mean(dim=1))
        return torch.stack((-wave, wave), dim=1)


@pytest.fixture(scope="module")
def trial():
    torch.manual_seed(0)
    model, images = Wavy().eval(), torch.rand(60, 1, 6, 6)
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    labels[::6] = (labels[::6] + 1) % 2
    with lent(model) as served:
        data = Dataset(images, labels, tuple("ab"))
        yield Trial(model=served, dataset=data, seed=5, batch_size=16, observer=Observer())


LONG = {"epsilon": 0.12, "step_size": 0.09, "steps": 5}
ATTACKS = [
    PGD(**LONG),
    PGD(**LONG, restarts=3),
    PGD(**LONG, random_start=False),
    PGDMargin(**LONG, restarts=2),
    PGD(norm="l2", epsilon=0.6, step_size=0.45, steps=4, restarts=2),
]


def by_loops(trial, attack):
    """Whether each image is right at every point, and at the last one of each start, all of them moved to the end."""
    data, walk = trial.dataset, Steps(attack=attack, usual=entropy_of)
    everywhere = at_ends = torch.ones(len(data), dtype=torch.bool)
    for start in range(attack.restarts):
        noise = drawn_for(walk, (1, 6, 6), trial.seed, attack.name, start, torch.arange(len(data)))
        point = started(data.images, noise)
        for _ in range(attack.steps + 1):
            point = point.detach().requires_grad_()
            logits = trial.model(point)
            right = logits.argmax(dim=1) == data.labels
            everywhere = everywhere & right
            own = margin(logits, data.labels) if isinstance(attack, PGDMargin) else None
            loss = F.cross_entropy(logits, data.labels, reduction="none") if own is None else own
            (gradient,) = torch.autograd.grad(loss.sum(), point)
            last, point = point, attack.step(point.detach(), gradient, data.images)
        at_ends = at_ends & right
        assert (last - data.images).abs().max() > 0.05
    return everywhere & (trial.model(data.images).argmax(dim=1) == data.labels), at_ends


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.label}-{attack.random_start}")
def test_is_what_loops_that_move_every_image_to_the_end_find(trial, attack):
    everywhere, at_ends = by_loops(trial, attack)
    every = outcome(trial, attack)
    last = outcome(trial, attack, known=every)
    assert torch.equal(every.survived, everywhere)
    assert torch.equal(last.survived, at_ends)
    # Some are right again at the end: of those that are wrong as they are, too.
    assert (at_ends & ~everywhere & (every.broken_at > 0)).any()
    assert torch.equal(last.predicted == trial.dataset.labels, last.survived)
    ends = attack.iterations + 1
    assert set(last.broken_at.tolist()) <= {NEVER, *range(ends, attack.starts * ends + 1, ends)}


def test_an_image_that_is_wrong_as_it_is_may_be_right_at_the_end(trial):
    every = outcome(trial, ATTACKS[0])
    assert (outcome(trial, ATTACKS[0], known=every).survived & (every.broken_at == 0)).any()


@pytest.mark.parametrize("batch_size", [7, 60])
def test_depends_on_no_batch(trial, batch_size):
    attack = ATTACKS[1]
    whole = outcome(trial, attack, known=outcome(trial, attack))
    other = replace(trial, batch_size=batch_size)
    assert all(map(torch.equal, outcome(other, attack, known=outcome(other, attack)), whole))


class Counting(Observer):
    def __init__(self, most=10**9):
        self.told, self.left = 0, most

    def images_done(self, count):
        self.told, self.left = self.told + count, self.left - 1
        if self.left < 0:
            raise KeyboardInterrupt


def asked(trial, attack, every, **how):
    """Return the outcome, and of how many images the model was asked for it."""
    seen = []
    handle = trial.model.register_forward_hook(lambda module, given, _: seen.append(len(given[0])))
    try:
        return outcome(trial, attack, known=every, **how), sum(seen)
    finally:
        handle.remove()


def test_only_those_that_broke_on_the_way_go_it_again(trial):
    attack = ATTACKS[1]
    points, every = attack.iterations + 1, outcome(trial, attack)
    _, cost = asked(trial, attack, every)
    on_the_way = (every.broken_at >= 0) & ~((every.broken_at > 0) & (every.broken_at % points == 0))
    # Each goes from one start at the least, and from all at the most.
    assert points * int(on_the_way.sum()) <= cost <= points * attack.starts * (int(on_the_way.sum()) + 16)
    known = every.broken_at.clone()
    known[on_the_way] = 2 * points
    found, cost = asked(trial, attack, Outcome(known, every.predicted))
    assert cost == 0
    assert torch.equal(found.broken_at, known)


def test_a_pass_has_room_for_no_more_than_are_left(trial):
    attack = ATTACKS[0]
    every = outcome(trial, attack)
    few = every.broken_at.clone()
    few[(few >= 0).nonzero().flatten()[5:]] = NEVER
    _, cost = asked(trial, attack, Outcome(few, every.predicted))
    assert cost <= 5 * (attack.iterations + 1)


def test_goes_on_where_it_was_stopped(trial, tmp_path):
    attack = ATTACKS[1]
    every = outcome(trial, attack)
    whole, cost = asked(trial, attack, every)
    journal = FileJournal(tmp_path, "one", rank=0, identity={}, images=60, notice=pytest.fail)
    with pytest.raises(KeyboardInterrupt):
        outcome(replace(trial, observer=Counting(20)), attack, journal, known=every)
    told = Counting()
    found, after = asked(replace(trial, observer=told), attack, every, journal=journal)
    assert all(map(torch.equal, found, whole))
    assert after < cost
    assert told.told == 60


class One(Processes):
    """One of two processes, which hears nothing of the other's part."""

    def sum(self, tensor):
        return tensor

    def told(self, value):
        return value


def test_two_processes_have_half_each(trial):
    attack = ATTACKS[0]
    every = outcome(trial, attack)
    whole = outcome(trial, attack, known=every)
    for rank in (0, 1):
        own = outcome(replace(trial, processes=One(rank, 2)), attack, known=every)
        assert torch.equal(own.broken_at[rank::2], whole.broken_at[rank::2])


def test_in_python(trial):
    data, model = trial.dataset, Wavy()
    given = {"attack": ATTACKS[0], "seed": 5, "batch_size": 16}
    plain = srat.evaluate(model, data.images, data.labels, **given)
    found = srat.evaluate(model, data.images, data.labels, **given, last_step=True)
    every, at_ends = by_loops(trial, ATTACKS[0])
    assert plain.last_step is None
    assert found.counts == plain.counts
    assert sum(found.counts.correct) == every.sum()
    assert sum(found.last_step.correct) == at_ends.sum()
    assert found.last_step.total == found.counts.total
    assert torch.equal(found.last_outcome.survived, at_ends)
    with pytest.raises(UserError, match="`last_step`: expected an attack that goes step by step, .* got square"):
        srat.evaluate(model, data.images, data.labels, attack="square", last_step=True)
    with pytest.raises(UserError, match="got clean"):
        examine(model, data, Natural(), seed=0, known=found.outcome)


def test_of_a_random_model_it_is_that_of_the_same_draws(trial):
    class Drawing(Wavy):
        def forward(self, x):
            return super().forward(x + 0.005 * torch.randn_like(x))

    data, model = trial.dataset, Drawing()
    with pytest.warns(UserWarning, match="answers at random"):
        found = srat.evaluate(
            model, data.images, data.labels, attack=ATTACKS[0], batch_size=25, draws=3, last_step=True
        )
    every, last = found.outcome, found.last_outcome
    assert not (every.survived & ~last.survived).any()
    assert (last.survived & ~every.survived).any()
    # Moved again, an image comes to the same end: whoever broke there is wrong there.
    points = ATTACKS[0].iterations + 1
    assert torch.equal(last.broken_at[every.broken_at == points], every.broken_at[every.broken_at == points])


LABELS = torch.tensor([0, 1, 1, 0])
EVERY = Outcome(torch.tensor([NEVER, 2, 3, 0]), torch.tensor([0, 0, 0, 1]))
LAST = Outcome(torch.tensor([NEVER, NEVER, 3, 3]), torch.tensor([0, 1, 0, 1]))
ORIGIN = Origin(attack={"name": "pgd", "steps": 2}, seed=0, budget="")


def examples():
    fresh = Examples(labels=LABELS, class_names=("a", "b"), test="00", weights="11")
    return fresh.with_outcome("pgd-2", EVERY, ORIGIN)


class TestKept:
    def test_comes_back_from_the_file(self, tmp_path):
        path = tmp_path / "e.safetensors"
        examples().with_last_step("pgd-2", LAST).write(path)
        found = Examples.read(path)
        assert all(map(torch.equal, found.last_steps["pgd-2"], LAST))
        assert found.results()["pgd-2"].counts.correct == (1, 0)
        assert found.results()["pgd-2"].last_step.correct == (1, 1)

    def test_a_file_without_one_is_as_it_always_was(self, tmp_path):
        before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
        examples().write(before)
        examples().with_last_step("pgd-2", LAST).with_outcome("pgd-2", EVERY, ORIGIN).write(after)
        assert before.read_bytes() == after.read_bytes()
        assert b"last" not in before.read_bytes()
        assert Examples.read(before).results()["pgd-2"].last_step is None

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"last_steps": {"pgd-2": Outcome(LAST.broken_at, LAST.predicted + 5)}}, "a class that does not exist"),
            ({"last_steps": {"pgd-2": Outcome(LAST.broken_at - 5, LAST.predicted)}}, "a point that does not exist"),
            ({"last_steps": {"pgd-2": Outcome(EVERY.broken_at + 4, LAST.predicted)}}, "and at no step"),
            ({"last_steps": {"pgd-9": LAST}}, "a last step of no attack"),
        ],
    )
    def test_what_cannot_be_is_refused(self, changed, said, tmp_path):
        path = tmp_path / "e.safetensors"
        replace(examples(), **changed).write(path)
        with pytest.raises(UserError, match=said):
            Examples.read(path)

    def test_goes_with_the_outcome_that_it_was_counted_beside(self):
        ours = examples().with_last_step("pgd-2", LAST)
        assert ours.with_all_of(examples()).last_steps.keys() == {"pgd-2"}
        assert examples().with_all_of(ours).last_steps.keys() == {"pgd-2"}
        other = examples().with_outcome("pgd-2", EVERY, replace(ORIGIN, seed=1))
        rounded = examples().with_outcome("pgd-2", Outcome(EVERY.broken_at.clamp(max=2), EVERY.predicted), ORIGIN)
        for replaced in (other, rounded):
            assert ours.with_all_of(replaced).last_steps == {}
        assert ours.with_outcome("fgsm", EVERY, ORIGIN).last_steps.keys() == {"pgd-2"}

    def test_evaluation_json(self, tmp_path):
        results = examples().with_last_step("pgd-2", LAST).results()
        path = tmp_path / "evaluation.json"
        path.write_text(Evaluation(class_names=("a", "b"), train_counts=(9, 3), results=results).to_json())
        written = json.loads(path.read_text())["results"]["pgd-2"]
        assert written["last_step"]["correct"] == [1, 1]
        assert written["last_step"]["summary"]["overall"]["accuracy"] == 0.5
        assert written["last_step"]["summary"]["under"]["accuracy"] == 0.5
        assert written["summary"]["overall"]["accuracy"] == 0.25
        assert Evaluation.read(path).results == results
        plain = {name: Result(counts=result.counts, attack=result.attack) for name, result in results.items()}
        assert "last_step" not in Evaluation(class_names=("a", "b"), train_counts=(9, 3), results=plain).to_json()

    @pytest.mark.parametrize(
        ("correct", "said"),
        [([0, 1], "fewer correct"), ([1, 3], "more correct"), ([1], "expected 2 counts"), ([1, -1], "2 counts")],
    )
    def test_counts_that_cannot_be_are_refused(self, correct, said, tmp_path):
        path = tmp_path / "evaluation.json"
        result = {"correct": [1, 0], "total": [2, 2], "attack": {}, "last_step": {"correct": correct}}
        path.write_text(json.dumps({"class_names": ["a", "b"], "train_counts": [9, 3], "results": {"pgd-2": result}}))
        with pytest.raises(UserError, match=said):
            Evaluation.read(path)


def test_of_one_step_it_leaves_out_the_untouched_image(trial):
    attack = FGSM(epsilon=0.12)
    every = outcome(trial, attack)
    last = outcome(trial, attack, known=every)
    assert set(last.broken_at.tolist()) == {NEVER, 2}
    assert (last.survived & (every.broken_at == 0)).any()
