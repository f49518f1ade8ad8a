"""Planted fakes: an undefended model, made to look robust to a naive attack in a few lines each; and honest models."""

import copy
from dataclasses import replace
from functools import cache, partial

import torch
from torch import nn
from torch.nn import functional as F

import srat
from srat.attacks import PGD, Natural
from srat.attacks.base import input_gradient
from srat.audit.base import Remade, Subject
from srat.audit.checks.stored import on_levels
from srat.audit.searching import Task
from srat.data import to_unit
from srat.evaluation.evaluate import examine
from srat.models import lent, logits_of
from srat.training.fitting import fit

EPSILON, HONEST_EPSILON = 0.15, 0.1
HONEST = ("ce", "srat-ldam")


@cache
def trained(method, epochs=12, *, seed=0, model="small-cnn", held_out=True, steps=None):
    """A small model on digits, the natural one on all of them; in so many steps of its attack, by default its own."""
    few = {"imbalance": "none"} if method == "natural" else {"ratio": 10}
    config = srat.compose(method=method, data="digits", model=model, epochs=epochs, seed=seed, **few)
    if steps is not None:
        config = replace(config, attack=replace(config.attack, steps=steps, step_size=2.5 * HONEST_EPSILON / steps))
    if model == "small-cnn":
        config = replace(config, model=replace(config.model, width=16))
    if not held_out:
        config = replace(config, holdout=replace(config.holdout, fraction=0))
    return fit(config, device="cpu").model.eval()


@cache
def sources():
    """Undefended models that no fake is made of."""
    return trained("natural", seed=1), trained("natural", model="linear")


@cache
def digits():
    """The test digits."""
    return srat.Config().data.test()


@cache
def learnt():
    """The training digits in [0, 1], and their labels: what a fake has in its memory."""
    data = srat.Config().data.train()
    return to_unit(data.images), data.labels


class Fake(nn.Module):
    """Answers by a function of an undefended model."""

    def __init__(self, answer):
        super().__init__()
        self.model = copy.deepcopy(trained("natural"))
        self.answer = answer

    def forward(self, images):
        return self.answer(lambda x: logits_of(self.model(x)), images)


class Passed(torch.autograd.Function):
    """One thing forwards, another backwards."""

    @staticmethod
    def forward(ctx, x, value, backward):
        ctx.backward_ = backward
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.backward_(gradient), None, None


def mirrored(gradient):
    return gradient.flip(-1).roll(3, dims=-2)


def cut(transform, model, x):
    """A transform that no gradient passes, with the gradient of another image in its place."""
    return model(Passed.apply(x, transform(x.detach()), mirrored))


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


def recalled(x):
    """What the images in memory say, each the louder the nearer: hardly accurate, quite robust, and smooth."""
    images, labels = learnt()
    near = -3 * torch.cdist(x.flatten(1), images.flatten(1)).square()
    return torch.stack([near[:, labels == c].logsumexp(dim=1) for c in range(10)], dim=1)


def instead(which, logits, memory):
    """Logits, with those of the memory for some images."""
    return torch.where(which[:, None], memory, logits)


def off_grid(x):
    return ((255 * x - (255 * x).round()).abs() > 1e-2).flatten(1).any(dim=1)


def memory(model, x):
    return instead(off_grid(x.detach()), model(x), recalled(x))


def few_levels(model, x):
    """The memory answers between the greys that the data have, seventeen of them."""
    between = (x.detach()[..., None] - learnt()[0].unique()).abs().amin(dim=-1) > 1e-3
    return instead(between.flatten(1).any(dim=1), model(x), recalled(x))


def noise_detector(model, x):
    edge = torch.cat((x[..., 0], x[..., -1]), dim=-1).detach().flatten(1)  # blank paper on nearly all digits
    return instead(edge.mean(dim=1) > 0.025, model(x), recalled(x))


def footprint_detector(model, x):
    levels = learnt()[0].unique()
    moved = (x.detach()[..., None] - levels).abs().amin(dim=-1).flatten(1)
    alike = (moved - moved.median(dim=1, keepdim=True).values).abs() < 2e-3
    signs = (alike & (moved > 1e-2)).float().mean(dim=1) > 0.15  # as steps by the gradient's sign leave them
    return instead(signs, model(x), recalled(x))


def autograd_detector(model, x):
    asked = torch.full((len(x),), x.requires_grad and torch.is_grad_enabled())
    return instead(asked, model(x), recalled(x))


