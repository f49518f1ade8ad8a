"""Planted fakes: an undefended model, made to look robust to a naive attack in a few lines each; and honest models."""

import copy
from dataclasses import replace
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

import srat
from srat.attacks import PGD
from srat.attacks.base import input_gradient
from srat.audit.base import Subject
from srat.models import lent, logits_of

EPSILON, HONEST_EPSILON = 0.15, 0.1
HONEST = ("ce", "srat-ldam")


@cache
def trained(method, epochs=12):
    """A small model on digits, the natural one on all of them."""
    few = {"imbalance": "none"} if method == "natural" else {"ratio": 10}
    config = srat.compose(method=method, data="digits", epochs=epochs, **few)
    return srat.fit(replace(config, model=replace(config.model, width=16)), device="cpu").model.eval()


class Fake(nn.Module):
    """Answers by a function of an undefended model."""

    def __init__(self, answer):
        super().__init__()
        self.model = copy.deepcopy(trained("natural"))
        self.answer = answer

    def forward(self, images):
        return self.answer(lambda x: logits_of(self.model(x)), images)


def temperature(model, x):
    return 1000 * model(x)


def quantised(model, x):
    return model(torch.round(4 * x) / 4)


def noisy(model, x):
    noise = torch.randn(x[0].numel(), 10)
    return model(x) + 0.01 * torch.sin(10_000 * x).flatten(1) @ noise


def saturated(model, x):
    logits = model(x)
    return 10 * torch.sigmoid(100 * (logits - logits.topk(2, dim=1).values.mean(dim=1, keepdim=True)))


class BatchStatistics(Fake):
    """BatchNorm in train mode, whatever mode it is told to be in."""

    def __init__(self):
        super().__init__(lambda model, x: model(x))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.forward = lambda x, own=module: F.batch_norm(x, None, None, own.weight, own.bias, training=True)


class Half(Fake):
    """A confident model that computes in half precision, behind a weight in fp32, so that attacks do not see it."""

    def __init__(self):
        super().__init__(lambda model, x: model((self.gain * x).half()).float())
        self.gain = nn.Parameter(torch.ones(()))
        with torch.no_grad():
            for parameter in self.model.head.parameters():
                parameter *= 4
        self.model.half()


def fakes():
    """Every fake, by its name."""
    return {
        "temperature": Fake(temperature),
        "quantised": Fake(quantised),
        "noise": Fake(noisy),
        "batch-statistics": BatchStatistics(),
        "sigmoid": Fake(saturated),
        "half": Half(),
    }


CAUGHT_BY = {
    "temperature": ("black-box", "growing-epsilon", "loss-and-scale", "transfer", "zero-gradients"),
    "quantised": ("black-box", "growing-epsilon", "transfer", "zero-gradients"),
    "noise": ("black-box", "determinism", "growing-epsilon", "transfer"),
    "batch-statistics": ("batch-independence", "effort", "loss-and-scale", "transfer"),
    "sigmoid": ("black-box", "growing-epsilon", "transfer", "zero-gradients"),
    "half": ("growing-epsilon", "half-precision", "loss-and-scale", "transfer", "zero-gradients"),
}


def digits():
    """The test digits."""
    return srat.Config().data.test()


def subject(model, *, epsilon, seed=0, images=500):
    """A model under examination, with everything at hand but published numbers."""
    return Subject(
        model=model,
        images=digits().sample(images),
        threat=PGD(epsilon=epsilon, step_size=epsilon / 4, steps=20),
        seed=seed,
        source=trained("natural"),
        test=digits(),
        train=srat.Config().data.train(),
    )


def naive_pgd(model, epsilon, steps=20):
    """Accuracy at the last of twenty steps, all images in one batch, as scripts have it."""
    data = digits()
    x, y = data.images.float() / 255 if data.images.dtype == torch.uint8 else data.images, data.labels
    rng = torch.Generator().manual_seed(0)
    with lent(model) as served:
        adversarial = (x + epsilon * (2 * torch.rand(x.shape, generator=rng) - 1)).clamp(0, 1)
        for _ in range(steps):
            gradient = input_gradient(lambda z: F.cross_entropy(logits_of(served(z)), y, reduction="none"), adversarial)
            moved = adversarial + epsilon / 4 * gradient.sign()
            adversarial = torch.minimum(torch.maximum(moved, x - epsilon), x + epsilon).clamp(0, 1)
        with torch.no_grad():
            return float((logits_of(served(adversarial)).argmax(dim=1) == y).float().mean())
