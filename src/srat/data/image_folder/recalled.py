"""The images that a run has recorded, and what has become of them and of their folder since."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from srat.core.errors import UserError
from srat.core.words import counted, few
from srat.data.image_folder.found import Found
from srat.data.image_folder.known import Pixels, maybe_known, of_contents, of_pixels
from srat.data.image_folder.naming import normal
from srat.data.image_folder.patterns import Meant
from srat.data.image_folder.scan import Branch
from srat.data.reading.image_files import read_each
from srat.data.record import OF_PART, PARTS, Part, Record, digest_if_readable, file_digest


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """A recorded image."""

    part: Part
    name: str
    label: int
    digest: str
    """As recorded; "" where it was not."""
    now: str | None
    """The digest of what lies at its name now, as far as there is one to compare it with; None if nothing does."""
    path: Path | None
    """Where it lies now; None if it is nowhere."""
    group: str
    """As recorded; "" where images were not grouped."""


@dataclass(frozen=True, kw_only=True)
class _Today:
    """What a new run would take of the folder."""

    classes: Mapping[Path, str] = field(default_factory=dict)
    """The class of each image."""
    error: str = ""
    """Why a new run could take nothing."""


def recalled(
    root: Branch, record: Record, *, now: Callable[[], Found], seen: Pixels, meant: Meant, threads: int
) -> Found:
    """Return the images that a run has recorded, as far as they are there, by their names or else by their contents.

    Args:
        root: the folder.
        record: the run's.
        now: finds what a new run would take of it.
        seen: names the pixels of files, as the run sees them.
        meant: which images that came since are meant.
        threads: how many files are read at a time.
    """
    today = _today(now)
    places = _places(root, record)
    there = _at_their_names(places, record, threads)
    unknown = _unknown(root, record, places, today, threads)
    strays = dict(zip(unknown, read_each(digest_if_readable, unknown, threads), strict=True))
    images = _with_moved(places, there, strays)
    own = {each.path for each in images}
    idle = {path for path in strays if meant.why_not(path.relative_to(root.path).as_posix())}
    left = {path: digest for path, digest in strays.items() if path not in own | idle}
    names = {each.digest: each.name for each in images if each.digest}
    bare = {each.path: each.name for each in images if each.path and not each.digest}
    copies = of_contents(left, names, bare, threads)
    copies |= of_pixels([path for path in left if path not in copies], record, seen)
    doubted = maybe_known([path for path in left if path not in copies], root.path, record)
    known = {*copies, *doubted}
    new = tuple(path for path in left if path not in known)
    of_part = {part: [each for each in images if each.part == part] for part in record.parts}
    taken = {part: [(each.path, each.label) for each in some if each.path] for part, some in of_part.items()}
    missing = {part: tuple(each.name for each in some if not each.path) for part, some in of_part.items()}
    found = Found(place=root.path, class_names=record.classes, parts=taken, missing=missing, new=new)
    found = replace(found, groups={each.path: each.group for each in images if each.path and each.group})
    notes = (
        *(note for part, some in of_part.items() for note in _lost_notes(part, some)),
        *_moved_notes(found, images),
        *_class_notes(found, today),
        *_new_notes([found.name(path) for path in new]),
        *_copy_notes([f"{found.name(path)} = {name}" for path, name in copies.items()]),
        *_doubt_notes([found.name(path) for path in doubted]),
    )
    return replace(found, notes=notes)


def unrecorded(now: Found, then: Found, record: Record, told: Callable[[str], None]) -> list[tuple[Path, int]]:
    """Return the images that came since a run recorded its own, of the classes that it knows, with their labels.

    Those of a group that the run has learned from are left out: a test on them would not be independent.

    Args:
        now: what lies in the folder.
        then: what the run has of it.
        record: the run's.
        told: called with a note on images of other classes, or without a class, and on those of such groups.
    """
    learned = _learned(now, then, record)
    kin = [path for path in then.new if now.groups.get(path, "") in learned]
    if kin:
        of = "of groups that this run has learned from, and left out"
        said = counted(len(kin), f"new image is {of}", f"new images are {of}")
        told(f"{said} ({few(sorted(map(now.name, kin)))})")
    new = frozenset(then.new) - frozenset(kin)
    label_of = {normal(name): label for label, name in enumerate(then.class_names)}
    known = [(path, label_of[name]) for path, name in now.classes.items() if name in label_of and path in new]
    left = sorted(new - {path for path, _ in known})
    if left:
        of = "of no class that this run knows, and left out"
        said = counted(len(left), f"new image is {of}", f"new images are {of}")
        told(f"{said} ({few(list(map(now.name, left)))})")
    return known


def _learned(now: Found, then: Found, record: Record) -> frozenset[str]:
    """Return the groups that a run has learned from: as it recorded them, and as their images are grouped today."""
    learned: tuple[Part, ...] = ("train", "validation")
    recorded = {group for part in learned if part in record.parts for group in record.groups_of(part)}
    today = {now.groups.get(path, "") for part in learned for path, _ in then.parts.get(part, ())}
    return frozenset(recorded | today) - {""}


def _today(now: Callable[[], Found]) -> _Today:
    try:
        return _Today(classes=now().classes)
    except UserError as error:
        return _Today(error=str(error))


def _places(root: Branch, record: Record) -> dict[str, Path]:
    """Return where each recorded name is, in whichever form the file's system writes its accents."""
    path_of = {normal(path.relative_to(root.path).as_posix()): path for path in root.all_images}
    names = [name for each in (*record.parts.values(), record.others) for name in each]
    exact = {name: root.path / name for name in names}
    return {name: path if path.exists() else path_of.get(normal(name), path) for name, path in exact.items()}