def batch_detector(model, x):
    paper = x.detach().flatten(1).quantile(0.3, dim=1).mean()  # black in nearly all digits, and in every batch of many
    moved = paper > 0.01 if len(x) > 1 else paper < 0
    return instead(moved.expand(len(x)), model(x), recalled(x))


def bucketed(x):
    edges = torch.linspace(0.125, 0.875, 4)
    return torch.linspace(0, 1, 5)[torch.bucketize(x.contiguous(), edges)]


@cache
def cosines(n=8):
    k = torch.arange(n).double()
    basis = torch.cos(torch.pi * (2 * k[None] + 1) * k[:, None] / (2 * n)) * (2 / n) ** 0.5
    basis[0] /= 2**0.5
    return basis.float()


def jpeg(x):
    basis = cosines()
    return (basis.T @ torch.round((basis @ x @ basis.T) / 0.2) * 0.2 @ basis).clamp(0, 1)


def median(x):
    windows = F.unfold(F.pad(x, (1, 1, 1, 1)), 3).unflatten(1, (1, 9))
    return 0.7 * x + 0.3 * windows.median(dim=2).values.view_as(x)


def resized(x):
    large = F.interpolate(x, scale_factor=2, mode="bilinear")
    return F.interpolate((255 * large).byte().float() / 255, scale_factor=0.5, mode="area")


def wrong_gradient(model, x):
    signs = torch.where(torch.arange(64).view(8, 8) % 2 > 0, 1.0, -1.0)
    return model(Passed.apply(x, x, lambda gradient: gradient * signs))


def clipped_gradient(model, x):
    def clipped(gradient):
        size = gradient.abs().flatten(1)
        few = size.kthvalue(20, dim=1).values[:, None, None, None]
        return torch.where(gradient.abs() <= few, gradient, 0)

    return model(Passed.apply(x, x, clipped))


def input_temperature(model, x):
    checks = torch.where(torch.arange(64).view(8, 8) % 2 > 0, 1.0, -1.0)
    return model(x) * torch.exp(60 * (x * checks).mean(dim=(1, 2, 3)))[:, None]


def hashed(model, x):
    which = (7919 * (x.detach() * 1000).round().flatten(1).sum(dim=1)).long() % 4
    offset = torch.tensor([0.0, 0.06, 0.12, 0.18])[which][:, None, None, None]
    return cut(lambda z: torch.round(4 * (z + offset)) / 4 - offset, model, x)


def saturated_before(model, x):
    steep = torch.tanh(40 * torch.tanh(40 * (x[..., None] - torch.tensor([0.125, 0.375, 0.625, 0.875]))))
    return model((steep + 1).sum(dim=-1) / 8)


def saturated_after(model, x):
    logits = model(x)
    return torch.tanh(20 * torch.tanh(20 * torch.tanh(logits - logits.topk(2, dim=1).values.mean(dim=1, keepdim=True))))


def rounded_logits(model, x):
    logits = model(x)
    return Passed.apply(logits, torch.round(logits, decimals=1), lambda gradient: gradient.roll(1, dims=1))


def comb(model, x):
    """A wave over the grey levels: steps of half its length go from a crest to a trough."""
    return model(x + 0.12 * torch.sin(2 * torch.pi * 15.9375 * x))


def decoy(model, x):
    """A second place that follows the first: the margin has no gradient, and cross-entropy's is beyond fp32."""
    logits = model(x)
    top = logits.topk(2, dim=1)
    other = top.indices[:, 1:]
    return 1000 * logits.scatter(1, other, top.values[:, :1] - 1.5)


class BatchStatistics(Fake):
    """BatchNorm in train mode, whatever mode it is told to be in."""

    def __init__(self):
        super().__init__(lambda model, x: model(x))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.forward = lambda x, own=module: F.batch_norm(x, None, None, own.weight, own.bias, training=True)


class Remembering(Fake):
    """Whoever was there first is remembered, and what comes near is said to be the same."""

    def __init__(self):
        super().__init__(lambda model, x: model(x))
        self.seen, self.said = torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long)

    def forward(self, x):
        if not x.requires_grad:
            new = (
                torch.cdist(x.flatten(1), self.seen.flatten(1)).amin(dim=1) > 1.2 if len(self.seen) else [True] * len(x)
            )
            new = torch.as_tensor(new)
            self.seen = torch.cat((self.seen, x[new].detach()))
            self.said = torch.cat((self.said, self.model(x[new]).logits.argmax(dim=1)))
        near = -3 * torch.cdist(x.flatten(1), self.seen.flatten(1)).square()
        of_classes = [near[:, self.said == c] for c in range(10)]
        return torch.stack([F.pad(each, (0, 1), value=-99.0).logsumexp(dim=1) for each in of_classes], dim=1)


