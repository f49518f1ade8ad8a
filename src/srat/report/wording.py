"""Sentences and phrases that terminal, pages and cards share."""

from collections.abc import Sequence

from srat.attacks import AnyAttack
from srat.config.config import Config
from srat.core.words import NAMED, counted, percent_interval
from srat.evaluation.comparison import Comparison
from srat.evaluation.groups import COMMON
from srat.evaluation.record import CLEAN, Evaluation
from srat.optimization.averaging import NoAveraging
from srat.runs.folder import Which
from srat.runs.metrics import Row
from srat.statistics.worst import Worst


def budget_text(attack: AnyAttack) -> str:
    """Return norm and ε, such as "L∞, ε = 8/255"; nothing of an attack without them."""
    epsilon = getattr(attack, "epsilon", None)
    return "" if epsilon is None else budget_said(getattr(attack, "norm", "linf"), epsilon)


def budget_said(norm: str, epsilon: float) -> str:
    """Return norm and ε, of L∞ in 255ths where it is that."""
    return f"{'L∞' if norm == 'linf' else 'L2'}, ε = {epsilon_said(norm, epsilon)}"


def epsilon_said(norm: str, epsilon: float) -> str:
    """Return ε, of L∞ in 255ths where it is that: "8/255", "0.1"."""
    parts = epsilon * 255
    whole = norm == "linf" and abs(parts - round(parts)) < 1e-6
    return f"{round(parts)}/255" if whole else f"{epsilon:g}"


def weights_text(config: Config, which: Which) -> str:
    """Return whose weights they are, such as "last epoch" or "best epoch, averaged (ema)"."""
    if which == "raw":
        return "last epoch, not averaged"
    averaging = config.averaging
    return f"{which} epoch" + ("" if isinstance(averaging, NoAveraging) else f", averaged ({averaging.name})")


def images_text(evaluation: Evaluation, *, new: bool, name: str | None = None) -> str:
    """Return on which test images an evaluation is that is not on all, such as "on 100 new images".

    Args:
        evaluation: the results.
        new: whether it is on images that came since the run began.
        name: of another test set that it is on.
    """
    counts = [result.counts for result in evaluation.results.values()]
    if any(each.stopped for each in counts):
        return "on as many test images as it took"
    images = f"{sum(counts[0].total):,}"
    if name is not None:
        return f"on {images} images of {name}"
    return f"on {images} new images" if new else f"on the first test images of each class, {images} in all"


def stopped_text(evaluation: Evaluation) -> str:
    """Return where an evaluation stopped early, and what that means for its intervals; "" if it did nowhere."""
    there = {name: result.counts for name, result in evaluation.results.items() if result.counts.stopped}
    if not there:
        return ""
    taken = ", ".join(f"{name} {sum(counts.total):,}" for name, counts in there.items())
    return (
        f"Test images taken: {taken}, as many of each class. What was seen decided how many: intervals hold wherever "
        "one stops, and are wider by half to three quarters than those of a number fixed beforehand, more where a "
        "class has few images."
    )


def last_step_text(evaluation: Evaluation) -> str:
    """Return the accuracies at the last step alone, for a comparison with papers; "" if none was asked for."""
    there = {name: result.last_step for name, result in evaluation.results.items() if result.last_step is not None}
    said = ", ".join(f"{name} {percent_interval(*counts.accuracy())} %" for name, counts in there.items())
    return f"At the last step alone, as most papers count: {said}." if there else ""


def figures_text(evaluation: Evaluation) -> str:
    """Return macro F1, and what the probabilities are worth; "" if neither is known."""
    scores = {name: result.macro_f1 for name, result in evaluation.results.items()}
    said = ", ".join(f"{name} {score:.3f}" for name, score in scores.items() if score is not None)
    parts = [f"Macro F1: {said}."] if said else []
    clean = evaluation.results.get(CLEAN)
    if clean is not None and (found := clean.probabilities) is not None:
        area = "" if found.mean_auc is None else f", AUC of a class against the rest {found.mean_auc:.3f} on average"
        error = f"calibration error {100 * found.calibration_error:.1f} %"
        parts.append(f"Probabilities, clean, without a temperature: {error}{area}.")
    return " ".join(parts)


