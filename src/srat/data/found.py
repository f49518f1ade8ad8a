"""Which images of a folder are of which part: drawn from what lies there, or as a run has recorded them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from srat.data.image_files import NAMED, read_each
from srat.data.layout import Files, LayoutName, in_order, lay_out, split_by_name
from srat.data.record import PARTS, Part, Record, file_digest
from srat.data.scan import Passed, scan
from srat.data.table import Columns
from srat.data.validation import ValidationUse
from srat.errors import require
from srat.words import counted


@dataclass(frozen=True, kw_only=True)
class Found:
    """The images of a folder by part and class."""

    place: Path
    class_names: tuple[str, ...]
    parts: Mapping[Part, Sequence[tuple[Path, int]]]
    """Each image with its label."""
    passed: tuple[Passed, ...] = ()
    """Files that are not read."""
    notes: tuple[str, ...] = ()
    missing: Mapping[Part, Sequence[str]] = field(default_factory=dict)
    """Recorded images that are gone or changed."""
    new: tuple[Path, ...] = ()
    """Images that came since a run recorded its own, and are no copies of those."""
    own_test: bool = True
    """Whether the test is a part of the folder's own, and not drawn."""

    @property
    def paths(self) -> list[Path]:
        """All images."""
        return [path for images in self.parts.values() for path, _ in images]

    def name(self, path: Path) -> str:
        """Return what an image is called in a record: its path below the folder."""
        return path.relative_to(self.place).as_posix()


def laid_out(
    place: Path,
    *,
    layout: LayoutName,
    validation: ValidationUse,
    columns: Columns,
    test_fraction: float,
    numbered: bool,
) -> Found:
    """Return the images of a folder as they lie there, with a test drawn if there is none.

    Args:
        place: the folder.
        layout: how it is arranged.
        validation: what a validation part is for.
        columns: those of tables.
        test_fraction: share of the images that is drawn.
        numbered: whether classes that are numbers come in the order of numbers.

    Raises:
        UserError: if it cannot be told which image is of which class and part, or too few are there.
    """
    root = scan(place)
    found = lay_out(root, layout=layout, validation=validation, columns=columns)
    names = in_order(found.class_names) if numbered else tuple(sorted(found.class_names))
    parts = dict(found.parts)
    own_test = "test" in parts
    if not own_test:
        parts |= split_by_name(parts["train"], test_fraction)
    placed = {part: _numbered(parts[part], names) for part in PARTS if part in parts}
    read = sum(map(len, placed.values()))
    of = f"of {read:,} images"
    test = counted(len(placed["test"]), f"{of} is the test", f"{of} are the test")
    drawn = f"{test}, drawn by the hashes of the files' names"
    return Found(
        place=place,
        class_names=names,
        parts=placed,
        passed=found.passed,
        notes=(*found.notes, *(() if own_test else (drawn,))),
        own_test=own_test,
    )


def check_drawn(found: Found, test_fraction: float) -> tuple[str, ...]:
    """Return what is to be said of classes without a test image.

    Raises:
        UserError: if a class has no image for training, or the test none at all.
    """
    counts = {part: [0] * len(found.class_names) for part in ("train", "test")}
    for part, each in counts.items():
        for _, label in found.parts[part]:  # type: ignore[index]
            each[label] += 1
    why = "" if found.own_test else f": --data.test-fraction {test_fraction:g} draws by the hash of each file's name"
    untrained = _of(found.class_names, counts["train"])
    smaller = "; a smaller one may help" if why else ""
    require(not untrained, f"{found.place}: no training image in class {', '.join(untrained)}{why}{smaller}")
    larger = "; a larger one may help" if why else ""
    require(any(counts["test"]), f"{found.place}: no image is in the test{why}{larger}")
    untested = _of(found.class_names, counts["test"])
    return (f"no test image in class {_few(untested)}: its accuracy cannot be measured",) if untested else ()


