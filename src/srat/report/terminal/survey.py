"""What a folder of images holds, for people."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from srat.core.errors import printable
from srat.core.words import counted, percent
from srat.data.image_folder.grouping import FOUND
from srat.data.leaks import Advice, Leak
from srat.data.record import OF_PART, PARTS, Part
from srat.data.survey import Survey
from srat.data.twins import by_kind
from srat.evaluation.groups import RARE
from srat.report.terminal.distribution import rare
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import class_column_table, class_name
from srat.statistics.intervals import wilson

SHOWN = 5
"""Files of a kind that are named."""
MEASURABLE = 0.15
"""Half of an interval, at the most, with which a class is told to be measured."""
SMALL = 50
"""Training images of a class of which the five or more that are held out make a tenth and more."""
FEW = 10
"""Training images below which a class is told to be small."""


def reach(images: int) -> float:
    """Return how far the 95 % interval of an accuracy of a half reaches to either side, for so many test images."""
    return (wilson(images / 2, images).high - wilson(images / 2, images).low) / 2 if images else 1.0


def survey_table(found: Survey) -> Listing:
    """Return a table of the classes: images for training and test, and how finely so many can measure."""
    images, classes = len(found.readable), len(found.class_names)
    table = class_column_table(f"{counted(images, 'image')} in {counted(classes, 'class', 'classes')}")
    shown: list[Part] = [part for part in PARTS if part != "validation" or any(found.counts(part).values())]
    for heading in (*shown, "measured to ±"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    counts = {part: found.counts(part) for part in shown}
    train, test = counts["train"], counts["test"]
    under = {found.class_names[c] for c in rare(tuple(train.values()))}
    for name in sorted(found.class_names, key=lambda name: (name in under, -train[name])):
        remarks = []
        if train[name] < FEW:
            remarks.append("few to learn from")
        if reach(test[name]) > MEASURABLE:
            remarks.append("too few to measure")
        points = f"{100 * reach(test[name]):.0f} points" if test[name] else "–"
        numbers = [f"{counts[part][name]:,}" for part in shown]
        told = Text(", ".join(remarks), style="yellow")
        table.add_row(class_name(name, RARE if name in under else ""), *numbers, points, told)
    return table


def remarks(found: Survey) -> Iterator[tuple[str, bool]]:
    """Yield what else an engineer should know, and whether it is a warning."""
    counts = found.counts("train").values()
    if min(counts, default=0):
        yield f"largest to smallest class: {max(counts) / min(counts):.1f} : 1", False
    if found.passed:
        yield "\n  ".join(map(printable, found.passed)), False
    for note in found.notes:
        yield printable(note), False
    if counts and min(counts) < SMALL:
        yield (
            "up to half of a small class is held out to choose the best epoch; `holdout.fraction` 0 holds out none",
            False,
        )
    if found.sizes:
        yield _sizes_said(found), False
    if found.unreadable:
        errors = [printable(file.error) for file in found.unreadable]
        yield (
            _named(counted(len(errors), "file cannot be read", "files cannot be read"), errors, most=len(errors)),
            True,
        )
    for said, twins in by_kind(found.twins):
        yield _named(said, [printable(each.said) for each in twins]), True
    for leak in found.leaks.by_part:
        yield _leak_said(found, leak), leak.many
    if found.leaks.advice is not None:
        yield _advice_said(found.leaks.advice), False


def _leak_said(found: Survey, leak: Leak) -> str:
    """Return what is said of a part's images that have near twins in training."""
    part, files = OF_PART[leak.part], found.readable
    pairs = [(printable(str(files[pair.image].path)), printable(str(files[pair.twin].path))) for pair in leak.pairs]
    some = (
        f" (of {leak.total:,}, every {-(-leak.total // leak.looked)}th looked at)" if leak.looked < leak.total else ""
    )
    have = "has" if len(pairs) == 1 else "have"
    share = f"{len(pairs):,} of {leak.looked:,} {part} images{some} {have} a near twin in training"
    worth = "the images held out are" if leak.part == "validation" else "the test is"
    said = f"{share}: {worth} not independent" if leak.many else share
    return _named(said, [f"{one} ≈ {other}" for one, other in pairs])


def _advice_said(advice: Advice) -> str:
    """Return what would keep near twins together."""
    kin = f"{advice.kin:,} of {advice.images:,} images have a near twin in their class"
    if advice.group == FOUND:
        return f"{kin}: `data.group` {FOUND} keeps these together; a pattern or a column that says recordings is better"
    return f"{kin}: `data.group` '{advice.group}' keeps {percent(advice.kept)} of such pairs in one part"


def _sizes_said(found: Survey) -> str:
    sizes = found.sizes
    grey = sum(file.grey for file in found.readable)
    colour = "all grey" if grey == len(found.readable) else "all in colour" if not grey else f"{grey:,} of them grey"
    if len(sizes) == 1:
        return f"all images have {sizes[0][0][0]} × {sizes[0][0][1]} pixels, {colour}"
    least, *_, most = sorted((size for size, _ in sizes), key=lambda size: (size[0] * size[1], size))
    return f"{len(sizes):,} sizes, from {least[0]} × {least[1]} to {most[0]} × {most[1]} pixels, {colour}"


def _named(said: str, texts: Sequence[str], *, most: int = SHOWN) -> str:
    more = f"\n  … and {len(texts) - most:,} more" if len(texts) > most else ""
    return f"{said}:" + "".join(f"\n  {text}" for text in texts[:most]) + more
