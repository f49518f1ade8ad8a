"""What a check is given, and what it says."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from srat.attacks import PGD, AnyAttack, Natural, PGDMargin
from srat.attacks.pgd import MOST_RESTARTS, MOST_STEPS
from srat.core.keyed_random import generator
from srat.core.members import Member
from srat.core.words import percent
from srat.data import Dataset, to_unit
from srat.evaluation.evaluate import examine
from srat.evaluation.expected import PROBED, Expected, expected, randomness
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import Outcome
from srat.evaluation.record import Evaluation
from srat.evaluation.serving import BATCH_SIZE, last_points, lent_exactly
from srat.models import logits_at
from srat.statistics.intervals import wilson

Labels = Int[Tensor, " batch"]
Verdict = Literal["pass", "warn", "fail"]
"""What a check says."""
SEVERITY: Mapping[Verdict, int] = {"pass": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check has found."""

    verdict: Verdict
    """Whether it speaks against the claimed robustness."""
    evidence: str
    """Why, in one sentence with numbers."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """The numbers, by name; shares and accuracies in [0, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A model under examination; what several checks need is made once."""

    model: nn.Module
    """Images in [0, 1] → logits, or an output that has them."""
    images: Dataset
    """The test images that it is attacked on, all on its device."""
    threat: PGD
    """The attack that its robustness is claimed under: norm, budget, steps."""
    seed: int
    """Of all randomness."""
    sources: Sequence[nn.Module] = ()
    """Naturally trained models of the same data, to transfer adversarial images from."""
    test: Dataset | None = None
    """The whole test set."""
    train: Dataset | None = None
    """The training images."""
    evaluation: Evaluation | None = None
    """The published numbers."""
    observer: Observer = field(default_factory=Observer)
    """Told of progress."""
    unasked: nn.Module | None = None
    """A copy of the model from before it was asked anything, made here; None of a model that cannot be copied."""

    def __post_init__(self) -> None:
        if self.unasked is None:
            with suppress(Exception):  # a stranger's module may forbid it in any way
                object.__setattr__(self, "unasked", copy.deepcopy(self.model))

    def steadied(self) -> "Subject":
        """Return the same of the model's mean over several draws, if it answers at random."""
        # Whose draws are whose matters to intervals alone.
        random = randomness(self.model, self.unit(self.every[:PROBED])) != "none"
        model = expected(self.model, "by-image" if random else "none", seed=self.seed, tell=self.observer.notice)
        return self if model is self.model else replace(self, model=model)

    @cached_property
    def clean(self) -> Outcome:
        """What becomes of the images untouched."""
        return self.outcome(Natural())

    @cached_property
    def base(self) -> Outcome:
        """What becomes of them under the claimed attack."""
        return self.outcome(self.threat)

    @cached_property
    def right(self) -> Int[Tensor, " right"]:
        """The images that are right untouched."""
        return self.clean.survived.nonzero().flatten()

    @cached_property
    def standing(self) -> Int[Tensor, " standing"]:
        """The images that the claimed attack leaves unbroken."""
        return self.base.survived.nonzero().flatten()

    @cached_property
    def on_margin(self) -> Outcome:
        """What becomes of them under the claimed attack, made on the margin."""
        return self.outcome(PGDMargin(**vars(self.threat)))

    @cached_property
    def unbroken(self) -> Int[Tensor, " unbroken"]:
        """The images that the claimed attack leaves unbroken, on its own loss and on the margin."""
        return (self.base.survived & self.on_margin.survived).nonzero().flatten()

    @property
    def n(self) -> int:
        """How many images there are."""
        return len(self.images)

    def outcome(self, attack: AnyAttack, *, model: nn.Module | None = None) -> Outcome:
        """Return what becomes of all images under an attack, on this model or one made of it."""
        return examine(model or self.model, self.images, attack, seed=self.seed, observer=self.observer)

    def broken_more(self, attack: AnyAttack) -> int:
        """Return how many images an attack breaks that the claimed one does not."""
        if len(self.standing) == 0:
            return 0
        if isinstance(self.model, Expected):  # whose draws are those of an image's place
            return int((~self.outcome(attack).survived)[self.standing].sum())
        rest = self.images.subset(self.standing)
        found = examine(self.model, rest, attack, seed=self.seed, observer=self.observer)
        return int((~found.survived).sum())

    @cached_property
    def attacked(self) -> "Sequence[Float[Tensor, 'batch c h w']]":
        """Where the claimed attack leaves the images, in batches, whatever it has broken on its way."""
        found = []
        with lent_exactly(self.model) as lent:
            for number, (images, labels) in enumerate(self.batches(self.every)):
                rng = generator(self.seed, "audit/attacked", step=number, device=self.device)
                found.append(last_points(lent, images, labels, self.threat, generator=rng))
        return found

    @property
    def device(self) -> torch.device:
        """Where the labels lie, and where the model computes."""
        return self.images.labels.device

    def unit(self, positions: Int[Tensor, " some"]) -> Float[Tensor, "some channels height width"]:
        """Return images in [0, 1], on the model's device."""
        return to_unit(self.images.subset(positions).images[:].to(self.device))

    def batches(self, positions: Int[Tensor, " n"]) -> Iterator[tuple[Float[Tensor, "batch c h w"], Labels]]:
        """Yield images in [0, 1] and their labels, in batches."""
        for some in torch.split(positions, BATCH_SIZE) if len(positions) else ():
            yield self.unit(some), self.images.labels[some]

    @property
    def every(self) -> Int[Tensor, " n"]:
        """The positions of all images."""
        return torch.arange(self.n, device=self.device)

    @cached_property
    def logits(self) -> Float[Tensor, "n classes"]:
        """What the model says of all images."""
        return self.asked()

    def asked(self) -> Float[Tensor, "n classes"]:
        """Ask the model about all images, once more."""
        with torch.no_grad(), lent_exactly(self.model) as lent:
            return torch.cat([logits_at(lent, images) for images, _ in self.batches(self.every)])


@dataclass(frozen=True, kw_only=True)
class Check(Member):
    """One way in which robustness can be unreal, and how to see it."""

    question: ClassVar[str]
    """What it asks."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Which of the subject's "train", "sources" and "evaluation" it asks for."""

    def examine(self, subject: Subject) -> Finding | None:
        """Return what is found; None if what it takes is not at hand."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FurtherAttack(Check):
    """A check by what another search breaks that the claimed attack does not."""

    warn: float = 0.02
    """Share of images that it breaks and the claimed attack does not, …"""
    fail: float = 0.05
    """… above which the claimed attack was misled."""

    def found(self, subject: Subject, broken: int, what: str) -> Finding:
        """Return what so many images say that a search has broken.

        Args:
            subject: whose images they are.
            broken: how many.
            what: the search, such as "1,000 queries".
        """
        n = subject.n
        return Finding(
            verdict=judged(broken, n, warn=self.warn, fail=self.fail),
            evidence=f"{what} break {percent(broken, n)} that the claimed attack does not",
            figures={"broken": broken / n},
        )


class Remade(nn.Module):
    """A model with its logits changed.

    Args:
        model: the model.
        change: logits → logits.
    """

    def __init__(self, model: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.change = model, change

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.change(logits_at(self.model, images))


def judged(count: int, total: int, *, warn: float, fail: float) -> Verdict:
    """Return what a share of images says: it warns or fails where it is surely above a limit, by its interval.

    So a few images more or less, with another seed, do not turn a verdict round.
    """
    low = wilson(count, total).low
    return "fail" if low > fail else "warn" if low > warn else "pass"


def stronger(threat: PGD, *, steps: int = 1, restarts: int = 1, alpha: float | None = None) -> PGD:
    """Return the claimed attack with so many times its steps and starts, and steps of another size."""
    return replace(
        threat,
        steps=min(threat.steps * steps, MOST_STEPS),
        restarts=min(threat.restarts * restarts, MOST_RESTARTS),
        step_size=threat.step_size if alpha is None else alpha,
    )
