"""The evaluation of a run on as many test images as an interval takes to be narrow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor, nn

from srat.attacks import AnyAttack
from srat.core.errors import require
from srat.core.files import write_atomically
from srat.core.keyed_random import derive_seed, generator
from srat.core.tensor_file import digest_of
from srat.core.words import counted
from srat.evaluation.counts import Counts
from srat.evaluation.evaluate import examine
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.expected import DRAWS, Expected
from srat.evaluation.groups import groups
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import Outcome
from srat.evaluation.record import Evaluation, Result
from srat.evaluation.serving import BATCH_SIZE
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import require_same_data
from srat.runs.origins import journal_of, origin_of, served_by, told_by_first
from srat.runs.results import WAIT, Examined, results_so_far
from srat.runs.run import ModelFacts, load_with_facts
from srat.runtime.machine import telling_of_memory
from srat.runtime.processes import Processes

PORTION = "within"
"""What files of such an evaluation have in their names."""
GROWTH = 10
"""A block has this part of the images so far, if that is more than a batch: the end is overshot by no more."""


def evaluate_within(
    folder: RunFolder,
    test: Examined,
    attacks: Mapping[str, AnyAttack],
    which: Which,
    *,
    points: float,
    device: str,
    seed: int,
    processes: Processes,
    observer: Observer,
    anew: bool = False,
    draws: int = DRAWS,
    model: nn.Module | None = None,
) -> Evaluation:
    """Evaluate a run's weights on blocks of test images until the rare classes' interval is narrow; return all results.

    Each attack goes on by itself, from where an evaluation before has ended. Blocks have as many images of each class,
    in an order that is drawn once for all runs, and after each the interval is looked at, which holds wherever one
    stops. Where a class has no more images, it ends.

    Args:
        folder: the run's.
        test: all of its test images.
        attacks: by the name of the result.
        which: the weights.
        points: what half of the interval is to have, in per cent.
        device: where to compute.
        seed: of the attacks' starts.
        processes: those that share the images; the first one writes.
        observer: told of progress, and of intervals that could not be made narrow.
        anew: whether to begin again.
        draws: answers of a model that answers at random that attacks see, and that it is judged by, the mean of.
        model: the model to put the weights into, where the run was of the user's own.

    Raises:
        UserError: if ``points`` is not above 0 and below 50, or for what `evaluate_weights` refuses.
    """
    require(0 < points < 50, f"`until_within`: expected more than 0 and less than 50 points, got {points:g}")
    with telling_of_memory(f"the model does not fit on {device}"):
        model, facts = load_with_facts(folder.path, which=which, model=model, device=device)
    require_same_data(test.dataset, facts)
    kept = Kept(folder=folder, which=which, facts=facts, test=test, weights=digest_of(folder.weights(which)))
    rare = groups(facts.train_counts).under or tuple(range(len(facts.class_names)))
    order = order_of(test.dataset.labels.cpu(), len(facts.class_names))
    evaluation = told_by_first(processes, kept.evaluation)
    with telling_of_memory(f"the test images, or their evaluation, do not fit on {device}"):
        dataset = test.dataset.to(device)
        served = served_by(model, dataset, draws=draws, seed=seed, processes=processes, notice=observer.notice)
        for name, attack in attacks.items():
            origin = origin_of(attack, seed, facts, served)
            known = told_by_first(processes, partial(kept.known, name, origin, order, anew=anew, told=observer.notice))
            for number, (start, end) in enumerate(pairwise([0, *ends(*order.shape)])):
                if end <= len(known.labels):
                    continue
                if half_width(known.counts(name), rare) <= points / 100:
                    break
                block = dataset.subset(order.flatten()[start:end])
                journal = journal_of(
                    folder,
                    f"{which}-{PORTION}-{name}-{number}",
                    processes=processes,
                    made_by={"test": test.sha256, "weights": kept.weights, "block": number},
                    dataset=block,
                    origin=origin,
                    notice=observer.notice,
                )
                drawn = derive_seed(seed, "evaluation/block", step=number)
                asked = served.of(drawn) if isinstance(served, Expected) else served
                found = examine(
                    asked, block, attack, seed=drawn, processes=processes, observer=observer, journal=journal
                )
                known = extended(known, name, block.labels.cpu(), found)
                if processes.first:
                    kept.write(name, known)
                    journal.remove()
            half = half_width(known.counts(name), rare)
            if half > points / 100:
                taken = counted(len(known.labels), "image")
                observer.notice(f"{name}: ± {100 * half:.1f} points after {taken}; the smallest class has no more")
            evaluation = told_by_first(processes, partial(kept.with_result, name, known, told=observer.notice))
    return replace(evaluation, path=folder.evaluation(which, PORTION))


def order_of(labels: Int[Tensor, " n"], classes: int) -> Int[Tensor, "rounds there"]:
    """Return positions of test images in the order in which they are taken: in each round one of each class.

    It is the same for all runs, and says nothing of how hard an image is. Classes without an image are left out, and
    as many rounds are there as the smallest of the others has images.

    Args:
        labels: (n,), the classes.
        classes: how many there are.
    """
    of_class = [(labels == c).nonzero().flatten() for c in range(classes)]
    there = [positions for positions in of_class if len(positions)]
    rounds = min(map(len, there))
    rng = generator(0, "evaluation/order")
    drawn = [positions[torch.randperm(len(positions), generator=rng)[:rounds]] for positions in there]
    return torch.stack(drawn, dim=1)


def ends(rounds: int, classes: int) -> Iterator[int]:
    """Yield after how many images the interval is looked at: after a batch, or a tenth more, in whole rounds."""
    done = 0
    while done < rounds:
        done = min(rounds, done + max(-(-BATCH_SIZE // classes), done // GROWTH))
        yield done * classes


def half_width(counts: Counts, classes: Sequence[int]) -> float:
    """Return half of the length of the interval of some classes' accuracy, at any stop."""
    found = replace(counts, stopped=True).accuracy(classes)
    return (found.high - found.low) / 2


