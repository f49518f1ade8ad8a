"""Which run is best in a time, of those whose speed is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from srat.config.config import Config
from srat.core.durations import roughly
from srat.core.errors import FieldError
from srat.planning.costs import Costs
from srat.planning.facts import Facts
from srat.planning.ladder import Candidate
from srat.planning.settings import FEWEST_EPOCHS, enough_epochs, most_epochs


@dataclass(frozen=True, kw_only=True)
class Option:
    """A candidate, and how long its parts take here."""

    candidate: Candidate
    costs: Costs
    config: Config
    """The run; how many epochs it gets is not decided yet."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is chosen, and what it is chosen from."""

    facts: Facts
    seconds: float
    """The time that there is."""
    chosen: Option
    epochs: int
    better: Option | None = None
    """The next one of a better setup, which gets too few epochs; None if there is none, or its speed is not known."""


def decide(options: Sequence[Option], facts: Facts, seconds: float) -> Decision:
    """Return the last option with enough epochs, or the first one where none has, with as many epochs as fit.

    More time never leads to an earlier option, nor to fewer epochs of the same one.

    Args:
        options: each better than the one before.
        facts: of the data.
        seconds: the time that there is.

    Raises:
        UserError: if not even the first one gets three epochs; it says what would suffice.
    """
    chosen = next((option for option in reversed(options) if has_enough(option.costs, facts, seconds)), options[0])
    epochs = min(chosen.costs.epochs_within(seconds), most_epochs(facts.images))
    if epochs < FEWEST_EPOCHS:
        raise FieldError("time", needed(options[0].costs), f"{seconds:g}s")
    later = options[list(options).index(chosen) + 1 :]
    better = next((option for option in later if option.candidate.setup != chosen.candidate.setup), None)
    return Decision(facts=facts, seconds=seconds, chosen=chosen, epochs=epochs, better=better)


def has_enough(costs: Costs, facts: Facts, seconds: float) -> bool:
    """Return whether a run gets as many epochs as it needs to be better than that of a smaller network."""
    return costs.epochs_within(seconds) >= enough_epochs(facts.images)


def needed(costs: Costs) -> str:
    """Return what the shortest run takes."""
    parts = f"{FEWEST_EPOCHS} epochs of {roughly(costs.epoch)}, evaluation {roughly(costs.evaluation)}"
    shortest = roughly_above(costs.shortest(FEWEST_EPOCHS))
    return f"at least {shortest} for these images on this machine ({parts}, start {roughly(costs.start)})"


def roughly_above(seconds: float) -> str:
    """Return a time of so many seconds or a little more, as a command takes it: "85s", "12m"."""
    return f"{-(-seconds // 5) * 5:.0f}s" if seconds < 300 else f"{-(-seconds // 60):.0f}m"
