"""What becomes of each image under an attack; what is broken is not attacked any further."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor

from srat.attacks import AnyAttack, Attack, IterativeAttack, Natural, Search, within
from srat.attacks.reference import ReferenceStage
from srat.attacks.walks import Steps, Walk, drawn_for, right
from srat.core.keyed_random import generator
from srat.evaluation.journal import Journal, Progress
from srat.evaluation.outcome import NEVER, Found, Outcome, broken_or_not
from srat.evaluation.pool import Pool
from srat.evaluation.serving import last_points
from srat.evaluation.trial import Trial
from srat.losses.cross_entropy_loss import entropy_of

Round = Callable[[Progress], Iterator[Found]]
"""One go at the images that still stand: yields those that it is through with, once for each."""


def outcome(
    trial: Trial, attack: AnyAttack, journal: Journal | None = None, *, known: Outcome | None = None
) -> Outcome:
    """Return when each image of the data set breaks: as it is, or at one of the points that the attack comes to.

    Args:
        trial: model and images.
        attack: the attack; ``Natural()`` leaves the images as they are.
        journal: keeps the progress, and gives it back at the start; by default none is kept.
        known: what becomes of the images at every point of this attack, which goes step by step: then only the last
            point of each start counts, whatever has broken an image on the way.
    """
    journal, processes = journal or Journal(), trial.processes
    if known is None:
        searches, fresh = rounds(trial, attack), Progress.none(trial.dataset.labels)
    else:
        searches, fresh = _last_points(trial, cast(IterativeAttack, attack), known)
    # One process reads: others may see other files, and all have to make the same batches.
    begun = processes.told(journal.read() if processes.first else None)
    fits = begun is not None and begun.plausible(rounds=len(searches), classes=len(trial.dataset.class_names))
    progress = begun.to(trial.device) if begun is not None and fits else fresh
    trial.observer.images_done(int(progress.at(trial.mine()).through(len(searches)).sum()))
    for number, search in enumerate(searches):
        before = progress
        try:
            for images, found in search(before):
                progress = progress.noted(images, number, found)
                journal.tick(progress)
                trial.observer.images_done(int(progress.at(images).through(len(searches)).sum()))
            # Each process knows what it has changed.
            changes = (processes.sum(new - old) for old, new in zip(before, progress, strict=True))
            progress = Progress(*(old + change for old, change in zip(before, changes, strict=True)))
        except BaseException:  # a signal, or the loss of another process
            journal.write(progress)
            raise
    return progress.outcome


def rounds(trial: Trial, attack: AnyAttack) -> Sequence[Round]:
    """Return the look at the untouched images, and then what an attack does, one after the other."""
    clean = partial(_looked_at, trial, Natural(), 0)
    if isinstance(attack, Natural):
        return (clean,)
    if isinstance(attack, Search):
        goes = (
            partial(go, trial, stage, point=point)
            for point, stage in enumerate(attack.stages, start=1)
            for go in _goes(trial, stage)
        )
        return clean, *(partial(go, number=number) for number, go in enumerate(goes, start=1))
    if isinstance(attack, IterativeAttack):
        return clean, *(partial(_iterated, trial, attack, number) for number in range(1, attack.starts + 1))
    return clean, partial(_looked_at, trial, attack, 1)


def _last_points(trial: Trial, attack: IterativeAttack, known: Outcome) -> tuple[Sequence[Round], Progress]:
    """Return the ways to the last points of the starts, and what of them is known.

    An image that nothing breaks is right at all last points, and one that a last point breaks is wrong there: neither
    is asked about again. The others, those that are wrong as they are among them, go the way on which they broke once
    more, now to its end, and then from the starts that they have not seen.
    """
    points, known = attack.iterations + 1, Outcome(*(column.to(trial.device) for column in known))
    at_last = (known.broken_at > 0) & (known.broken_at % points == 0)
    stood = torch.where(known.survived, attack.starts, (known.broken_at - 1).clamp(min=0) // points + at_last)
    labels = trial.dataset.labels
    seen = torch.where(at_last, known.broken_at, NEVER), torch.where(at_last, known.predicted, labels)
    ways = [partial(_to_the_end, trial, attack, stood, start) for start in range(attack.starts)]
    return ways, Progress(stood, *seen)


def _goes(trial: Trial, stage: Search) -> Iterator[Callable[..., Iterator[Found]]]:
    """Yield what a stage does, one after the other."""
    if isinstance(stage, ReferenceStage):
        yield _searched
        return
    for place, walk in enumerate(stage.walks(len(trial.dataset.class_names))):
        yield partial(_walked, walk=walk, place=place)


def _searched(trial: Trial, stage: ReferenceStage, progress: Progress, *, number: int, point: int) -> Iterator[Found]:
    """Try a stage of an attack; whole batches go to one process or another.

    The reference draws for a batch what it draws for any: its batches are kept, down to the small one at the end.
    """
    batches = torch.split(progress.standing(number), trial.batch_size)
    left = [batch for batch in batches if bool(progress.at(batch).waiting(number).any())]
    for batch in left[trial.processes.rank :: trial.processes.count]:
        images, labels = next(trial.brought([batch])), trial.dataset.labels[batch]
        classes = len(trial.dataset.class_names)
        adversarial = stage.attacked(trial.logits, images, labels, batch, classes=classes, seed=trial.seed)
        with torch.no_grad():
            logits = trial.logits(adversarial)
        broken = ~right(logits, labels) & within(adversarial, images, norm=stage.norm, epsilon=stage.epsilon)
        yield batch, broken_or_not(broken, point, logits, labels)


def _walked(
    trial: Trial, stage: Search, progress: Progress, *, walk: Walk, place: int, number: int, point: int
) -> Iterator[Found]:
    """Let images go a walk of a stage; all of its points have one number."""
    yield from _pooled(
        trial,
        walk,
        stage.name,
        place,
        progress,
        number,
        numbered=lambda step: torch.full_like(step, point),
        inside=partial(within, norm=stage.norm, epsilon=stage.epsilon),
    )


def _looked_at(trial: Trial, attack: Attack, number: int, progress: Progress) -> Iterator[Found]:
    """Look where an attack without steps leaves the images, in batches of one size."""
    own = trial.own(progress.standing(number))
    numbered = [
        (position, batch)
        for position, batch in enumerate(torch.split(own, trial.slots))
        if bool(progress.at(batch).waiting(number).any())
    ]
    batches = [batch for _, batch in numbered]
    for (position, batch), images in zip(numbered, trial.brought(map(trial.full, batches)), strict=True):
        labels = trial.dataset.labels[trial.full(batch)]
        rng = generator(trial.seed, f"evaluation/{attack.label}", step=position, device=trial.device)
        adversarial = last_points(trial.model, images, labels, attack, generator=rng)
        with torch.no_grad():
            logits = trial.logits(adversarial)[: len(batch)]
        labels = labels[: len(batch)]
        yield batch, broken_or_not(~right(logits, labels), number, logits, labels)


def _iterated(trial: Trial, attack: IterativeAttack, number: int, progress: Progress) -> Iterator[Found]:
    """Move the images step by step, from one start."""
    yield from _stepped(trial, attack, number - 1, progress, number)


def _to_the_end(
    trial: Trial, attack: IterativeAttack, stood: Int[Tensor, " n"], start: int, progress: Progress
) -> Iterator[Found]:
    """Move the images that have not ``stood`` through a start already to its last point, and look there alone."""
    standing = progress.standing(start)
    moved = int((stood[standing] <= start).sum())
    yield from _stepped(trial, attack, start, progress, start, moved=moved, last_alone=True)


def _stepped(
    trial: Trial, attack: IterativeAttack, start: int, progress: Progress, number: int, **how: Any
) -> Iterator[Found]:
    """Let the images that wait for a round go the steps from a start."""
    first = start * (attack.iterations + 1) + 1
    walk = Steps(attack=attack, usual=entropy_of)
    yield from _pooled(trial, walk, attack.name, start, progress, number, numbered=lambda step: first + step, **how)


def _pooled(
    trial: Trial,
    walk: Walk,
    attack: str,
    place: int,
    progress: Progress,
    number: int,
    *,
    moved: int | None = None,
    **how: Any,
) -> Iterator[Found]:
    """Let the images that wait for a round go a walk, each with random numbers of its own.

    ``moved`` is how many the round has before any of it is done, where these are not all that stand.
    """
    waiting = progress.waiting(number)
    slots = trial.slots_for(len(progress.standing(number)) if moved is None else moved)
    own = trial.mine() if trial.in_place else trial.own(waiting.nonzero().flatten())
    drawing = partial(drawn_for, walk, trial.dataset.images.shape[1:], trial.seed, attack, place)
    for part, images, drawn in trial.parts(own, drawing):
        pool = Pool(trial, walk, images, trial.dataset.labels[part], drawn, slots=slots, **how)
        for positions, found in pool.run():
            if trial.in_place:
                attacked = waiting[part[positions]]
                positions, found = positions[attacked], found.at(attacked)
            yield part[positions], found
