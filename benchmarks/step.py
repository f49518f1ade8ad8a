"""Images per second of a whole training step, attack and update, beside DeepRobust, torchattacks and the textbook loop.

All take the same images of CIFAR's shape, ε = 8/255, α = 2/255, 10 steps and a random start. What is not ours has
the same model, returning logits alone, in PyTorch's usual layout and with PyTorch's own defaults (on CUDA: TF32 in
convolutions), as its users have it. DeepRobust's attack and training code run as published; on a CPU its attack is
told so, for it asks for CUDA.

usage: python benchmarks/step.py [--device cuda] [--only NAME …] [--json FILE]
"""

import importlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from measuring import (
    Function,
    Spread,
    Variant,
    Work,
    environment,
    heading,
    interleaved,
    one_batch,
    step_parser,
    stepper,
    table,
    variants_on,
    work_of,
)
from torch import Tensor, nn
from torch.nn import functional as F

from srat.attacks import PGD

REFERENCE = "deeprobust"
INSTALL = "pip install --no-deps deeprobust==0.2.11"


class Logits(nn.Module):
    """One of our models as others expect it: logits are all it returns."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier(images).logits


@dataclass(frozen=True)
class Peer:
    """What a step that is not ours is given."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor
    attack: PGD
    device: str

    @classmethod
    def of(cls, work: Work) -> "Peer":
        """Return model, optimiser and images of some work."""
        training = work.training(Variant("fp32", folding=False))
        batch, sgd = one_batch(training), work.config.optimizer
        model = Logits(training.module).to(memory_format=torch.contiguous_format)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=sgd.learning_rate, momentum=sgd.momentum, weight_decay=sgd.weight_decay
        )
        return cls(model, optimizer, batch.images, batch.labels, work.config.attack, work.device)

    def update(self, adversarial: Tensor) -> None:
        """Do the update that tutorials have."""
        self.model.train()
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(adversarial), self.labels).backward()
        self.optimizer.step()


@dataclass(frozen=True)
class OneBatch:
    """A loader of a single batch."""

    images: Tensor
    labels: Tensor

    @property
    def batch_size(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def dataset(self) -> Tensor:
        """The images."""
        return self.images

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.images, self.labels


def ours(work: Work, variant: Variant) -> Function:
    """Return our step."""
    training = work.training(variant)
    return stepper(training, one_batch(training))


def textbook(work: Work) -> Function:
    """Return the loop of the tutorials: ``backward`` in each step of the attack, and the loss brought back."""
    peer = Peer.of(work)
    epsilon, step_size = peer.attack.epsilon, peer.attack.step_size

    def step() -> list[float]:
        peer.model.eval()
        images, losses = peer.images, []
        adversarial = (images + torch.empty_like(images).uniform_(-epsilon, epsilon)).clamp(0, 1)
        for _ in range(peer.attack.steps):
            adversarial = adversarial.detach().requires_grad_()
            loss = F.cross_entropy(peer.model(adversarial), peer.labels)
            loss.backward()
            losses.append(loss.item())
            adversarial = adversarial.detach() + step_size * adversarial.grad.sign()
            adversarial = torch.min(torch.max(adversarial, images - epsilon), images + epsilon).clamp(0, 1)
        peer.update(adversarial)
        return losses

    return step


def torchattacks(work: Work) -> Function:
    """Return torchattacks' PGD with the textbook update after it."""
    peer, library = Peer.of(work), importlib.import_module("torchattacks")
    attack = library.PGD(peer.model, eps=peer.attack.epsilon, alpha=peer.attack.step_size, steps=peer.attack.steps)
    return lambda: peer.update(attack(peer.images, peer.labels))


def deeprobust(work: Work) -> Function:
    """Return DeepRobust's PGD training on one batch."""
    peer, library = Peer.of(work), import_deeprobust()
    if peer.device == "cpu":
        library.PGD = partial(library.PGD, device="cpu")
    with redirect_stdout(io.StringIO()):
        defense = library.PGDtraining(peer.model, peer.device)
    defense.parse_params(
        epsilon=peer.attack.epsilon, num_steps=peer.attack.steps, perturb_step_size=peer.attack.step_size
    )
    loader = OneBatch(peer.images, peer.labels)

    def step() -> None:
        with redirect_stdout(io.StringIO()):
            defense.train(peer.device, loader, peer.optimizer, epoch=1)

    return step


def import_deeprobust() -> Any:
    """Return DeepRobust's module of PGD training, without what else the packages above it import."""
    spec = importlib.util.find_spec("deeprobust")
    assert spec is not None
    (root,) = spec.submodule_search_locations or ()
    for name in ("image", "image/attack", "image/defense", "image/netmodels"):
        package = ModuleType(f"deeprobust.{name.replace('/', '.')}")
        package.__path__ = [str(Path(root, name))]
        sys.modules[package.__name__] = package
    with torchvision_standing_in():
        return importlib.import_module("deeprobust.image.defense.pgdtraining")


@contextmanager
def torchvision_standing_in() -> Iterator[None]:
    """Let an empty torchvision be imported where there is none: what is measured does not use it."""
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    stand_in: Any = ModuleType("torchvision")
    stand_in.datasets, stand_in.transforms = ModuleType("datasets"), ModuleType("transforms")
    sys.modules["torchvision"] = stand_in
    try:
        yield
    finally:
        del sys.modules["torchvision"]


def contenders(device: str) -> dict[str, Callable[[Work], Function]]:
    """Return what can be measured: name → work → step."""
    mine = {name: partial(ours, variant=variant) for name, variant in variants_on(device).items()}
    peers = {"deeprobust": deeprobust, "torchattacks": torchattacks, "textbook": textbook}
    there = {name: peer for name, peer in peers.items() if name == "textbook" or importlib.util.find_spec(name)}
    if REFERENCE not in there:
        print(f"going on without DeepRobust; to have it: {INSTALL}")
    return mine | there


def show(rates: dict[str, Spread]) -> str:
    """Return the rates as a table, beside their ratio to the reference's."""
    rows = [("", "images/s", "min–max", f"× {REFERENCE}")]
    for name, rate in rates.items():
        ratio = f"{rate.median / rates[REFERENCE].median:.2f}" if REFERENCE in rates else "–"
        rows.append((name, f"{rate.median:.1f}", f"{rate.low:.1f}–{rate.high:.1f}", ratio))
    return table(rows)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = step_parser(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="what to measure; all by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    work, known = work_of(options), contenders(options.device)
    chosen = options.only or list(known)
    if missing := [name for name in chosen if name not in known]:
        parser.error(f"--only: there is no {missing[0]}; there are: {', '.join(known)}")
    steps = {name: known[name](work) for name in chosen}
    taken = interleaved(steps, rounds=options.rounds, device=options.device, repeats=options.repeats)
    rates = {name: Spread.of([options.batch / time for time in times]) for name, times in taken.items()}
    print(heading(options.device, model=work.config.model, batch=options.batch, method=options.method))
    print(show(rates))
    if options.json is not None:
        libraries = {name: version(name) for name in ("deeprobust", "torchattacks") if name in rates}
        asked = {name: getattr(options, name) for name in ("model", "width", "batch", "method", "rounds", "repeats")}
        figures = {name: rate._asdict() for name, rate in rates.items()}
        content = environment(options.device) | libraries | asked | {"images_per_second": figures}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
