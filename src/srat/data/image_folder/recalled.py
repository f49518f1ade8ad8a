"""The images that a run has recorded, and what has become of them and of their folder since."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from srat.core.errors import UserError
from srat.core.words import counted, few
from srat.data.image_folder.found import Found
from srat.data.image_folder.naming import normal
from srat.data.image_folder.scan import Branch
from srat.data.reading.image_files import read_each
from srat.data.record import SPOKEN, Names, Part, Record, file_digest


@dataclass(frozen=True, kw_only=True)
class _Lost:
    """Recorded images of a part that cannot be taken."""

    gone: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.gone, *self.changed)


def recalled(root: Branch, record: Record, *, now: Callable[[], Found], threads: int) -> Found:
    """Return the images that a run has recorded, as far as they are there and unchanged.

    Args:
        root: the folder.
        record: the run's.
        now: finds what a new run would take of it.
        threads: how many files are read at a time.
    """
    lost = {part: _lost(root.path, names, threads) for part, names in record.parts.items()}
    taken = {part: _taken(root.path, record, part, frozenset(lost[part].all)) for part in record.parts}
    missing = {part: each.all for part, each in lost.items()}
    found = Found(place=root.path, class_names=record.classes, parts=taken, missing=missing)
    gone = frozenset(name for each in lost.values() for name in each.gone)
    known = {name for recorded in record.parts.values() for name in recorded} | {*record.others}
    unknown = [path for path in root.all_images if found.name(path) not in known]
    copies = _copies(unknown, found, record, threads)
    new = tuple(path for path in unknown if path not in copies)
    notes = (
        *(note for part, each in lost.items() for note in _lost_notes(part, len(record.parts[part]), each)),
        *_class_notes(found, now),
        *_new_notes([found.name(path) for path in new]),
        *_copy_notes({found.name(path): name for path, name in copies.items()}, gone),
    )
    return replace(found, notes=notes, new=new)


def unrecorded(now: Found, then: Found, told: Callable[[str], None]) -> list[tuple[Path, int]]:
    """Return the images that came since a run recorded its own, of the classes that it knows, with their labels.

    Args:
        now: what lies in the folder.
        then: what the run has of it.
        told: told of those of other classes, or of none.
    """
    new = frozenset(then.new)
    label_of = {name: label for label, name in enumerate(then.class_names)}
    known = [(path, label_of[name]) for path, name in now.classes.items() if name in label_of and path in new]
    left = sorted(new - {path for path, _ in known})
    if left:
        of = "of no class that this run knows, and left out"
        said = counted(len(left), f"new image is {of}", f"new images are {of}")
        told(f"{said} ({few(list(map(now.name, left)))})")
    return known


def _lost(place: Path, recorded: Names, threads: int) -> _Lost:
    digests = read_each(lambda item: _digest(place / item[0], item[1]), list(recorded.items()), threads)
    pairs = list(zip(recorded.items(), digests, strict=True))
    return _Lost(
        gone=tuple(name for (name, _), now in pairs if now is None),
        changed=tuple(name for (name, then), now in pairs if now not in (then, None)),
    )


def _taken(place: Path, record: Record, part: Part, lost: frozenset[str]) -> list[tuple[Path, int]]:
    images = zip(record.parts[part], record.labels_of(part), strict=True)
    return [(place / name, label) for name, label in images if name not in lost]


def _copies(paths: list[Path], found: Found, record: Record, threads: int) -> dict[Path, str]:
    """Return which files have the content of a recorded image, and its name; version 0.1 recorded no contents."""
    if not paths:
        return {}
    named = {name: digest for names in record.parts.values() for name, digest in names.items()}
    there = [path for path in found.paths if not named[found.name(path)]]
    named |= zip(map(found.name, there), read_each(file_digest, there, threads), strict=True)
    name_of = {digest: name for name, digest in named.items() if digest}
    digests = read_each(file_digest, paths, threads)
    return {path: name_of[digest] for path, digest in zip(paths, digests, strict=True) if digest in name_of}


def _lost_notes(part: Part, recorded: int, lost: _Lost) -> Iterator[str]:
    of = f"of {recorded:,} {SPOKEN[part]} images that this run recorded"
    for names, one, several in (
        (lost.gone, "is gone", "are gone"),
        (lost.changed, "has changed and is left out", "have changed and are left out"),
    ):
        if names:
            yield f"{counted(len(names), f'{of} {one}', f'{of} {several}')} ({few(names)})"


def _class_notes(found: Found, now: Callable[[], Found]) -> Iterator[str]:
    """Yield which of the recorded images have another class today."""
    try:
        today: Mapping[Path, str] = now().classes
    except UserError as error:
        yield f"a new run could not read this folder; this one takes the images that it recorded ({error})"
        return
    pairs = [(path, normal(name), today.get(path)) for path, name in found.classes.items()]
    other = [f"{found.name(path)}: {then} → {new or 'none'}" for path, then, new in pairs if new != then]
    if other:
        has = counted(len(other), "image that this run recorded has", "images that this run recorded have")
        yield f"{has} another class now, or none ({few(other)}): the recorded classes count"


def _new_notes(names: list[str]) -> Iterator[str]:
    if names:
        said = counted(len(names), "image is", "images are")
        yield f"{said} new since this run began ({few(names)}): neither trained on nor tested on"


def _copy_notes(copies: Mapping[str, str], gone: frozenset[str]) -> Iterator[str]:
    """Yield what is to be said of files with the content of recorded images.

    Args:
        copies: their names, each with that of the recorded image.
        gone: names of recorded images that are gone: those have been moved.
    """
    moved = [f"{old} → {new}" for new, old in copies.items() if old in gone]
    copied = [f"{new} = {old}" for new, old in copies.items() if old not in gone]
    if moved:
        have = counted(len(moved), "recorded image has", "recorded images have")
        yield f"{have} been moved ({few(moved)}): left out"
    if copied:
        are = counted(len(copied), "file is a copy of a recorded image", "files are copies of recorded images")
        yield f"{are} ({few(copied)}): left out"


def _digest(path: Path, then: str) -> str | None:
    """Return the digest of a file's content now, as far as there is one to compare it with; None if it is gone."""
    if not path.is_file():
        return None
    return file_digest(path) if then else ""