def guard_text(config: Config, history: Sequence[Row]) -> str:
    """Return what a guard has found and done in a training; "" of one that was not guarded.

    Args:
        config: the run's.
        history: a row an epoch.
    """
    if not (history and is_guarded(history)):
        return ""
    undone = rolled_back(history)
    found = [epoch for epoch, row in enumerate(history) if row.get("guard_collapsed", 0)]
    if not found:
        return "A guard looked for catastrophic overfitting after each epoch, and found none."
    said = f"A guard found catastrophic overfitting in {_epochs(found)}"
    if undone:
        watched = config if config.guard.watches(config.attack) else config.at(0)
        attack = config.guard.remedied(watched.attack, len(undone)).label
        back = f"went back to the last good weights after {_epochs(undone)}" if undone != found else "undid it"
        said += f", {back}, and went on with {attack}"
    return f"{said}." if undone == found else f"{said}; in the end it let the training go on as it was."


def _epochs(epochs: Sequence[int]) -> str:
    """Return epochs, counted from 0, as people count them: "epoch 3", "epochs 3, 4 and 9"."""
    *first, last = (str(epoch + 1) for epoch in epochs)
    return f"epochs {', '.join(first)} and {last}" if first else f"epoch {last}"


def is_guarded(history: Sequence[Row]) -> bool:
    """Return whether a guard looked after a training."""
    return "guard_rolled_back" in history[0]


def rolled_back(history: Sequence[Row]) -> list[int]:
    """Return the epochs, counted from 0, that a guard has undone."""
    return [epoch for epoch, row in enumerate(history) if row.get("guard_rolled_back", 0)]


HELD_OUT = (
    "The held-out part chooses the best epoch: its accuracy there is the highest of many, and flatters it. How good "
    "that epoch is, test images say (srat evaluate --weights best)."
)
LOWEST = (
    "interval is for the lowest true accuracy of all classes; the figure itself, as the lowest of several, tends to be "
    "low."
)
"""What is to be known of the worst class's accuracy, after "its"."""


def worst_text(worst: Worst, class_names: Sequence[str]) -> str:
    """Return which class is the worst and how sure that is, such as "cat (3 others cannot be told from it)".

    Args:
        worst: the class.
        class_names: a name for each.
    """
    return f"{class_names[worst.number]} ({told_from(worst, class_names)})"


def told_from(worst: Worst, class_names: Sequence[str]) -> str:
    """Return which classes cannot be told from the worst one: by name if they are few."""
    others = [class_names[c] for c in worst.others]
    if not others:
        return "clearly below all others"
    *first, last = others
    named = f"{', '.join(first)} and {last}" if first else last
    return f"{named if len(others) <= NAMED else counted(len(others), 'other')} cannot be told from it"


def sentences(rows: Sequence[Comparison], first: str, second: str) -> list[str]:
    """Return in plain words what follows from comparisons of two contenders, and what does not."""
    said = []
    for attack in dict.fromkeys(row.attack for row in rows):
        here = [row for row in rows if row.attack == attack]
        said += [_sentence(row, first, second) for row in here if not row.is_class and row.scope != COMMON]
        apart = [row for row in here if row.is_class and row.told_apart]
        if apart:
            better = ", ".join(row.scope for row in apart if row.difference.difference > 0)
            worse = ", ".join(row.scope for row in apart if row.difference.difference < 0)
            parts = [f"better on {better}"] * bool(better) + [f"worse on {worse}"] * bool(worse)
            said.append(
                f"{attack}, by class: {second} is {' and '.join(parts)}; the other classes show no clear difference."
            )
    return said


def _sentence(row: Comparison, first: str, second: str) -> str:
    difference = row.difference
    points = (
        f"{100 * difference.difference:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}], "
        f"corrected p {p_text(row.corrected)}"
    )
    if not row.told_apart:
        return f"{row.attack}, {row.scope}: no clear difference between {second} and {first} ({points})."
    return f"{row.attack}, {row.scope}: {second} is {'better' if difference.difference > 0 else 'worse'} ({points})."


SEEDS_ALONE = "The intervals of means are for other seeds and other images; ± is the standard deviation over the seeds."


def caveat(seeds: int) -> str:
    """Return what a comparison of so many seeds does not say."""
    if seeds == 1:
        return (
            "One model of each: this is about these models, not about the methods that made them; with another seed it "
            "may come out otherwise. Train more seeds, and name all runs."
        )
    if seeds == 2:
        return (
            "2 seeds of each: intervals and p are for other seeds and other images of the same kind. Two seeds hardly "
            "say how much seeds differ: single p hold, but to stand the correction for many comparisons takes a third."
        )
    return f"{seeds} seeds of each: intervals and p are for other seeds and other images of the same kind."


def p_text(p: float) -> str:
    """Return a probability for people: "0.034", "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