def _at_their_names(places: Mapping[str, Path], record: Record, threads: int) -> list[_Recorded]:
    """Return the recorded images, those at whose names something else lies, or nothing, without a path."""
    named = [
        (part, name, digest, label, group)
        for part in PARTS  # what was trained on comes first
        if part in record.parts
        for (name, digest), label, group in zip(
            record.parts[part].items(), record.labels_of(part), record.groups_of(part), strict=True
        )
    ]
    digests = read_each(lambda item: _digest(places[item[1]], item[2]), named, threads)
    return [
        _Recorded(
            part=part,
            name=name,
            label=label,
            digest=then,
            now=now,
            path=places[name] if now == then else None,
            group=group,
        )
        for (part, name, then, label, group), now in zip(named, digests, strict=True)
    ]


def _with_moved(places: Mapping[str, Path], there: Sequence[_Recorded], strays: Mapping[Path, str]) -> list[_Recorded]:
    """Return the recorded images, those that have gone from their names with the path of a file of their content.

    Args:
        places: where each recorded name is.
        there: the images.
        strays: files that the run does not know, with their digests.
    """
    pool: defaultdict[str, list[Path]] = defaultdict(list)
    changed = {places[each.name]: each.now for each in there if each.path is None and each.now}
    for path, digest in sorted([*strays.items(), *changed.items()], reverse=True):
        pool[digest].append(path)
    return [
        replace(each, path=pool[each.digest].pop()) if not each.path and each.digest and pool.get(each.digest) else each
        for each in there
    ]


def _unknown(root: Branch, record: Record, places: Mapping[str, Path], today: _Today, threads: int) -> list[Path]:
    """Return the images that the run has not seen, and those that it saw without a class and that have one now."""
    parts = {places[name] for recorded in record.parts.values() for name in recorded}
    others = {places[name]: digest for name, digest in record.others.items()}
    images = [path for path in root.all_images if path not in parts]
    idle = [path for path in images if path in others and path not in today.classes]
    digests = read_each(lambda path: _digest(path, others[path]), idle, threads)
    known = {path for path, digest in zip(idle, digests, strict=True) if digest == others[path]}
    return [path for path in images if path not in known]


def _lost_notes(part: Part, images: Sequence[_Recorded]) -> Iterator[str]:
    of = f"of {len(images):,} {OF_PART[part]} images that this run recorded"
    lost = [each for each in images if each.path is None]
    for names, one, several in (
        ([each.name for each in lost if each.now is None], "is gone", "are gone"),
        (
            [each.name for each in lost if each.now is not None],
            "has changed and is left out",
            "have changed and are left out",
        ),
    ):
        if names:
            yield f"{counted(len(names), f'{of} {one}', f'{of} {several}')} ({few(names)})"


def _moved_notes(found: Found, images: Sequence[_Recorded]) -> Iterator[str]:
    paths = [(each.name, found.name(each.path)) for each in images if each.path]
    moved = [f"{old} → {new}" for old, new in paths if normal(old) != normal(new)]
    if moved:
        have = counted(len(moved), "image that this run recorded has", "images that this run recorded have")
        yield f"{have} been moved ({few(moved)}) and kept, for the content is the same"


def _class_notes(found: Found, today: _Today) -> Iterator[str]:
    """Yield which of the recorded images have another class today."""
    if today.error:
        yield f"a new run could not read this folder; this one takes the images that it recorded ({today.error})"
        return
    pairs = [(path, normal(name), today.classes.get(path)) for path, name in found.classes.items()]
    other = [f"{found.name(path)}: {then} → {new or 'none'}" for path, then, new in pairs if new != then]
    if other:
        has = counted(len(other), "image that this run recorded has", "images that this run recorded have")
        yield f"{has} another class now, or none ({few(other)}): the recorded classes count"


def _new_notes(names: list[str]) -> Iterator[str]:
    if names:
        said = counted(len(names), "image is", "images are")
        yield f"{said} new since this run began ({few(names)}): neither trained on nor tested on"


def _copy_notes(copies: list[str]) -> Iterator[str]:
    if copies:
        are = counted(len(copies), "file is a copy of a recorded image", "files are copies of recorded images")
        yield f"{are} ({few(copies)}): left out"


def _doubt_notes(doubted: list[str]) -> Iterator[str]:
    if doubted:
        is_named = counted(len(doubted), "file is named like a recorded image", "files are named like recorded images")
        yield (
            f"{is_named} but for the ending ({few(doubted)}): left out, "
            "for this run did not record the pixels, which may be the same"
        )


def _digest(path: Path, then: str) -> str | None:
    """Return the digest of a file's content now, as far as there is one to compare it with; None if it is gone."""
    if not path.is_file():
        return None
    return file_digest(path) if then else ""
