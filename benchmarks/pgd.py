"""PGD by our code, beside foolbox's and torchattacks', from the same random starts, on test images of a run.

At the last step all three should leave the same images right: those that differ are listed with how far the libraries'
images are from the other side, in logits; by rounding a gradient of next to nothing changes its sign. Beside them is
what we count: images that are right at every step. Times are as ratios to ours, of runs in turns.

usage: python benchmarks/pgd.py RUN [--images 1000] [--steps 20] [--rounds N] [--threads N] [--device cuda]
                                [--json FILE]
       (RUN is a finished run that is evaluated in L∞)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measuring import Plain, Spread, environment, heading, interleaved, parser, set_threads, table
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import srat
from srat.attacks import PGD, margin
from srat.attacks.walks import Steps, drawn_for
from srat.data import Dataset, to_unit
from srat.evaluation.evaluate import examine
from srat.evaluation.outcome import Outcome
from srat.evaluation.serving import lent_exactly
from srat.losses.cross_entropy_loss import entropy_of
from srat.models import logits_at

BATCH, SEED = 250, 0
Made = Callable[[nn.Module, Tensor, Tensor, Tensor, PGD], Tensor]
"""Model, images, labels, noise of the start, attack → where it leaves the images."""


class Ours(NamedTuple):
    """What becomes of each image by our code."""

    every: Outcome
    last: Outcome


def ours(model: nn.Module, dataset: Dataset, attack: PGD) -> Ours:
    """Return what becomes of the images at every step, and at the last one alone."""
    every = examine(model, dataset, attack, seed=SEED, batch_size=BATCH)
    return Ours(every, examine(model, dataset, attack, seed=SEED, batch_size=BATCH, known=every))


def by_foolbox(model: nn.Module, images: Tensor, labels: Tensor, noise: Tensor, attack: PGD) -> Tensor:
    """Return where foolbox's attack leaves the images."""
    import eagerpy
    import foolbox

    class FromThere(foolbox.attacks.LinfProjectedGradientDescentAttack):
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            del epsilon
            return x0 + eagerpy.astensor(noise)

    made = FromThere(abs_stepsize=attack.step_size, steps=attack.steps, random_start=True)
    there = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    return made.run(there, images, labels, epsilon=attack.epsilon)


def by_torchattacks(model: nn.Module, images: Tensor, labels: Tensor, noise: Tensor, attack: PGD) -> Tensor:
    """Return where torchattacks' attack leaves the images."""
    import torchattacks

    made = torchattacks.PGD(model, eps=attack.epsilon, alpha=attack.step_size, steps=attack.steps, random_start=True)
    made.set_device(images.device)
    with Drawn(noise):
        return made(images, labels)


class Drawn(TorchFunctionMode):
    """Let ``Tensor.uniform_`` give what was drawn before."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise

    def __torch_function__(
        self, function: Any, types: Any, given: Sequence[Any] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        """Do what is asked for, but for ``uniform_``."""
        return given[0].copy_(self.noise) if function is Tensor.uniform_ else function(*given, **(named or {}))


OTHERS: Mapping[str, Made] = {"foolbox": by_foolbox, "torchattacks": by_torchattacks}


@torch.no_grad()
def margins(made: Made, model: nn.Module, dataset: Dataset, attack: PGD, noise: Tensor) -> Tensor:
    """Return how far an attack's images are from being wrong, in logits: below 0 where they are right, (n,)."""
    found = []
    with lent_exactly(model) as served:
        plain = Plain(served).eval()
        for part in torch.arange(len(dataset), device=noise.device).split(BATCH):
            images, labels = to_unit(dataset.images[part]), dataset.labels[part]
            with torch.enable_grad():
                moved = made(plain, images, labels, noise[part], attack)
            found.append(margin(logits_at(served, moved), labels))
    return torch.cat(found)


