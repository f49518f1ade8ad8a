"""From data and a time to a plan."""

import time as clocks
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from srat.config.command_line import command_of
from srat.config.config import Config
from srat.core.checked import checked
from srat.core.durations import parse_duration
from srat.core.errors import require_field
from srat.planning.costs import Costs, Speed, costs_of
from srat.planning.deciding import Decision, Option, decide, has_enough
from srat.planning.facts import Facts, look_at
from srat.planning.ladder import Setup, ladder
from srat.planning.measuring import measure
from srat.planning.rules import RULES, network_named
from srat.planning.settings import VARIED_FROM, configured
from srat.runtime.machine import as_device
from srat.runtime.precision import PrecisionName, computes_bf16

MEASURING, MEASURING_SHARE = 20.0, 0.1
"""Seconds of measuring at the most, and the part of the time that is planned for."""
EACH = 6
"""Networks, at the most, that share them."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting of a plan, and why."""

    what: str
    value: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that fits a time, and why it is as it is."""

    config: Config
    """The run, for `srat.fit`."""
    time: float
    """Seconds that it is planned for."""
    costs: Costs
    """Seconds that its parts take on this machine, as a few steps do."""
    choices: tuple[Choice, ...]
    device: str
    measured: float
    """Seconds that the measuring took."""

    @property
    def command(self) -> str:
        """The command that trains and evaluates it."""
        return command_of(self.config)

    @property
    def seconds(self) -> float:
        """Seconds that training and evaluation take."""
        return self.costs.total(self.config.epochs)

    def to_plain(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        return {
            "command": self.command,
            "time": self.time,
            "seconds": {"total": self.seconds, **vars(self.costs)},
            "device": self.device,
            "choices": [vars(choice) for choice in self.choices],
            "config": self.config.to_plain(),
        }


@checked
def plan(
    config: Config,
    *,
    time: str = "30m",
    device: str | torch.device = "auto",
    measuring: str | None = None,
    told: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = clocks.monotonic,
) -> Plan:
    """Return the training that makes most of a time on this machine, evaluation included.

    A few steps of some networks are measured, from the smallest on, until one has too few epochs in the time. The rules
    and what speaks for them are in the documentation (Plan for the time there is).

    Args:
        config: data, imbalance, seed and threat model (`evaluation`) are kept; all else is chosen.
        time: such as "90s", "10m", "2h" or "1d".
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        measuring: how long to measure at the most, likewise; a tenth of the time and 20 seconds unless given.
        told: told what is measured.
        clock: seconds from any moment on.

    Returns:
        The plan: ``.config`` for `srat.fit`, ``.command``, ``.seconds``, ``.choices`` with their reasons.

    Raises:
        UserError: if the data cannot be read, or the time is none, or too short for three epochs of the smallest
            network; it says what would suffice.
    """
    seconds = parse_duration(time, "time")
    within = min(MEASURING, MEASURING_SHARE * seconds) if measuring is None else parse_duration(measuring, "measuring")
    require_field(not config.data.hidden, "data", "a data set that a command can name", config.data.name)
    there = as_device(device)
    began = clock()
    told("the images")
    facts = look_at(config, clock)
    options = measured(config, facts, there, seconds=seconds, within=within, told=told, clock=clock)
    decision = settled(decide(options, facts, seconds), config)
    return Plan(
        config=decision.chosen.config,
        time=seconds,
        costs=decision.chosen.costs,
        choices=choices_of(decision),
        device=described(there),
        measured=clock() - began,
    )


def measured(
    config: Config,
    facts: Facts,
    device: torch.device,
    *,
    seconds: float,
    within: float,
    told: Callable[[str], None],
    clock: Callable[[], float],
) -> list[Option]:
    """Return the candidates that were measured, from the cheapest on, until one has too few epochs or time is up."""
    precision: PrecisionName = "bf16" if computes_bf16(device) else "fp32"
    began, speeds, options = clock(), dict[Setup, Speed](), list[Option]()
    for candidate in ladder(facts, config.evaluation.norm):
        run = configured(config, facts, candidate, epochs=VARIED_FROM, precision=precision)
        setup = candidate.setup
        if setup not in speeds:
            if speeds and (clock() - began >= within or not any(map(fits(facts, seconds), options[-2:]))):
                break
            told(f"a step of {network_named(setup.network)}, {setup.method}")
            speeds[setup] = measure(
                run,
                facts.shape(setup.side),
                classes=len(facts.counts),
                device=device,
                seconds=within / EACH,
                clock=clock,
            )
        costs = costs_of(run, facts, speeds[setup], device.type)
        options.append(Option(candidate=candidate, costs=costs, config=run))
    return options


def settled(decision: Decision, config: Config) -> Decision:
    """Return a decision whose run has its epochs, and what follows from them.

    Args:
        decision: the decision.
        config: what a plan was asked for.
    """
    chosen = decision.chosen
    whole = configured(
        config, decision.facts, chosen.candidate, epochs=decision.epochs, precision=chosen.config.precision
    )
    return replace(decision, chosen=replace(chosen, config=whole))


def fits(facts: Facts, seconds: float) -> Callable[[Option], bool]:
    """Return what says whether an option has enough epochs in a time."""
    return lambda option: has_enough(option.costs, facts, seconds)


def choices_of(decision: Decision) -> tuple[Choice, ...]:
    """Return what a decision chose, and why, a rule each."""
    return tuple(Choice(what=rule.what, value=rule.value(decision), reason=rule.reason(decision)) for rule in RULES)


def described(device: torch.device) -> str:
    """Return what a plan was measured on: "cpu, 2 threads", or the name of a GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' * (threads > 1)}"
