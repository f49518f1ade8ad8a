"""Ten steps of each method: what they gave when they were last looked at.

A change of these numbers is a change of the method; `make golden` writes them anew, and the diff shows by how much.
"""

import itertools
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from named import of_method
from srat.core.keyed_random import generator
from srat.data import prepare
from srat.feedback import HeldOut
from srat.methods import METHODS, methods
from srat.models.backbones.small_cnn import SmallCNN
from srat.runs.metrics import Sums
from srat.runtime.fabric import make_fabric
from srat.training.setting_up import set_up
from srat.training.step import train_step

GOLDEN = Path(__file__).parent / "golden" / "traces.json"
STEPS = 10
ALIKE = ({"bsl", "logit-adjustment"},)
"""They differ by a constant that no gradient sees."""


def trace(method):
    """Return the objective's value, the share that is right and the weights' norm after each of ten steps."""
    # A small rate: at 0.1 ten steps of LDAM carry a rounding of the first to whole examples in the last.
    config = of_method(method, ratio=5, batch_size=64)
    sgd = replace(config.optimizer, learning_rate=0.01)
    config = replace(config, model=SmallCNN(width=4), optimizer=sgd)
    data = prepare(config.data, config.imbalance, config.holdout, seed=0)
    training = set_up(config, make_fabric("cpu"), data.train, None, None)
    deferred = config.schedule.reweight_epoch_of(config.epochs) > 0
    batches = training.feed.order(0)
    rows, last = [], config.epochs - 1
    training.model.train()
    for step in range(STEPS):
        # A deferred method's weights apply from the middle of the trace. Those of the field have first parts, balls
        # that grow, and feedback: from the middle on they are in their last epoch.
        later = step >= STEPS // 2
        epoch = last if later and method not in METHODS else 0
        if epoch and step == STEPS // 2:
            training.close(epoch - 1, HeldOut(torch.full((10,), 20.0), torch.arange(10.0, 20.0), torch.arange(10.0)))
        weights = training.class_weights(0) if later or not deferred else torch.ones(10)
        stage = training.at(epoch).stage(epoch)
        stage = stage if epoch else stage._replace(weights=weights)
        indices = batches[step % len(batches)]
        rng = partial(generator, 0, step=step)
        batch = training.feed.batch(indices, rng("augment"))
        sums = Sums(*train_step(training.at(epoch), batch, stage, rng).tolist())
        norm = torch.cat([p.detach().flatten() for p in training.module.parameters()]).double().norm().item()
        rows.append([round(x, 6) for x in (sums.objective / sums.examples, sums.correct / sums.examples, norm)])
    return rows


@pytest.mark.parametrize("method", methods())
def test_trace(method, request):
    rows = trace(method)
    if request.config.getoption("--update-golden"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        lines = [f'  "{name}": {json.dumps(value)}' for name, value in {**golden, method: rows}.items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert agree(method, rows, json.loads(GOLDEN.read_text())[method])


def agree(method, rows, expected):
    """Return whether a trace is that of a method.

    Another processor rounds sums in another order, and signs of small gradients flip: above all those of a divergence,
    whose attack begins where it is all but flat, so that some more images are right or wrong there.
    """
    diverging = methods()[method].robust_loss.attack_sees_clean
    objective, right = (7.5e-3, 0.08) if diverging else (2e-2, 0.035)
    return all(
        got[0] == pytest.approx(wanted[0], rel=objective)
        and got[1] == pytest.approx(wanted[1], abs=right)
        and got[2] == pytest.approx(wanted[2], rel=2e-3)
        for got, wanted in zip(rows, expected, strict=True)
    )


@pytest.fixture(autouse=True)
def _one_thread():
    """The number of threads decides the order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_no_method_passes_for_another():
    golden = json.loads(GOLDEN.read_text())
    assert set(golden) == set(methods())
    pairs = itertools.permutations(golden, 2)
    passing = {frozenset((one, other)) for one, other in pairs if agree(one, golden[other], golden[one])}
    assert passing == set(map(frozenset, ALIKE))
