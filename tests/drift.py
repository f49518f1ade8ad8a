"""How far the training attack, and the whole step, of fast code are from those of plain code.

usage: python tests/drift.py PRECISION [COMPILED [DEVICE]]     fails if compiled code drifts from eager fp32
"""

import sys
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from srat.attacks import input_gradient
from srat.config.composition import compose
from srat.core.keyed_random import generator
from srat.data import Batch, Targets, to_unit
from srat.methods import METHODS, methods
from srat.models.classifier import Architecture
from srat.runtime.fabric import make_fabric
from srat.runtime.precision import tensor_float
from srat.training import step as trainer
from srat.training.fitting import fit
from srat.training.inner import inner_loss
from srat.training.setting_up import set_up

NO_COMPILER = 77
BATCH = 64
SAME_STEPS = {"fast-at", "fast-bsl", "logit-adjustment", "at-bsl", "vs", "robustlt", "trades-bsl", "dafa", "frl"}
"""Methods of the field whose steps call the model as others' do: cross-entropy's, balanced softmax', TRADES'."""
AGREEMENT = {"fp32": 0.99, "tf32": 0.99, "bf16": 0.98, "fp16": 0.98}
POINTS = {"fp32": 0.2, "tf32": 0.2, "bf16": 0.3, "fp16": 0.3}


def trained(**changes):
    """Return a configuration, a confident model of it, and the digits that it saw."""
    config = replace(compose(method="srat-ldam", epochs=8, attack="pgd-5"), **changes)
    return config, fit(config, device="cpu").model, config.data.train()


def attack_of_the_trainer(trained, *, precision="fp32", folding=True, compiled="off", device="cpu"):
    """Return the first input gradient, the training attack's images, and the accuracy on them, counted in fp32."""
    config, model, data = trained
    config = replace(config, precision=precision)
    with tensor_float(precision == "tf32"):
        training = set_up(config, make_fabric(device, precision), data, None, None, compiled=compiled, notice=give_up)
        training.module.load_state_dict(model.state_dict())
        training = training if folding else replace(training, folding=None)
        found = []
        with training.lent() as served:
            # In batches as the steps have them: what is compiled for these is looked up for those.
            for step in range(len(data) // BATCH):
                indices = torch.arange(BATCH) + BATCH * step
                images, labels = to_unit(data.images[indices]).to(device), data.labels[indices].to(device)
                batch = Batch(images, Targets(labels), slice(0, BATCH))
                loss_at = inner_loss(training, training.stage(0), served, batch)
                gradient = input_gradient(loss_at, images).clone()
                rng = generator(0, "attack", step=step, device=device)
                found.append((gradient, config.attack.perturb(loss_at, images, generator=rng)))
    gradients, adversarial = map(torch.cat, zip(*found, strict=True))
    with torch.no_grad():
        right = model(adversarial.cpu()).logits.argmax(dim=1) == data.labels[: len(adversarial)]
    return gradients, adversarial, 100 * right.double().mean().item()


def change_by_steps(trained, *, precision="fp32", compiled="off", device="cpu"):
    """Return what four steps, of batches of two sizes, change of weights, statistics and memories."""
    config, model, data = trained
    config = replace(config, precision=precision, optimizer=replace(config.optimizer, learning_rate=0.01))
    training = set_up(config, make_fabric(device, precision), data, None, None, compiled=compiled, notice=give_up)
    training.module.backbone.load_state_dict(model.backbone.state_dict())
    training.model.train()
    before = floats(training.module, training.parts)
    with tensor_float(precision == "tf32"):
        for step in range(4):
            # Both sizes have been seen: from now on what is there serves, or each step would wait for the compiler.
            torch._dynamo.config.error_on_recompile = step >= 2
            indices = torch.arange(BATCH - step % 2, device=device) + BATCH * step
            batch = training.feed.batch(indices, training.feed.augmenting(0, step))
            rng = partial(generator, 0, step=step, device=device)
            trainer.train_step(training, batch, training.stage(training.config.epochs - 1), rng)
    torch._dynamo.config.error_on_recompile = False
    return floats(training.module, training.parts) - before


def floats(*modules):
    """Return all weights, statistics and memories in a row."""
    state = [tensor for module in modules for tensor in module.state_dict().values()]
    return torch.cat([tensor.double().flatten().cpu() for tensor in state if tensor.is_floating_point()])


def check_change(changed, reference, *, share):
    """The same steps, but for rounding."""
    assert (changed - reference).norm() < share * reference.norm()


def check_attack(weaker, reference, *, agreement, points):
    """The same directions, no more zeros among them, and no model that looks better for it."""
    moved = reference[0] != 0
    assert (weaker[0] == 0).double().mean() <= (~moved).double().mean() + 0.001
    assert (weaker[0].sign() == reference[0].sign())[moved].double().mean() > agreement
    assert abs(weaker[2] - reference[2]) <= points


def one_convolution():
    """Return an architecture of one layer of each kind: on a CPU each is compiled for a second, in each shape anew."""

    @dataclass(frozen=True, kw_only=True)
    class OneConvolution(Architecture, name="one-convolution"):
        def backbone(self, shape):
            convolution = nn.Conv2d(shape.channels, 32, 3, stride=2, padding=1, bias=False)
            layers = convolution, nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten()
            return nn.Sequential(*layers), 128

    return OneConvolution()


def give_up(why):
    """End the script: without a compiler there is nothing to compare."""
    print(why)
    sys.exit(NO_COMPILER)


if __name__ == "__main__":
    precision, compiled, device = [*sys.argv[1:], *("default", "cpu")[len(sys.argv) - 2 :]]
    digits = trained(model=one_convolution(), epochs=4) if device == "cpu" else trained()
    eager = attack_of_the_trainer(digits, folding=False, device=device)
    fast = attack_of_the_trainer(digits, precision=precision, compiled=compiled, device=device)
    check_attack(fast, eager, agreement=AGREEMENT[precision], points=POINTS[precision])
    # Against eager code of the same precision: what is looked at is the compiler.
    config, model, data = digits
    with_state = compose(config, averaging="ema", feature_loss="separation-queue")
    of_the_field = (compose(config, method=name) for name in methods() if name not in {*METHODS, *SAME_STEPS})
    for run in (with_state, *of_the_field):
        steps = partial(change_by_steps, (run, model, data), precision=precision, device=device)
        check_change(*(steps(compiled=c) for c in ("off", compiled)), share=0.001 if precision == "fp32" else 0.05)
