"""The average at the end of an epoch: which weights it takes in, and its BatchNorm on training images."""

import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from test_families import small, small_set, stepped, without_noise

import srat
from several import in_processes
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.signals import Interrupted
from srat.data import Holdout
from srat.evaluation.counts import Counts
from srat.evaluation.observer import Observer
from srat.models import lent
from srat.models.backbones.linear import Linear
from srat.models.classifier import BatchNorm
from srat.optimization.averaging import EMA, FAWA, SWA
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import ALONE
from srat.training import averages, loop
from srat.training.averages import estimate_statistics, finish_average, statistics_of
from srat.training.fitting import fit
from srat.training.inner import inner_loss
from srat.training.keeper import NullKeeper
from srat.training.setting_up import set_up
from stopping import content


def norms(model):
    return [each for each in model.modules() if isinstance(each, BatchNorm)]


def by_hand(training, stage, *, attacked):
    """Return the mean over batches of the mean and the unbiased variance of what enters the first BatchNorm."""
    average, config, means, variances = training.parts["average"], training.config, [], []
    seen = []
    handle = norms(average)[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    for step, batch in enumerate(training.feed.epoch(stage.epoch)):
        images = batch.images
        if attacked:
            with lent(average) as served:
                loss_at = inner_loss(training, stage, served, batch)
                rng = generator(config.seed, "statistics", epoch=stage.epoch, step=step)
                images = config.attack.perturb(loss_at, images, generator=rng)
        seen.clear()
        with torch.no_grad():
            average(images)
        means.append(seen[0].mean(dim=(0, 2, 3)))
        variances.append(seen[0].transpose(0, 1).flatten(1).var(dim=1))
    handle.remove()
    return torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0)


@pytest.mark.parametrize(("attacked", "mixing"), [(False, "none"), (True, "none"), (True, "mixup")])
def test_the_statistics_are_those_of_the_training_images(attacked, mixing):
    training = set_up(small(averaging=EMA(), mixing=mixing), make_fabric("cpu"), small_set(), None, None)
    stepped(training)
    stage, average = training.stage(1), training.parts["average"]
    mean, variance = by_hand(training, stage, attacked=attacked)
    raw = {name: tensor.clone() for name, tensor in training.module.state_dict().items()}
    weights = [p.clone() for p in average.parameters()]
    counted = [int(norm.num_batches_tracked) for norm in norms(average)]
    estimate_statistics(training, stage, attacked=attacked)
    torch.testing.assert_close(norms(average)[0].running_mean, mean)
    torch.testing.assert_close(norms(average)[0].running_var, variance)
    assert all(torch.equal(raw[name], tensor) for name, tensor in training.module.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(weights, average.parameters(), strict=True))
    assert counted == [int(norm.num_batches_tracked) for norm in norms(average)]
    assert not average.training
    assert all(norm.momentum is not None for norm in norms(average))


def test_the_images_make_a_difference():
    def estimated(attacked):
        training = set_up(small(averaging=EMA()), make_fabric("cpu"), small_set(), None, None)
        stepped(training)
        estimate_statistics(training, training.stage(1), attacked=attacked)
        return statistics_of(training.parts["average"])

    assert not all(torch.equal(a, b) for a, b in zip(estimated(True), estimated(False), strict=True))


def test_no_more_batches_are_taken_than_tell(monkeypatch):
    training = set_up(small(averaging=EMA()), make_fabric("cpu"), small_set(), None, None)
    stepped(training)
    first = next(training.feed.epoch(1)).images
    monkeypatch.setattr(averages, "BATCHES", 1)
    estimate_statistics(training, training.stage(1), attacked=False)
    seen = []
    norm = norms(training.parts["average"])[0]
    norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    training.parts["average"](first)
    torch.testing.assert_close(norm.running_mean, seen[0].mean(dim=(0, 2, 3)))


def shared_estimate(processes, synchronized=True):
    config = without_noise(small(averaging=EMA(start=0.0, batch_norm="attacked")))
    config = replace(config, sync_batch_norm=synchronized)
    data = small_set(channels=3)
    training = set_up(config, make_fabric("cpu"), data, None, None, processes=processes)
    stepped(training, size=11)
    finish_average(training, training.stage(1), lambda: 0.0)
    return [tensor.numpy() for tensor in statistics_of(training.parts["average"])]


def test_two_processes_estimate_as_one():
    alone = shared_estimate(ALONE)
    for ours in in_processes(2, shared_estimate):
        for here, there in zip(ours, alone, strict=True):
            torch.testing.assert_close(torch.from_numpy(here), torch.from_numpy(there), rtol=1e-3, atol=1e-4)


