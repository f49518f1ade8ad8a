"""The evaluation of a run, kept in its folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from srat.attacks import AnyAttack, IterativeAttack, tell_doubts
from srat.attacks.projections import NormName
from srat.core.checked import checked
from srat.core.errors import require, require_field
from srat.core.tensor_file import digest_of
from srat.core.words import counted
from srat.data import Dataset
from srat.data.apart import images_apart
from srat.data.reading.image_files import ImageFiles
from srat.evaluation.evaluate import check_last_step, examine
from srat.evaluation.expected import DRAWS
from srat.evaluation.observer import Observer
from srat.evaluation.probabilities import probabilities_of
from srat.evaluation.record import CLEAN, Evaluation
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import opened, parts_of, require_same_data
from srat.runs.origins import journal_of, origin_of, served_by, told_by_first
from srat.runs.result_names import chosen_attacks, threat_of
from srat.runs.results import Examined, Results, check_name
from srat.runs.run import load_with_facts, read_facts, weights_of
from srat.runs.stopping import evaluate_within
from srat.runtime.machine import telling_of_memory
from srat.runtime.processes import Processes, join


@checked
def evaluate_run(
    path: Path | str,
    *,
    attacks: Sequence[AnyAttack | str] = (),
    which: Which = "last",
    norm: NormName | None = None,
    epsilon: float | None = None,
    step_size: float | None = None,
    restarts: int | None = None,
    images: int | None = None,
    until_within: float | None = None,
    new_images: bool = False,
    name: str | None = None,
    anew: bool = False,
    data_dir: Path | str | None = None,
    seed: int | None = None,
    draws: int = DRAWS,
    last_step: bool = False,
    model: nn.Module | None = None,
    device: str | torch.device = "auto",
    observer: Observer | None = None,
) -> Evaluation:
    """Evaluate a run on its test images, clean and under attack; add the results to those that it keeps.

    What the run's folder holds already is not made again; what was begun, and then ended by anything, goes on.

    Args:
        path: the run's folder.
        attacks: words such as "pgd-20" or "apgd-t", which get norm, ε, step size and restarts from the run's own
            threat model or from the arguments below; or attacks, which are taken as they are. By default the attack of
            the run's configuration.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        norm: of the ball, "linf" or "l2"; the run's unless given.
        epsilon: ε, in [0, 1] pixel units; the run's unless given.
        step_size: α, in the same units; the run's unless given.
        restarts: random starts of each attack; the worst one counts; the run's unless given.
        images: use at most this many, as many of each class, and keep the results apart.
        until_within: take images, as many of each class and in a random order, until half of the interval of the rare
            classes' accuracy (of all, where none is rare) has so many points, under each attack; keep the results
            apart. Their intervals hold wherever one stops.
        new_images: use those that came to the data since the run began instead, and keep the results apart.
        name: of another test set, the images in ``data_dir``: a folder of the model's classes, by name, or of parts
            whose test is taken. Its results are kept apart, under that name.
        anew: whether to evaluate again what has been evaluated already.
        data_dir: where the data's files are now, by default where they were; with ``name`` where the other images are.
        seed: of the attacks' starts; the run's unless given.
        draws: answers of a model that answers at random that attacks see, and that it is judged by, the mean of.
        last_step: count, beside, what is right where an attack that goes step by step ends, whatever it has broken on
            its way (``.results[…].last_step``). Images that it breaks go their way to the end once more.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress, and of what can hardly be meant.

    Returns:
        All results that the folder holds, those of before among them; ``.path`` is the file that they are kept in.

    Raises:
        UserError: if there is no such run or attack, its data are gone or others, or its folder cannot be written.
    """
    observer = observer or Observer()
    folder, config = opened(path, data_dir if name is None else None)
    threat = threat_of(config, norm=norm, epsilon=epsilon, step_size=step_size, restarts=restarts)
    seed = config.seed if seed is None else seed
    chosen = chosen_attacks(attacks, threat, config, seed=seed)
    check_last_step(last_step, [attack for name, attack in chosen.items() if name != CLEAN])
    from srat.runtime.fabric import make_fabric  # which takes as long to import as torch; a wrong word shall not wait

    there = str(make_fabric(device).device)
    processes = join()
    alone = until_within is None or (images is None and not new_images)
    require(alone, "`until_within` takes as many images as it needs: leave out `images` and `new_images`")
    require(not last_step or until_within is None, "`until_within` counts at every step: leave out `last_step`")
    require(name is None or not (new_images or until_within), "`name`: leave out `new_images` and `until_within`")
    if name is None:
        parts = parts_of(folder, config, observer.notice)
        test = Examined.among(parts, images, new=new_images, told=observer.notice)
    else:
        check_name(name)
        test = Examined.called(name, other_images(folder, which, data_dir, observer.notice), images)
    with processes.telling_of_lost_peers():
        tell_doubts(chosen.values(), test.dataset.images.shape[1:], observer.notice)
        if until_within is None:
            evaluate = partial(evaluate_weights, last_step=last_step)
        else:
            evaluate = partial(evaluate_within, points=until_within)
        return evaluate(
            folder,
            test,
            chosen,
            which,
            device=there,
            seed=seed,
            processes=processes,
            observer=observer,
            anew=anew,
            draws=draws,
            model=model,
        )


def other_images(folder: RunFolder, which: Which, place: Path | str | None, told: Callable[[str], None]) -> Dataset:
    """Return the images of another folder as a test set for a run's model.

    Raises:
        UserError: if no folder is named, or its images are not of the model's classes.
    """
    require_field(place is not None, "data_dir", "the folder of the images that `name` is for", place)
    facts = read_facts(weights_of(folder, which))
    found = images_apart(str(place), facts.config.data, facts.class_names, **vars(facts.shape), told=told)
    record = folder.record
    learned = set() if record is None else {*record.pixels.get("train", ()), *record.pixels.get("validation", ())}
    if learned and isinstance(found.images, ImageFiles):
        known = sum(digest in learned for digest in found.images.pixel_digests())
        if known:
            told(f"{counted(known, 'of the images is', 'of the images are')} among those that the run trained on")
    return found


def evaluate_weights(
    folder: RunFolder,
    test: Examined,
    attacks: Mapping[str, AnyAttack],
    which: Which,
    *,
    device: str,
    seed: int,
    processes: Processes,
    observer: Observer,
    anew: bool = False,
    draws: int = DRAWS,
    last_step: bool = False,
    model: nn.Module | None = None,
) -> Evaluation:
    """Evaluate a run's weights, add the results to those that its folder holds, and return them all.

    What the folder holds already is not made again, unless it is to be made ``anew``; what was begun, and then ended
    by anything, goes on. The last step of an attack is counted where it is asked for, or was before. The folder is
    locked when results are written, not while they are made: two may go on side by side. Several processes share the
    images; the first one writes.

    Raises:
        UserError: if the test set is of other data, or the folder cannot be written or holds another run's results.
    """
    with telling_of_memory(f"the model does not fit on {device}"):
        model, facts = load_with_facts(folder.path, which=which, model=model, device=device, calibrated=False)
    require_same_data(test.dataset, facts)
    weights = digest_of(folder.weights(which))
    results = Results(folder=folder, which=which, facts=facts, test=test, weights=weights)
    evaluation, before = told_by_first(processes, partial(results.so_far, observer.notice))
    with telling_of_memory(f"the test images, or their evaluation, do not fit on {device}"):
        dataset = test.dataset.to(device)
        served = served_by(model, dataset, draws=draws, seed=seed, processes=processes, notice=observer.notice)
        for name, attack in attacks.items():
            origin = origin_of(attack, seed, facts, served)
            again = anew or before.origins.get(name) != origin
            journal_for = partial(
                journal_of, folder, processes=processes, dataset=dataset, origin=origin, notice=observer.notice
            )
            examined = partial(examine, served, dataset, attack, seed=seed, processes=processes, observer=observer)
            called = f"{which}-{name}" if test.part is None else f"{which}-{test.part}-{name}"
            made_by = {"test": test.sha256, "weights": weights}
            journal = journal_for(called, made_by=made_by)
            found = examined(journal=journal) if again else before.outcomes[name]
            if again:
                evaluation = told_by_first(processes, partial(results.with_outcome, name, found, origin))
            if processes.first:
                journal.remove()
            if name == CLEAN and (again or before.probabilities is None):
                # One pass of one process: sums of several would differ in their last digits.
                found_out = told_by_first(processes, partial(probabilities_of, served, dataset, observer=observer))
                evaluation = told_by_first(processes, partial(results.with_probabilities, found_out))
            if not isinstance(attack, IterativeAttack) or not (last_step or name in before.last_steps):
                continue
            journal = journal_for(f"{called}-last-step", made_by=made_by | {"every_step": found.sha256})
            if again or name not in before.last_steps:
                last = examined(journal=journal, known=found)
                evaluation = told_by_first(processes, partial(results.with_last_step, name, last, found, origin))
            if processes.first:
                journal.remove()
    return replace(evaluation, path=folder.evaluation(which, test.part))