def recalled(place: Path, record: Record, *, threads: int) -> Found:
    """Return the images that a run has recorded, as far as they are there and unchanged.

    Args:
        place: the folder.
        record: the run's.
        threads: how many files are read at a time.
    """
    class_names = record.classes
    parts, missing, notes = {}, {}, []
    for part, recorded in record.parts.items():
        labels = record.labels_of(part)
        # What a run learned from is compared as a whole when it goes on (see indices.json).
        compared = recorded if part != "train" else dict.fromkeys(recorded, "")
        digests = read_each(lambda item: _digest(place / item[0], item[1]), list(compared.items()), threads)
        gone = [name for name, now in zip(recorded, digests, strict=True) if now is None]
        changed = [name for (name, then), now in zip(compared.items(), digests, strict=True) if now not in (then, None)]
        lost = {*gone, *changed}
        of = f"of {len(recorded):,} {part} images that this run recorded"
        parts[part] = [(place / name, label) for name, label in zip(recorded, labels, strict=True) if name not in lost]
        missing[part] = (*gone, *changed)
        notes += [
            f"{counted(len(names), f'{of} {one}', f'{of} {several}')} ({_few(names)})"
            for names, one, several in (
                (gone, "is gone", "are gone"),
                (changed, "has changed and is left out", "have changed and are left out"),
            )
            if names
        ]
    found = Found(place=place, class_names=class_names, parts=parts, missing=missing)
    known = {name for recorded in record.parts.values() for name in recorded} | {*record.others}
    unknown = [path for path in scan(place).all_images if found.name(path) not in known]
    contents = _contents(found, record, threads) if unknown else frozenset()
    copied = [digest in contents for digest in read_each(file_digest, unknown, threads)]
    new = tuple(path for path, is_copy in zip(unknown, copied, strict=True) if not is_copy)
    copies = [path for path, is_copy in zip(unknown, copied, strict=True) if is_copy]
    if new:
        said = counted(len(new), "image is", "images are")
        named = _few([found.name(path) for path in new])
        notes.append(f"{said} new since this run began ({named}): neither trained on nor tested on")
    if copies:
        said, named = counted(len(copies), "file is a copy", "files are copies"), _few(list(map(found.name, copies)))
        notes.append(f"{said} of images that this run recorded ({named}): left out")
    return replace(found, notes=tuple(notes), new=new)


def _contents(found: Found, record: Record, threads: int) -> frozenset[str]:
    """Return the digests of all images that a run recorded; version 0.1 recorded none, so they are taken now."""
    named = {name: digest for names in record.parts.values() for name, digest in names.items()}
    there = [path for path in found.paths if not named[found.name(path)]]
    return frozenset({*named.values(), *read_each(file_digest, there, threads)} - {""})


def unrecorded(now: Found, then: Found, told: Callable[[str], None]) -> list[tuple[Path, int]]:
    """Return the images that came since a run recorded its own, of the classes that it knows, with their labels.

    Args:
        now: what lies in the folder.
        then: what the run has of it.
        told: told of those of other classes, or of none.
    """
    new = frozenset(then.new)
    label_of = {name: label for label, name in enumerate(then.class_names)}
    images = [(path, now.class_names[label]) for part in now.parts.values() for path, label in part]
    known = [(path, label_of[name]) for path, name in images if name in label_of and path in new]
    left = sorted(new - {path for path, _ in known})
    if left:
        of = "of no class that this run knows, and left out"
        said = counted(len(left), f"new image is {of}", f"new images are {of}")
        told(f"{said} ({_few(list(map(now.name, left)))})")
    return known


def _digest(path: Path, then: str) -> str | None:
    """Return the digest of a file's content now, as far as there is one to compare it with; None if it is gone."""
    if not path.is_file():
        return None
    return file_digest(path) if then else ""


def _numbered(files: Files, names: Sequence[str]) -> list[tuple[Path, int]]:
    return [(path, label) for label, name in enumerate(names) for path in files.get(name, ())]


def _of(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    return [name for name, count in zip(names, counts, strict=True) if count == 0]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