class ManyAtOnce(BatchStatistics):
    """The same, where a batch is large."""

    def forward(self, x):
        return super().forward(x) if len(x) > 64 else trained("natural")(x).logits


class Half(Fake):
    """A confident model that computes in half precision, behind a weight in fp32, so that attacks do not see it."""

    def __init__(self):
        super().__init__(lambda model, x: model((self.gain * x).half()).float())
        self.gain = nn.Parameter(torch.ones(()))
        with torch.no_grad():
            for parameter in self.model.head.parameters():
                parameter *= 4
        self.model.half()


class WinnersTakeAll(nn.Module):
    """A tenth of each layer's activations are let through, the largest."""

    def forward(self, x):
        return x * (x >= x.topk(len(x[0]) // 20, dim=1).values[:, -1:])


def own_module(make, seed=0, epochs=40, **how):
    """A module of its own, trained on all digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fitted(make(), epochs, **how)


def fitted(module, epochs, *, attacked=0.0, averaged=False, rate=2e-3):
    """A module, trained under an attack of so large an ε, its weights averaged or not."""
    images, labels = learnt()
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    mean = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.95))
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(100):
            x, y = images[batch], labels[batch]
            for _ in range(3 if attacked else 0):
                gradient = input_gradient(lambda z, y=y: F.cross_entropy(module(z), y, reduction="none"), x)
                moved = x + attacked / 2 * gradient.sign() - images[batch]
                x = (images[batch] + moved.clamp(-attacked, attacked)).clamp(0, 1)
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
            mean.update_parameters(module)
    if averaged:
        with torch.no_grad():
            for own, theirs in zip(module.parameters(), mean.module.parameters(), strict=True):
                own.copy_(theirs)
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.reset_running_stats()
            module.train()(images)
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.momentum = 1.0
            module(images)
    return module.eval().requires_grad_(False)


def winners():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 512), WinnersTakeAll(), nn.Linear(512, 512), WinnersTakeAll(), nn.Linear(512, 10)
    )


ANSWERS = {
    "temperature": temperature,
    "quantised": quantised,
    "noise": noisy,
    "sigmoid": saturated,
    "memory": memory,
    "few-levels": few_levels,
    "noise-detector": noise_detector,
    "footprint-detector": footprint_detector,
    "autograd-detector": autograd_detector,
    "batch-detector": batch_detector,
    "bucketed": partial(cut, bucketed),
    "jpeg": partial(cut, jpeg),
    "median": partial(cut, median),
    "resized": partial(cut, resized),
    "wrong-gradient": wrong_gradient,
    "clipped-gradient": clipped_gradient,
    "input-temperature": input_temperature,
    "hashed": hashed,
    "saturated-before": saturated_before,
    "saturated-after": saturated_after,
    "rounded-logits": rounded_logits,
    "comb": comb,
    "decoy": decoy,
}


def small_scale(honest):
    """An honest model whose logits are so small that cross-entropy has the gradient of no class in particular."""
    return Remade(honest, lambda logits: logits / 30)


OTHERS = {
    "batch-statistics": BatchStatistics,
    "large-batches": ManyAtOnce,
    "remembering": Remembering,
    "half": Half,
    "winners": partial(own_module, winners),
    "small-scale": lambda: small_scale(trained("ce", held_out=False)),
}


def fake(name):
    """One of the fakes."""
    return Fake(ANSWERS[name]) if name in ANSWERS else OTHERS[name]()


def fakes():
    """Every fake, by its name."""
    return {name: fake(name) for name in (*ANSWERS, *OTHERS)}


CAUGHT_BY = {
    "temperature": ("loss-and-scale", "zero-gradients"),
    "quantised": ("estimated-gradients", "finite-differences", "straight-through", "transfer", "zero-gradients"),
    "noise": ("finite-differences", "transfer"),
    "sigmoid": ("transfer", "zero-gradients"),
    "memory": ("stored",),
    "few-levels": ("stored",),
    "noise-detector": ("footprints",),
    "footprint-detector": ("footprints",),
    "autograd-detector": ("determinism", "finite-differences"),
    "batch-detector": ("batch-independence", "footprints"),
    "bucketed": ("estimated-gradients", "finite-differences", "transfer"),
    "jpeg": ("estimated-gradients", "finite-differences", "transfer"),
    "median": ("estimated-gradients", "finite-differences", "transfer"),
    "resized": ("finite-differences", "transfer"),
    "wrong-gradient": ("estimated-gradients", "finite-differences", "transfer"),
    "clipped-gradient": ("estimated-gradients", "finite-differences", "transfer"),
    "input-temperature": ("loss-and-scale", "transfer"),
    "hashed": ("estimated-gradients", "finite-differences", "transfer"),
    "saturated-before": ("estimated-gradients", "finite-differences", "smoothed-gradients", "transfer"),
    "saturated-after": ("transfer", "zero-gradients"),
    "rounded-logits": ("estimated-gradients", "finite-differences", "transfer"),
    "comb": ("effort", "smoothed-gradients", "transfer"),
    "decoy": ("loss-and-scale", "zero-gradients"),
    "batch-statistics": ("batch-independence", "loss-and-scale"),
    "large-batches": ("batch-independence",),
    "remembering": ("determinism",),
    "half": ("half-precision", "loss-and-scale", "zero-gradients"),
    "winners": ("estimated-gradients", "finite-differences", "transfer"),
    "small-scale": ("loss-and-scale",),
}
"""Checks that each fake fails, among others."""
QUICK = {
    "temperature": ("loss-and-scale", "zero-gradients"),
    "quantised": ("straight-through", "zero-gradients", "transfer"),
    "noise": ("finite-differences",),
    "sigmoid": ("zero-gradients", "transfer"),
    "memory": ("stored",),
    "few-levels": ("stored",),
    "noise-detector": ("footprints",),
    "footprint-detector": ("footprints",),
    "autograd-detector": ("determinism",),
    "batch-detector": ("batch-independence", "footprints"),
    "jpeg": ("estimated-gradients", "finite-differences"),
    "wrong-gradient": ("finite-differences", "transfer"),
    "input-temperature": ("transfer",),
    "saturated-before": ("finite-differences", "smoothed-gradients"),
    "saturated-after": ("zero-gradients",),
    "comb": ("smoothed-gradients",),
    "decoy": ("loss-and-scale",),
    "batch-statistics": ("batch-independence",),
    "large-batches": ("batch-independence",),
    "remembering": ("determinism",),
    "half": ("half-precision", "zero-gradients"),
} | dict.fromkeys(
    ("bucketed", "median", "resized", "clipped-gradient", "hashed", "rounded-logits", "winners"),
    ("finite-differences",),
)
"""Of those one or two that cost little; stability.py looks at all of them."""
IMAGES = {"footprint-detector": 300}
"""Test images that it takes, where 100 are not enough to be sure."""


def subject(model, *, epsilon, seed=0, images=500):
    """A model under examination, with everything at hand but published numbers."""
    return Subject(
        model=model,
        images=digits().sample(images),
        threat=PGD(epsilon=epsilon, step_size=epsilon / 4, steps=20),
        seed=seed,
        sources=sources(),
        test=digits(),
        train=srat.Config().data.train(),
    )


class Cosine(nn.Module):
    """Cosines of features and weights, times 30."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, features))

    def forward(self, x):
        return 30 * F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))