def noise_of(dataset: Dataset, attack: PGD) -> Tensor:
    """Return the noise of the start that our evaluation draws for each image."""
    walk, numbers = Steps(attack=attack, usual=entropy_of), torch.arange(len(dataset), device=dataset.labels.device)
    drawn = drawn_for(walk, dataset.images.shape[1:], SEED, attack.name, 0, numbers)
    return torch.zeros_like(to_unit(dataset.images)) if drawn is None else drawn


def agreement(found: Ours, theirs: Mapping[str, Tensor]) -> str:
    """Return a table: how many images are right, how many of these answers are others than ours, and by how much."""
    rows = [("", "right at the last step", "others than ours", "their largest margin")]
    rows.append(("srat, every step", str(int(found.every.survived.sum())), "", ""))
    rows.append(("srat, last step", str(int(found.last.survived.sum())), "", ""))
    for name, each in theirs.items():
        which = differing(found, each)
        largest = f"{float(each[which].abs().max()):.1e}" if which.any() else "–"
        rows.append((name, str(int((each < 0).sum())), str(int(which.sum())), largest))
    return table(rows)


def differing(found: Ours, margins_of: Tensor) -> Tensor:
    """Return of which images another's last step says otherwise than ours, (n,)."""
    return (margins_of < 0) != found.last.survived


def relative(taken: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """Return the time of each round beside that of the first function's."""
    first = next(iter(taken.values()))
    return {
        name: Spread.of([time / own for time, own in zip(times, first, strict=True)]) for name, times in taken.items()
    }


def figures(found: Ours, theirs: Mapping[str, Tensor], ratios: Mapping[str, Spread]) -> dict[str, Any]:
    """Return all that is printed, for a file."""
    own = {"srat, every step": found.every, "srat, last step": found.last}
    right = {name: int(each.survived.sum()) for name, each in own.items()}
    return {
        "right": right | {name: int((each < 0).sum()) for name, each in theirs.items()},
        "differing": {name: int(differing(found, each).sum()) for name, each in theirs.items()},
        "time_of_ours": {name: ratio._asdict() for name, ratio in ratios.items()},
    }


def main() -> None:
    """Attack, compare image by image, take the time, and print."""
    made = parser(__doc__)
    made.add_argument("run", type=Path, metavar="RUN")
    made.add_argument("--images", type=int, default=1000, help="of the test part, the first ones of each class")
    made.add_argument("--steps", type=int, default=20)
    made.add_argument("--json", type=Path, help="write the figures there")
    options = made.parse_args()
    set_threads(options)
    config = srat.Config.read(options.run / "config.json")
    if config.evaluation.norm != "linf":
        made.error("RUN: expected one that is evaluated in L∞, where all three have the same step")
    attack = replace(config.evaluation, steps=options.steps, restarts=1, random_start=True, start_deviation=None)
    model = srat.load(options.run).to(options.device)
    test = srat.data_of(options.run).test().sample(options.images).to(options.device)
    print(heading(options.device, images=len(test), attack=attack.label), flush=True)
    noise, found = noise_of(test, attack), ours(model, test, attack)
    others = {name: partial(margins, each, model, test, attack, noise) for name, each in OTHERS.items()}
    theirs = {name: made_by() for name, made_by in others.items()}
    print(agreement(found, theirs), flush=True)
    functions = {
        "srat, every step": partial(examine, model, test, attack, seed=SEED, batch_size=BATCH),
        "srat, both": partial(ours, model, test, attack),
        **others,
    }
    ratios = relative(interleaved(functions, rounds=options.rounds, device=options.device, warm_up=1))
    times = [("", "time, of ours", "min–max")]
    times += [(name, f"{ratio.median:.2f}", f"{ratio.low:.2f}–{ratio.high:.2f}") for name, ratio in ratios.items()]
    print(table(times))
    if options.json:
        libraries = {name: version(name) for name in OTHERS}
        of = {"images": len(test), "steps": options.steps}
        content = environment(options.device) | libraries | of | figures(found, theirs, ratios)
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
