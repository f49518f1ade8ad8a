"""Which images of an .npz file are of which part: as it says, by their contents, or as a run has recorded them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from srat.core.errors import UserError, require
from srat.core.words import counted
from srat.data.array_file.checks import check_drawn, check_trained, few_classes, without_image
from srat.data.array_file.rows import Positions, Rows
from srat.data.dataset import Dataset
from srat.data.record import OF_PART, PARTS, Part, Record, hashed_share
from srat.data.validation import ValidationUse, with_use


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """The parts of a file."""

    rows: Rows
    parts: Mapping[Part, Positions]
    """The images of each part, in their order."""
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    missing: Mapping[Part, Sequence[str]] = field(default_factory=dict)
    """Recorded images that are gone, or of another class now."""
    new: Positions | None = None
    """Images that came since they were recorded."""
    doubt: str = ""
    """Why it is unknown which images those are; "" if it is known."""

    def read(self, part: Part) -> Dataset:
        """Return the images of a part.

        Raises:
            UserError: if there are none, or something is wrong with them.
        """
        channels, height, width = next(iter(self.rows.images.values())).shape[1:]
        there = f"it holds {len(self.rows.labels):,} others, {height} × {width} × {channels}"
        gone = f"{self.rows.place}: none of the recorded {OF_PART[part]} images is left; {there}"
        require(len(self.parts[part]) > 0 or not self.missing.get(part), gone)
        return self._dataset(self.parts[part], part)

    def read_new(self, told: Callable[[str], None]) -> Dataset:
        """Return the images that came since, of the classes that the run knows.

        Args:
            told: called with a note on images of other classes.

        Raises:
            UserError: if there are none, or it is unknown which they are.
        """
        require(not self.doubt, f"{self.rows.place}: {self.doubt}")
        new = torch.arange(0) if self.new is None else self.new
        known = new[self.rows.labels[new] < len(self.class_names)]
        if left := len(new) - len(known):
            of = "of no class that this run knows, and left out"
            told(counted(left, f"new image is {of}", f"new images are {of}"))
        require(len(known) > 0, f"{self.rows.place}: no image of a known class is new since this run began")
        return self._dataset(known, "new")

    def record(self) -> Record:
        """Return what a run keeps of the images."""
        digests, labels, pixels = self.rows.digests, self.rows.labels, self.rows.pixels
        return Record(
            parts={part: named(digests[position] for position in each.tolist()) for part, each in self.parts.items()},
            labels={part: tuple(labels[each].tolist()) for part, each in self.parts.items()},
            pixels={part: tuple(pixels[position] for position in each.tolist()) for part, each in self.parts.items()},
            class_names=self.class_names,
        )

    def _dataset(self, positions: Positions, what: str) -> Dataset:
        try:
            return Dataset(self.rows.take(positions), self.rows.labels[positions], self.class_names)
        except UserError as error:
            raise UserError(f"{self.rows.place}, {what}: {error}") from error


def named(digests: Iterable[str]) -> dict[str, str]:
    """Return digests by names for them: a digest that comes again is named with -2, -3, … behind it."""
    times: Counter[str] = Counter()
    names = {}
    for digest in digests:
        times[digest] += 1
        names[digest if times[digest] == 1 else f"{digest}-{times[digest]}"] = digest
    return names


def as_it_lies(rows: Rows, test_fraction: float, chosen: Sequence[int], validation: ValidationUse = "auto") -> Split:
    """Return the parts that a file has, with a test drawn from the training part if there is none.

    An image is of that test if the hash of its content says so. That depends on nothing else, so that images which come
    later move none, and copies of an image are of one part.

    Args:
        rows: the images.
        test_fraction: the share of all contents that are of the test.
        chosen: labels of the classes that are used; all if there are none.
        validation: what a validation part is for.

    Raises:
        UserError: if a class has no image for training, the drawn test none at all, or it is to be said what the
            validation part is for.
    """
    there = {part: torch.arange(own.start, own.stop) for part, own in rows.parts.items()}
    parts = with_use(there, validation, rows.place)
    check_trained(rows, parts, chosen)
    notes = list(rows.notes)
    if "test" not in parts:
        train = parts["train"]
        shares = torch.tensor(
            [hashed_share(rows.digests[position]) for position in train.tolist()], dtype=torch.float64
        )
        parts |= {"train": train[shares >= test_fraction], "test": train[shares < test_fraction]}
        check_drawn(rows, parts, test_fraction, chosen)
        notes.append(
            f"{len(parts['test']):,} of {len(train):,} images are the test, drawn by a hash of each one's content"
        )
    if untested := without_image(rows, parts["test"], chosen):
        notes.append(f"no test image in class {few_classes(untested)}: its accuracy cannot be measured")
    return Split(rows=rows, parts=parts, class_names=rows.class_names, notes=tuple(notes))


def recalled(rows: Rows, record: Record) -> Split:
    """Return the parts that a run has recorded, as far as their images are there, wherever in the file they lie now.

    Args:
        rows: the images.
        record: the run's.
    """
    labelled = all(part in record.labels for part, names in record.parts.items() if names)
    pool = _Pool(rows, labelled=labelled)
    parts, missing = {}, {}
    for part in (part for part in PARTS if part in record.parts):  # what was trained on comes first
        names = record.parts[part]
        labels = record.labels.get(part, ()) if labelled else [None] * len(names)
        found = [pool.claim(digest, label) for digest, label in zip(names.values(), labels, strict=True)]
        parts[part] = torch.tensor([place for place in found if place is not None], dtype=torch.int64)
        missing[part] = [name for name, place in zip(names, found, strict=True) if place is None]
    new = _new(rows, record, pool.left)
    return Split(
        rows=rows,
        parts=parts,
        class_names=record.class_names or rows.class_names,
        notes=tuple(_recall_notes(rows, record, missing, pool.left, new)),
        missing=missing,
        new=torch.tensor(new, dtype=torch.int64),
        doubt=_doubt(record, missing),
    )


def _new(rows: Rows, record: Record, left: Sequence[int]) -> list[int]:
    """Return those positions at which no recorded image lies, nor one of the same pixels in numbers of another type."""
    contents = {digest for names in record.parts.values() for digest in names.values()}
    others = [place for place in left if rows.digests[place] not in contents]
    # Of bytes, the content is the pixels.
    known = contents.union(*(record.pixels_of(part) for part in record.parts))
    return [place for place in others if rows.pixels[place] not in known]


def _doubt(record: Record, missing: Mapping[Part, Sequence[str]]) -> str:
    """Return why it is unknown which images are new; "" if it is known."""
    unseen = [part for part in record.parts if "" in record.pixels_of(part)]
    lost = sum(len(missing.get(part, ())) for part in unseen)
    said = counted(lost, "recorded image is gone", "recorded images are gone")
    why = "this run did not record pixels, so an image that seems new may be one of those, stored as other numbers"
    return f"{said}, and {why}" if lost else ""


class _Pool:
    """The images of a file, to be claimed one by one.

    Args:
        rows: the images.
        labelled: whether an image is only claimed with its class.
    """

    def __init__(self, rows: Rows, *, labelled: bool) -> None:
        labels = rows.labels.tolist() if labelled else [None] * len(rows.labels)
        self._there: dict[tuple[str, int | None], list[int]] = defaultdict(list)
        for position in reversed(range(len(labels))):  # so that the first of several is the last in its list
            self._there[rows.digests[position], labels[position]].append(position)

    def claim(self, digest: str, label: int | None) -> int | None:
        """Return the first position of an image of this content, among those left; None if there is none."""
        there = self._there.get((digest, label))
        return there.pop() if there else None

    @property
    def left(self) -> list[int]:
        """The positions of the images that nobody has claimed, in their order."""
        return sorted(position for there in self._there.values() for position in there)


def _recall_notes(
    rows: Rows, record: Record, missing: Mapping[Part, Sequence[str]], left: Sequence[int], new: Sequence[int]
) -> Iterator[str]:
    """Yield what is to be said of recorded images that are gone or of another class, and of images of no part."""
    recorded = {digest for names in record.parts.values() for digest in names.values()}
    lost = {record.parts[part][name] for part, names in missing.items() for name in names}
    others = [rows.digests[position] for position in left]
    of_others, copied = frozenset(others), recorded - lost
    for part, names in missing.items():
        relabelled = sum(record.parts[part][name] in of_others for name in names)
        of = f"of {len(record.parts[part]):,} {OF_PART[part]} images that this run recorded"
        if gone := len(names) - relabelled:
            yield counted(gone, f"{of} is gone", f"{of} are gone")
        if relabelled:
            yield counted(
                relabelled,
                f"{of} now has another label, and is left out",
                f"{of} now have another label, and are left out",
            )
    if more := sum(digest in copied for digest in others):
        yield counted(more, "more copy of recorded images is left out", "more copies of recorded images are left out")
    if resaved := sum(digest not in recorded for digest in others) - len(new):
        shows = counted(resaved, "image has the pixels of a recorded one", "images have the pixels of recorded ones")
        yield f"{shows}, stored as other numbers, and left out"
    if new:
        are = counted(len(new), "image is", "images are")
        yield f"{are} new since this run began: neither trained on nor tested on"