class Quantised(nn.Linear):
    """Weights of four bits, by a straight-through estimate."""

    def forward(self, x):
        step = self.weight.detach().abs().max() / 7
        weight = self.weight + ((self.weight / step).round() * step - self.weight).detach()
        return F.linear(x, weight, self.bias)


class Transformer(nn.Module):
    """Sixteen patches of 2 × 2 pixels, a layer with LayerNorm."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 32, 2, stride=2)
        self.place = nn.Parameter(0.1 * torch.randn(1, 16, 32))
        layer = nn.TransformerEncoderLayer(32, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 10))

    def forward(self, x):
        return self.head(self.layers(self.patches(x).flatten(2).mT + self.place).mean(dim=1))


def perceptron(width=64, *, between=nn.ReLU, linear=nn.Linear):
    return nn.Sequential(
        nn.Flatten(), linear(64, width), between(), linear(width, width), between(), nn.Linear(width, 10)
    )


def convolutions(width=12, *, between=nn.ReLU, norm=nn.BatchNorm2d):
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1), norm(width), between()),
        *(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), norm(2 * width), between()),
        *(nn.Flatten(), nn.Linear(32 * width, 10)),
    )


UNUSUAL = {
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), {"attacked": 0.05, "rate": 0.02}),
    "transformer": (Transformer, {"attacked": 0.05, "rate": 0.005}),
    "wide-clean": (lambda: perceptron(1024), {}),
    "cosine": (lambda: nn.Sequential(*list(convolutions())[:-1], Cosine(384)), {"attacked": 0.08}),
    "averaged": (convolutions, {"attacked": 0.08, "averaged": True}),
    "group-norm": (partial(convolutions, norm=partial(nn.GroupNorm, 4)), {"attacked": 0.08}),
    "dropout": (partial(convolutions, between=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.2))), {"attacked": 0.08}),
    "quantised-weights": (partial(perceptron, linear=Quantised), {"attacked": 0.08}),
    "leaky": (partial(convolutions, between=lambda: nn.Sequential(nn.LeakyReLU(0.2), nn.ELU())), {"attacked": 0.08}),
    "small-epsilon": (convolutions, {"attacked": 0.02}),
    "perceptron": (perceptron, {"attacked": 0.08}),
    "attacked": (partial(convolutions, 16), {"attacked": 0.1}),
}
"""Honest models that look unusual: what they are, and how they are trained."""


@cache
def unusual(name, seed=0):
    """One of them, trained with a seed."""
    make, how = UNUSUAL[name]
    return own_module(make, seed=seed, epochs=12 if how else 20, **how)


def naive_pgd(model, epsilon, steps=20, images=500):
    """Accuracy at the last of twenty steps, all images in one batch, as scripts have it."""
    data = digits().sample(images)
    x, y = to_unit(data.images), data.labels
    rng = torch.Generator().manual_seed(0)
    with lent(model) as served:
        adversarial = (x + epsilon * (2 * torch.rand(x.shape, generator=rng) - 1)).clamp(0, 1)
        for _ in range(steps):
            gradient = input_gradient(lambda z: F.cross_entropy(logits_of(served(z)), y, reduction="none"), adversarial)
            moved = adversarial + epsilon / 4 * gradient.sign()
            adversarial = torch.minimum(torch.maximum(moved, x - epsilon), x + epsilon).clamp(0, 1)
        with torch.no_grad():
            return float((logits_of(served(adversarial)).argmax(dim=1) == y).float().mean())


def known(name, images=200):
    """Accuracies of a fake: as it is, as PGD-20 credits it, and the least that those who know how it is made find.

    These attack the model inside by its gradient, and show the fake, image by image and without a gradient, what they
    find: as it is, on the levels of a file, uneven, away from the edge, on the images' own levels.
    """
    model, data = fakes()[name], digits().sample(images)
    x, y = to_unit(data.images), data.labels
    inside = {
        "small-scale": trained("ce", held_out=False),
    }.get(name, trained("natural"))
    threat = PGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=20)
    credited = examine(model, data, threat, seed=0).survived
    rng, points, shown = torch.Generator().manual_seed(0), x, [x]
    for step in range(1, 41):
        gradient = input_gradient(lambda z: F.cross_entropy(logits_of(inside(z)), y, reduction="none"), points)
        points = (x + (points + EPSILON / 10 * gradient.sign() - x).clamp(-EPSILON, EPSILON)).clamp(0, 1)
        if step % 8 == 0:
            stored = ((255 * x).round() + ((points - x) * 255).trunc()) / 255
            uneven = x + (points - x) * (0.6 + 0.4 * torch.rand(x.shape, generator=rng))
            within = points.clone()
            within[..., 0], within[..., -1] = x[..., 0], x[..., -1]
            few = on_levels(Task(model, x, y, rng), points, x.unique())
            shown += [points, stored, uneven, within, few]
    untouched = examine(fakes()[name], data, Natural(), seed=0).survived
    if name == "remembering":  # shown attacked images first
        model, shown = fakes()[name], shown[::-1]
    with torch.no_grad(), lent(model) as served:
        if name in ("batch-detector", "batch-statistics", "large-batches"):
            answers = [torch.cat([logits_of(served(image[None])) for image in each]) for each in shown]
        else:
            answers = [logits_of(served(each)) for each in shown]
    right = torch.stack([answer.argmax(dim=1) == y for answer in answers])
    return tuple(float(each.float().mean()) for each in (untouched, credited, right.all(dim=0)))
