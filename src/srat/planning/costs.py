"""How long a run takes, from how long a step of it takes."""

import math
from dataclasses import dataclass

from srat.attacks.base import IterativeAttack
from srat.config.config import Config
from srat.planning.facts import Facts
from srat.planning.settings import held_out, trained_on
from srat.training.guarding import PROBED
from srat.training.loop import selecting_attack

FORWARD = 0.4
"""A pass forward, as a part of one forward and back to the image."""
STANDING = 0.6
"""Part of an attack's passes that an evaluation makes: broken images drop out (docs/performance.md: 102 of 176)."""
STARTING = {"cpu": 12.0, "cuda": 75.0}
"""Seconds until the first step, beside the reading: imports, the look at the memory; on CUDA the compiler's."""
ENDING = 5.0
"""Seconds for the page of the run."""
USABLE = 0.9
"""Part of the time that is planned for: a machine that does other things as well is slower now and then."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How long one image takes on this machine."""

    step: float
    """Seconds in a training step, with attack, augmentation and update."""
    ascent: float
    """Seconds in a step of the evaluation's attack: forward, and back to the image."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of the parts of a run."""

    start: float
    epoch: float
    """With the check of the held-out part."""
    evaluation: float
    """Of the test images, with the page."""

    def total(self, epochs: int) -> float:
        """Return the seconds of a run of so many epochs."""
        return self.start + epochs * self.epoch + self.evaluation

    def epochs_within(self, seconds: float) -> int:
        """Return how many epochs fit into a time, of which a part is kept for what nobody can foresee."""
        return max(0, math.floor((USABLE * seconds - self.start - self.evaluation) / self.epoch))

    def shortest(self, epochs: int) -> float:
        """Return the time into which so many epochs fit."""
        return self.total(epochs) / USABLE


def costs_of(config: Config, facts: Facts, speed: Speed, device: str) -> Costs:
    """Return how long the parts of a run take.

    An attack of k steps in an evaluation makes 0.6 k passes forward and back, and one forward for the clean images;
    of one that trains by a single step the guard looks at up to 256 images more in each epoch.

    Args:
        config: the run.
        facts: of its data.
        speed: of its network on this machine.
        device: "cpu" or "cuda".
    """
    images, checked = trained_on(facts, config.holdout), held_out(facts, config.holdout)
    attack = selecting_attack(config) or config.evaluation
    check = checked * (FORWARD + STANDING * attack.steps)
    guard = 0.0
    if config.is_guarded and isinstance(config.attack, IterativeAttack):
        guard = min(PROBED, images) * (2 * FORWARD + STANDING * attack.steps + config.attack.iterations)
    tested = facts.test * (FORWARD + STANDING * config.evaluation.steps * config.evaluation.restarts)
    return Costs(
        start=STARTING[device] + facts.reading,
        epoch=images * max(speed.step, facts.streaming) + (check + guard) * speed.ascent,
        evaluation=(2 if checked else 1) * tested * speed.ascent + ENDING,
    )
