"""Images that are there twice, and where that matters: in several classes, or in both training and test."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from srat.core.words import counted, few
from srat.data.dataset import Dataset
from srat.data.pixels import pixel_digests
from srat.data.record import OF_PART, PARTS, Part, Record

_NAMED = 3
"""Twins of an image, at the most, that a line names."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An image."""

    name: str
    label: str
    """The class's name."""
    part: Part
    pixels: str
    """Names what it shows; "" if that is not known."""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Images that show the same."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    """Their classes, each once."""
    parts: tuple[Part, ...]
    """The parts they are in, each once."""

    @property
    def said(self) -> str:
        """Their names, or the first of them."""
        return " = ".join(self.names[:_NAMED]) + (" = …" if len(self.names) > _NAMED else "")


def twins_among(images: Iterable[Seen]) -> list[Twins]:
    """Return the images that are there more than once."""
    alike: Mapping[str, list[Seen]] = defaultdict(list)
    for image in images:
        alike[image.pixels].append(image)
    return [
        Twins(
            names=tuple(image.name for image in same),
            labels=tuple(dict.fromkeys(image.label for image in same)),
            parts=tuple(dict.fromkeys(image.part for image in same)),
        )
        for pixels, same in alike.items()
        if pixels and len(same) > 1
    ]


def by_kind(twins: Sequence[Twins]) -> Iterator[tuple[str, list[Twins]]]:
    """Yield what is to be said of twins, kind by kind, with those of it; each is of one kind."""
    shared = [each for each in twins if len(each.labels) == 1 and len(each.parts) > 1]
    for where, chosen in (
        ("in several classes (one label must be wrong)", [each for each in twins if len(each.labels) > 1]),
        (_in_parts(shared), shared),
        ("more than once", [each for each in twins if len(each.labels) == len(each.parts) == 1]),
    ):
        if chosen:
            yield counted(len(chosen), f"image appears {where}", f"images appear {where}"), chosen


def twin_notes(datasets: Mapping[Part, Dataset | None]) -> Iterator[str]:
    """Yield what is to be said of images that data sets hold more than once, a line for each kind.

    Args:
        datasets: the parts; what is streamed is not looked at.
    """
    for said, twins in by_kind(twins_among(_images(datasets))):
        yield f"{said}: {few([each.said for each in twins])}"


def shared_notes(record: Record) -> Iterator[str]:
    """Yield what is to be said of images that a run has in several parts.

    Args:
        record: the run's.
    """
    shared = [each for each in twins_among(_recorded(record)) if len(each.parts) > 1]
    if shared:
        said = counted(len(shared), "image appears", "images appear")
        yield f"{said} {_in_parts(shared)}: {few([each.said for each in shared])}"


def _in_parts(shared: Sequence[Twins]) -> str:
    """Return in which parts images are that are in several."""
    *most, last = [OF_PART[part] for part in PARTS if any(part in each.parts for each in shared)] or [""]
    parts = f"both {''.join(most)} and {last}" if len(most) < 2 else f"several of {', '.join(most)} and {last}"
    return f"in {parts} (which makes accuracies too good)"


def _images(datasets: Mapping[Part, Dataset | None]) -> Iterator[Seen]:
    for part, dataset in datasets.items():
        if dataset is None or dataset.streamed:
            continue
        labels = [dataset.class_names[label] for label in dataset.labels.tolist()]
        for number, (label, pixels) in enumerate(zip(labels, pixel_digests(dataset.images[:]), strict=True)):
            yield Seen(name=f"{part} {number}", label=label, part=part, pixels=pixels)


def _recorded(record: Record) -> Iterator[Seen]:
    for part, names in record.parts.items():
        labels = [record.classes[label] for label in record.labels_of(part)]
        each = zip(names.items(), labels, record.pixels_of(part), strict=True)
        for (name, digest), label, pixels in each:
            yield Seen(name=name, label=label, part=part, pixels=pixels or digest)