def extended(known: Examples, name: str, labels: Int[Tensor, " block"], found: Outcome) -> Examples:
    """Return examples with those of a further block."""
    outcome = Outcome(*(torch.cat((old, new.cpu())) for old, new in zip(known.outcomes[name], found, strict=True)))
    return replace(known, labels=torch.cat((known.labels, labels)), outcomes={name: outcome})


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The results of such evaluations in a run's folder, each with images of its own."""

    folder: RunFolder
    which: Which
    facts: ModelFacts
    test: Examined
    weights: str

    def evaluation(self) -> Evaluation:
        """Return the results so far."""
        with self.folder.locked(wait=WAIT):
            return results_so_far(self.folder.evaluation(self.which, PORTION), self.facts)

    def known(
        self,
        name: str,
        origin: Origin,
        order: Int[Tensor, "rounds there"],
        *,
        anew: bool,
        told: Callable[[str], None],
    ) -> Examples:
        """Return what became of the images so far; of none, if there are none, or those of another evaluation."""
        nothing = torch.zeros(0, dtype=torch.long)
        fresh = Examples(
            labels=nothing,
            class_names=self.facts.class_names,
            test=self.test.sha256,
            weights=self.weights,
            outcomes={name: Outcome(nothing, nothing)},
            origins={name: origin},
        )
        path = self._examples(name)
        if anew or not path.exists():
            return fresh
        found, taken = Examples.read(path), self.test.dataset.labels.cpu()[order.flatten()]
        same = (found.test, found.weights, found.origins) == (fresh.test, fresh.weights, fresh.origins)
        count = len(found.labels)
        if same and count in ends(*order.shape) and torch.equal(found.labels, taken[:count]):
            return found
        told(f"{path}: of another evaluation; starting over")
        return fresh

    def write(self, name: str, examples: Examples) -> None:
        """Write what became of the images so far."""
        with self.folder.locked(wait=WAIT):
            examples.write(self._examples(name))

    def with_result(self, name: str, examples: Examples, *, told: Callable[[str], None]) -> Evaluation:
        """Put a result in, and return the evaluation; what is of other weights or images beside it is left out."""
        counts = replace(examples.counts(name), stopped=True)
        with self.folder.locked(wait=WAIT):
            before = self.evaluation()
            others = {each: result for each, result in before.results.items() if self._is_of_these(each, examples)}
            if gone := ", ".join(each for each in before.results if each not in {*others, name}):
                told(f"{gone}: of other weights or other images, and so left out")
            result = Result(counts=counts, attack=examples.origins[name].attack)
            evaluation = replace(before, results={**others, name: result})
            write_atomically(self.folder.evaluation(self.which, PORTION), evaluation.to_json())
        return evaluation

    def _is_of_these(self, name: str, examples: Examples) -> bool:
        path = self._examples(name)
        if not path.exists():
            return False
        found = Examples.read(path)
        return (found.test, found.weights) == (examples.test, examples.weights)

    def _examples(self, name: str) -> Path:
        return self.folder.examples(self.which, f"{PORTION}-{name}")
