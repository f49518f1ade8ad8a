"""An evaluation in which broken images drop out, against one that takes every image through every step.

A small CNN, trained on the digits, meets PGD on their test part, repeated. Both ways count as broken what is wrong
as it is, at a start, or at any later point, from the same noise for each image; the counts have to be the same.

usage: python benchmarks/evaluation.py [--steps N] [--restarts N] [--epochs N] [--device cuda]
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from measuring import Function, Spread, heading, interleaved, parser, set_threads, table
from torch import Tensor, nn

import srat
from srat.attacks import PGD, input_gradient, started
from srat.core.keyed_random import generator
from srat.data import Dataset, to_unit
from srat.data.sources.digits import Digits
from srat.evaluation.evaluate import count
from srat.losses import cross_entropy
from srat.models import lent, logits_of
from srat.runtime.precision import tensor_float

BATCH, SEED = 250, 0


class Passes(nn.Module):
    """A model that counts the batches it is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.count = 0

    def forward(self, images: Tensor) -> object:
        """Return what the model says."""
        self.count += 1
        return self.model(images)


def dropping(model: nn.Module, dataset: Dataset, attack: PGD) -> tuple[int, ...]:
    """Return the correct images of each class as srat counts them."""
    return count(model, dataset, attack, seed=SEED, batch_size=BATCH).correct


def through_all(model: nn.Module, dataset: Dataset, attack: PGD) -> tuple[int, ...]:
    """Return the correct images of each class, every image having been through every step from every start."""
    parts = torch.arange(len(dataset), device=dataset.labels.device).split(BATCH)
    with lent(model), tensor_float(False):
        kept = torch.cat([unbroken(model, dataset, attack, part) for part in parts])
    return tuple(torch.bincount(dataset.labels[kept], minlength=len(dataset.class_names)).tolist())


def unbroken(model: nn.Module, dataset: Dataset, attack: PGD, indices: Tensor) -> Tensor:
    """Return those of a batch's indices whose images are right at every point."""
    images, labels = to_unit(dataset.images[indices]), dataset.labels[indices]
    right = torch.ones_like(labels, dtype=torch.bool)

    def loss_at(points: Tensor) -> Tensor:
        nonlocal right
        logits = logits_of(model(points))
        right = right & (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)
        return cross_entropy(logits, labels)

    with torch.no_grad():
        loss_at(images)
    for start in range(attack.restarts):
        points = started(images, noise(attack, images, indices, start))
        for _ in range(attack.steps):
            points = attack.step(points, input_gradient(loss_at, points), images)
        with torch.no_grad():
            loss_at(points)
    return indices[right]


def noise(attack: PGD, images: Tensor, indices: Tensor, start: int) -> Tensor | None:
    """Return the noise of a start, which each image has by itself."""
    rngs = [generator(SEED, f"evaluation/{attack.name}", epoch=start, step=example) for example in indices.tolist()]
    drawn = [attack.noise((1, *images.shape[1:]), generator=rng) for rng in rngs]
    return torch.cat([each for each in drawn if each is not None]).to(images.device) if attack.random_start else None


def repeated(dataset: Dataset, size: int) -> Dataset:
    """Return the images over and over, up to a size."""
    indices = torch.arange(len(dataset)).repeat(math.ceil(size / len(dataset)))[:size]
    return dataset.subset(indices)


def main() -> None:
    """Train, evaluate both ways in turns, compare and print."""
    made = parser(__doc__)
    made.add_argument("--epochs", type=int, default=10, help="of training")
    made.add_argument("--steps", type=int, default=20, help="of the attack")
    made.add_argument("--restarts", type=int, default=1, help="of the attack")
    made.add_argument("--images", type=int, default=2000, help="to evaluate on")
    options = made.parse_args()
    set_threads(options)
    run = srat.fit(srat.compose(epochs=options.epochs), device=options.device)
    attack = replace(run.config.evaluation, steps=options.steps, restarts=options.restarts)
    dataset = repeated(Digits().test(), options.images).to(options.device)
    model = Passes(run.model)
    ways: dict[str, Callable[..., tuple[int, ...]]] = {"dropping out": dropping, "through all": through_all}
    rows, counts = {}, {}
    for name, way in ways.items():
        model.count = 0
        counts[name] = way(model, dataset, attack)
        rows[name] = model.count
    calls: dict[str, Function] = {name: lambda way=way: way(model, dataset, attack) for name, way in ways.items()}
    taken = interleaved(calls, rounds=options.rounds, device=options.device, warm_up=0)
    print(heading(options.device, images=len(dataset), batch=BATCH, attack=attack.label, epochs=options.epochs))
    lines = [("", "seconds (min–max)", "passes", "correct")]
    spreads = {name: Spread.of(times) for name, times in taken.items()}
    for name, time in spreads.items():
        span = f"{time.median:.2f} ({time.low:.2f}–{time.high:.2f})"
        lines.append((name, span, str(rows[name]), str(sum(counts[name]))))
    slow, fast = spreads["through all"].median, spreads["dropping out"].median
    lines.append(("ratio", f"{slow / fast:.2f}", f"{rows['through all'] / rows['dropping out']:.2f}", ""))
    print(table(lines))
    if counts["dropping out"] != counts["through all"]:
        raise SystemExit(f"the counts differ: {counts}")


if __name__ == "__main__":
    main()
