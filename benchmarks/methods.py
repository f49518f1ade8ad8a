"""What methods and their members cost beside adversarial training with PGD-10: time of whole steps, in turns.

A measurement is of some steps spread over a run, so that balls that grow, and members that start late, count with what
they cost in the mean; augmentation is a part of each step. Passes are those that `srat methods` tells.

usage: python benchmarks/methods.py [--model resnet18] [--width 16] [--only NAME …] [--json FILE]
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import Function, Spread, Variant, Work, environment, heading, interleaved, step_parser, table, work_of

from srat.config.composition import compose
from srat.config.config import Config
from srat.config.passes import relative_passes
from srat.core.keyed_random import generator
from srat.methods import METHODS, methods
from srat.training.step import train_step

REFERENCE = "ce"
PARTS = 5
"""Of a run, from each of which a step is measured."""
MEMBERS: dict[str, dict[str, Any]] = {
    "+ ema": {"averaging": "ema"},
    "+ awp": {"weight_perturbation": "awp"},
    "+ rand-augment": {"augmentation": "rand-augment"},
    "+ class-wise budget": {"budget": "class-wise"},
    "+ mixture": {"robust_loss": "mixture"},
    "+ distillation": {"robust_loss": "distillation", "averaging": "ema"},
    "+ separation-queue": {"feature_loss": "separation-queue"},
    "n-fgsm": {"attack": "n-fgsm"},
    "zero-grad": {"attack": "zero-grad"},
}
"""Members that plain adversarial training is given."""
RAMP = 0.8
"""Part of the run over which the class-wise balls grow."""


def contenders(base: Config) -> dict[str, Config]:
    """Return what is measured: name → configuration."""
    named = {name: compose(base, method=name) for name in methods() if name not in METHODS or name == REFERENCE}
    made = {name: compose(named[REFERENCE], **choices) for name, choices in MEMBERS.items()}
    ramped = replace(made["+ class-wise budget"].budget, ramp=RAMP)
    made |= {f"+ class-wise budget, ramp {RAMP}": replace(named[REFERENCE], budget=ramped)}
    return {REFERENCE: named.pop(REFERENCE), **made, **named}


def stepper(work: Work, config: Config) -> Function:
    """Return a function that does a step in each part of a run."""
    training = replace(work, config=config).training(Variant(config.precision))
    epochs = [int((part + 0.5) / PARTS * config.epochs) for part in range(PARTS)]
    indices = torch.arange(len(training.train))
    taken = 0

    def steps() -> None:
        nonlocal taken
        for epoch in epochs:
            rng = partial(generator, 0, step=taken, device=training.fabric.device)
            batch = training.feed.batch(indices, training.feed.augmenting(epoch, taken))
            train_step(training.at(epoch), batch, training.stage(epoch), rng)
            taken += 1

    return steps


def main() -> None:
    """Measure, print, and write the figures."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="what to measure beside the reference; all by default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    work = work_of(options)
    known = contenders(work.config)
    if missing := [name for name in options.only or () if name not in known]:
        parser.error(f"--only: there is no {missing[0]}; there are: {', '.join(known)}")
    chosen = {name: config for name, config in known.items() if name in (options.only or known) or name == REFERENCE}
    functions = {name: stepper(work, config) for name, config in chosen.items()}
    taken = interleaved(functions, rounds=options.rounds, device=options.device, warm_up=1)
    # In each round by itself: what else the machine does counts for both.
    ratios = {
        name: Spread.of([ours / theirs for ours, theirs in zip(times, taken[REFERENCE], strict=True)])
        for name, times in taken.items()
    }
    rates = {name: Spread.of([PARTS * options.batch / time for time in times]) for name, times in taken.items()}
    print(heading(options.device, model=work.config.model, batch=options.batch))
    rows = [("", "images/s", f"time × {REFERENCE}", "min–max", "passes ×")]
    for name, ratio in ratios.items():
        passes = f"{relative_passes(chosen[name]):.2f}"
        spread = f"{ratio.low:.2f}–{ratio.high:.2f}"
        rows.append((name, f"{rates[name].median:.1f}", f"{ratio.median:.2f}", spread, passes))
    print(table(rows))
    if options.json is not None:
        asked = {name: getattr(options, name) for name in ("model", "width", "batch", "rounds")}
        figures = {
            name: {"images_per_second": rates[name]._asdict(), "time": ratios[name]._asdict()} for name in chosen
        }
        options.json.write_text(json.dumps(environment(options.device) | asked | {"steps": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
