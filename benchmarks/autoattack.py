"""AutoAttack by our code, beside its authors' (pyautoattack) and that of torchattacks, on images of CIFAR-10.

All are given the same model in eval mode and fp32, and the images that are right as they are; each stage is given what
the one before has left. Who stands in the end has to agree, but for what random starts and Square's draws decide.

usage: python benchmarks/autoattack.py RUN [--images 500] [--batch 250] [--only NAME …] [--stages NAME …]
                                       [--device cuda] [--threads N] [--json FILE]
       (RUN is a finished run on CIFAR-10; SRAT_DATA_DIR names the folder of the data)
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from measuring import Plain, environment, heading, set_threads, synchronize, table
from torch import Tensor, nn

import srat
from srat.attacks import PGD, Natural
from srat.attacks.named import named
from srat.data import Dataset, to_unit
from srat.evaluation.evaluate import examine
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at

SEED = 0
STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")
Attacked = Callable[[nn.Module, Dataset, str, int], Tensor]
"""Model, images, stage and batch size → which images stand."""


def by_srat(model: nn.Module, dataset: Dataset, stage: str, batch: int) -> Tensor:
    """Return what stands by our code."""
    return examine(model, dataset, named(stage, PGD()), seed=SEED, batch_size=batch).survived


def by_authors(model: nn.Module, dataset: Dataset, stage: str, batch: int) -> Tensor:
    """Return what stands by the code of the authors."""
    from pyautoattack import AutoAttack

    with lent_exactly(model) as served:
        attack = AutoAttack(
            lambda x: logits_at(served, x).clone(),  # Square writes into what it is given
            eps=named(stage, PGD()).epsilon,
            seed=SEED,
            device=dataset.labels.device,
            attacks=[stage],
            version="custom",
        )
        # As its "standard" version has them.
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = 9
        attack.apgd.n_restarts = attack.apgd_targeted.n_restarts = attack.fab.n_restarts = 1
        made, _ = attack.run_standard_evaluation(to_unit(dataset.images), dataset.labels, batch_size=batch)
        return stands(served, made, dataset.labels)


def by_torchattacks(model: nn.Module, dataset: Dataset, stage: str, batch: int) -> Tensor:
    """Return what stands by torchattacks."""
    import torchattacks

    kinds = {
        "apgd-ce": lambda model: torchattacks.APGD(model, loss="ce", seed=SEED, steps=100),
        "apgd-t": lambda model: torchattacks.APGDT(model, n_classes=10, seed=SEED, steps=100),
        "fab-t": lambda model: torchattacks.FAB(model, multi_targeted=True, n_classes=10, seed=SEED, steps=100),
        "square": lambda model: torchattacks.Square(model, n_queries=5000, seed=SEED),
    }
    with lent_exactly(model) as served:
        attack = kinds[stage](Plain(served).eval())
        parts = zip(to_unit(dataset.images).split(batch), dataset.labels.split(batch), strict=True)
        return stands(served, torch.cat([attack(images, labels) for images, labels in parts]), dataset.labels)


CONTENDERS: Mapping[str, Attacked] = {"srat": by_srat, "pyautoattack": by_authors, "torchattacks": by_torchattacks}


@torch.no_grad()
def stands(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return which images are right."""
    return torch.cat([logits_at(model, part).argmax(dim=1) for part in images.split(250)]) == labels


def main() -> None:
    """Attack stage by stage, in turns, and print seconds and what stands."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument("--threads", type=int, help="of the CPU; all by default")
    made.add_argument("run", type=Path, metavar="RUN")
    made.add_argument("--images", type=int, default=500, help="of the test part, the first ones of each class")
    made.add_argument("--batch", type=int, default=250)
    made.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    made.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES)
    made.add_argument("--json", type=Path, help="write the figures there")
    options = made.parse_args()
    set_threads(options)
    model = srat.load(options.run).to(options.device)
    test = srat.data_of(options.run).test().sample(options.images).to(options.device)
    right = examine(model, test, Natural(), seed=SEED).survived
    left = dict.fromkeys(options.only, test.subset(right.nonzero().flatten()))
    print(heading(options.device, images=len(test), right=int(right.sum()), batch=options.batch), flush=True)
    figures: dict[str, dict[str, tuple[float, int]]] = {name: {} for name in options.only}
    for stage in options.stages:
        for name in options.only:
            start = time.perf_counter()
            stand = CONTENDERS[name](model, left[name], stage, options.batch)
            synchronize(options.device)
            taken = time.perf_counter() - start
            left[name] = left[name].subset(stand.nonzero().flatten())
            figures[name][stage] = (taken, len(left[name]))
            print(f"{stage:8} {name:13} {taken:8.1f} s   {len(left[name])} stand", flush=True)
    totals = {name: sum(taken for taken, _ in by_stage.values()) for name, by_stage in figures.items()}
    rows = [("", *options.stages, "all", "stand")]
    for name, by_stage in figures.items():
        times = [f"{taken:.1f} s" for taken, _ in by_stage.values()]
        rows.append((name, *times, f"{totals[name]:.1f} s", str(len(left[name]))))
    print(table(rows))
    if others := [total for name, total in totals.items() if name != "srat"]:
        print(f"srat is {min(others) / totals['srat']:.2f} times as fast as the faster of the others")
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(options.device), "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
