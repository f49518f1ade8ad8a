"""Chooses between candidates for a method of our own, without a look at test images.

A candidate trains on CIFAR-10; the training images that the imbalance left out, 500 of each class, judge it: by the
worst case of PGD-20 on cross-entropy and on the margin. At the medium scale a class has at most 4,500 images, so that
there are such of each.

usage: python docs/results/choose.py RUNS [CANDIDATE …] [--scale medium|small] [--imbalance exp-100] [--seeds 1]
       (SRAT_DATA_DIR names the folder of CIFAR-10; without a candidate, the table of what is there)
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import srat
from srat.attacks.budgets import ClassWise, UniformBudget
from srat.attacks.named import named
from srat.config.config import Config
from srat.data import Dataset
from srat.data.mixing import CutMix
from srat.evaluation.evaluate import examine
from srat.losses import BalancedSoftmax, RoBal
from srat.models.heads import CosineHead
from srat.recipes.making import imbalanced, of_method
from srat.recipes.scales import base_config

MOST, EACH = 4_500, 500
"""Training images that a class may have, and those of each that judge."""
ATTACKS = ("pgd-20", "pgd-margin-20")


def margin(scale: float, width: float, tau: float = 1.0) -> dict[str, Any]:
    """Return a cosine head with one margin for all classes, and balanced softmax."""
    loss = RoBal(min_margin=width, scale=scale, tau_m=0.0, tau_b=tau)
    return {"loss": loss, "head": CosineHead(scale=scale)}


CANDIDATES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bsl": ("bsl", {}),
    "drcb-ldam": ("drcb-ldam", {}),
    "srat-ldam": ("srat-ldam", {}),
    **{f"bsl, τ {tau:g}": ("bsl", {"loss": BalancedSoftmax(tau=tau)}) for tau in (0.75, 1.25, 1.5, 2.0)},
    "vs": ("vs", {}),
    "robal": ("robal", {}),
    "bsl, cosine 30": ("bsl", {"head": CosineHead()}),
    "bsl, cosine 15": ("bsl", {"head": CosineHead(scale=15.0)}),
    "bsl, cosine 15, margin 0.2": ("bsl", margin(15.0, 0.2)),
    "bsl, cosine 30, margin 0.1": ("bsl", margin(30.0, 0.1)),
    "bsl, growing balls": ("bsl", {"budget": UniformBudget(ramp=0.5)}),
    "bsl, balls by class": ("bsl", {"budget": ClassWise(head=0.85, tail=1.5)}),
    "bsl, CutMix": ("bsl", {"mixing": CutMix(probability=0.5)}),
    "bsl, τ 1.5, cosine 30": ("bsl", {"loss": BalancedSoftmax(tau=1.5), "head": CosineHead()}),
    "bsl, τ 1.5, CutMix": ("bsl", {"loss": BalancedSoftmax(tau=1.5), "mixing": CutMix(probability=0.5)}),
}
"""A name → a method, and what is changed of it."""


def config_of(candidate: str, scale: Any, imbalance: str, seed: int) -> Config:
    """Return a candidate's run."""
    method, changes = CANDIDATES[candidate]
    config = imbalanced(of_method(base_config(scale, "cifar10"), method), imbalance)
    most = min(MOST, getattr(config.imbalance, "cap", None) or MOST)
    return replace(config, imbalance=replace(config.imbalance, cap=most), seed=seed, **changes)


def left_out(run: Path) -> Dataset:
    """Return of each class the first training images that a run's imbalance left out."""
    train = srat.data_of(run).train()
    unused = torch.ones(len(train), dtype=torch.bool)
    unused[json.loads((run / "indices.json").read_text())["train"]] = False
    return train.subset(unused.nonzero().flatten()).sample(EACH * len(train.class_names))


def judged(run: Path, config: Config) -> dict[str, list[int]]:
    """Return how many images of each class are right under each attack, and under all."""
    model, images = srat.load(run), left_out(run)
    found = {
        word: examine(model, images, named(word, config.evaluation), seed=config.seed).survived for word in ATTACKS
    }
    found["worst"] = torch.stack(list(found.values())).all(dim=0)
    return {word: torch.bincount(images.labels[right], minlength=10).tolist() for word, right in found.items()}


def main() -> None:
    """Train and judge what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("candidates", nargs="*", metavar="CANDIDATE", help=f"of {'; '.join(CANDIDATES)}")
    parser.add_argument("--scale", default="medium", choices=("medium", "small"))
    parser.add_argument("--imbalance", default="exp-100")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.candidates) - set(CANDIDATES):
        parser.error(f"unknown candidate '{min(unknown)}'; there are: {'; '.join(CANDIDATES)}")
    torch.set_num_threads(1)
    print("per cent right, over all / on the rarer half of the classes")
    for seed in range(options.seeds):
        for name in options.candidates or CANDIDATES:
            config = config_of(name, options.scale, options.imbalance, seed)
            run = options.runs / config.id
            file = run / "judged.json"
            if options.candidates and not file.exists():
                srat.fit(config, out=run, device="cpu")
                file.write_text(json.dumps(judged(run, config)))
            if file.exists():
                print(row(name, seed, json.loads(file.read_text())), flush=True)


def row(name: str, seed: int, right: Mapping[str, list[int]]) -> str:
    """Return a line of the table.

    Args:
        name: the candidate's.
        seed: its seed.
        right: of each class so many of `EACH` images, by attack.
    """

    def per_cent(counts: list[int]) -> str:
        return f"{100 * sum(counts) / (EACH * len(counts)):5.1f}"

    cells = (f"{word} {per_cent(all_)} /{per_cent(all_[len(all_) // 2 :])}" for word, all_ in right.items())
    return f"{name:28} seed {seed}   {'   '.join(cells)}"


if __name__ == "__main__":
    main()