def test_processes_that_see_other_images_estimate_the_mean():
    one, other = in_processes(2, partial(shared_estimate, synchronized=False))
    assert all((here == there).all() for here, there in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", [EMA, SWA])
def test_the_raw_weights_are_those_of_a_run_without(kind, tmp_path):
    def raw(name):
        folder = tmp_path / name
        fit(small(averaging=kind(batch_norm=name)), out=folder, device="cpu", compiled="off")
        served, raw = (srat.load(folder, which=which).state_dict() for which in ("last", "raw"))
        return served, raw

    (averaged, plain), (clean, same), (attacked, again) = (raw(name) for name in ("averaged", "clean", "attacked"))
    assert all(torch.equal(plain[name], same[name]) and torch.equal(plain[name], again[name]) for name in plain)
    moved = [name for name in averaged if not torch.equal(averaged[name], clean[name])]
    assert moved
    assert all("running" in name for name in moved)
    assert any(not torch.equal(clean[name], attacked[name]) for name in moved)


def test_how_far_the_means_have_moved_is_in_the_metrics():
    training = set_up(small(averaging=EMA(start=0.0, batch_norm="clean")), make_fabric("cpu"), small_set(), None, None)
    stepped(training)
    norms = averages.tracking(training.parts["average"])
    before = [(norm.running_mean.tolist(), norm.running_var.tolist(), norm.eps) for norm in norms]
    moved = estimate_statistics(training, training.stage(1), attacked=False)
    of_layers = [
        sum(abs(now - m) / (v + eps) ** 0.5 for now, m, v in zip(norm.running_mean.tolist(), mean, var, strict=True))
        / len(mean)
        for norm, (mean, var, eps) in zip(norms, before, strict=True)
    ]
    assert moved.item() == pytest.approx(sum(of_layers) / len(of_layers), rel=1e-5)
    assert moved > 0
    rows = {name: fit(small(averaging=EMA(batch_norm=name)), device="cpu").history for name in ("clean", "averaged")}
    assert all(row["batch_norm_moved"] > 0 for row in rows["clean"])
    assert not any("batch_norm_moved" in row for row in rows["averaged"])


@pytest.mark.parametrize("held_out", [True, False])
def test_it_is_done_where_the_average_is_looked_at(held_out, monkeypatch):
    asked = []

    def spy(training, stage, *, attacked):
        asked.append(stage.epoch)
        return torch.zeros(())

    monkeypatch.setattr(averages, "estimate_statistics", spy)
    config = small(averaging=EMA(batch_norm="clean"))
    config = config if held_out else replace(config, holdout=Holdout(fraction=0.0))
    fit(config, device="cpu", compiled="off")
    assert asked == ([0, 1] if held_out else [1])


class StopsOnce(Observer):
    """Ends a run while the held-out part is evaluated for the second time."""

    evaluated = 0

    def held_out(self, clean, robust):
        self.evaluated += 1
        if self.evaluated == 2:
            raise Interrupted(signal.SIGTERM)


@pytest.mark.parametrize(
    "averaging", [FAWA(decay=0.5, least=0.0), EMA(batch_norm="attacked"), FAWA(least=0.0, batch_norm="clean")]
)
def test_a_run_stopped_after_the_average_has_moved_moves_it_no_further(averaging, tmp_path):
    options = {"device": "cpu", "compiled": "off", "checkpoint_every": "1"}
    config = small(averaging=averaging)
    fit(config, out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        fit(config, out=tmp_path / "cut", observer=StopsOnce(), **options)
    fit(config, out=tmp_path / "cut", **options)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_fawa_asks_for_the_worst_class_of_the_weights_themselves(monkeypatch):
    asked, real = [], loop.count

    def counted(model, *args, **options):
        asked.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return real(model, *args, **options)

    monkeypatch.setattr(loop, "count", counted)
    training = set_up(small(averaging=FAWA(least=1.0)), make_fabric("cpu"), small_set(), small_set(), None)
    stepped(training)
    weights = {name: tensor.clone() for name, tensor in training.module.state_dict().items()}
    finish_average(training, training.stage(1), partial(loop.worst_class, training, NullKeeper()))
    assert len(asked) == 1
    assert all(torch.equal(asked[0][name], weights[name]) for name in weights)
    some = Counts(correct=(3, 1, 0), total=(4, 4, 0))
    monkeypatch.setattr(loop, "count", lambda *_, **__: some)
    assert loop.worst_class(training, NullKeeper()) == 0.25


def test_fawa_begins_once():
    training = set_up(small(averaging=FAWA(decay=0.5, least=0.0)), make_fabric("cpu"), small_set(), small_set(), None)
    ends = []
    for epoch in range(2):
        stepped(training)
        ends.append([parameter.detach().clone() for parameter in training.module.parameters()])
        finish_average(training, training.stage(epoch), lambda: 0.5)
    for first, second, average in zip(*ends, training.parts["average"].parameters(), strict=True):
        torch.testing.assert_close(average, (first + second) / 2)


def test_what_learns_from_a_held_out_part_needs_one():
    for members in ({"averaging": "fawa"}, {"budget": "frl"}):
        with pytest.raises(UserError, match=r"`holdout\.fraction`: expected a part above 0, which `\w+` (fawa|frl)"):
            replace(small(**members), holdout=Holdout(fraction=0.0))


def test_a_model_without_batch_norm_has_nothing_to_estimate():
    config = replace(small(averaging=EMA(batch_norm="attacked")), model=Linear())
    fit(config, device="cpu", compiled="off")
