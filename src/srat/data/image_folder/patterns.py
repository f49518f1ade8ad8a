"""Which images of a folder are meant, by patterns of their names."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from srat.core.errors import require
from srat.core.words import few
from srat.data.image_folder.scan import Branch, Kind, Passed


@dataclass(frozen=True, kw_only=True)
class Meant:
    """Patterns, as a shell has them: *.jpg fits names, a/*.png (with a slash) paths; small letters fit large ones."""

    include: tuple[str, ...] = ()
    """Those of the images that are meant; all if there are none."""
    exclude: tuple[str, ...] = ()
    """Those of images that are not."""

    def why_not(self, name: str) -> str:
        """Return why an image is not meant; "" if it is.

        Args:
            name: its path below the folder, with slashes.
        """
        if out := next((each for each in self.exclude if fits(name, each)), ""):
            return f"excluded by {out}"
        included = not self.include or any(fits(name, each) for each in self.include)
        return "" if included else f"not {' or '.join(self.include)}"

    def within(self, root: Branch) -> Branch:
        """Return a folder whose other images are among what is passed over.

        Raises:
            UserError: if no image is left.
        """
        if not self.include and not self.exclude:
            return root
        left = without(root, lambda path: self.why_not(path.relative_to(root.path).as_posix()))
        require(bool(left.all_images) or not root.all_images, f"{root.path}: {self._none_of(root)}")
        return left

    def notes(self, root: Branch) -> Iterator[str]:
        """Yield what is to be said of patterns that fit no image of a folder: they may be misspelt."""
        names = [path.relative_to(root.path).as_posix() for path in root.all_images]
        for field, patterns in self._said():
            idle = [each for each in patterns if not any(fits(name, each) for name in names)]
            if idle:
                yield f"no image fits `data.{field}` {few(idle)}"

    def _said(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from (pair for pair in (("include", self.include), ("exclude", self.exclude)) if pair[1])

    def _none_of(self, root: Branch) -> str:
        said = " and ".join(f"`data.{field}` {' '.join(patterns)}" for field, patterns in self._said())
        endings = Counter(path.suffix.lower() or "without an ending" for path in root.all_images)
        return f"no image is left by {said}; there are: " + ", ".join(f"{n:,} {end}" for end, n in endings.items())


def fits(name: str, pattern: str) -> bool:
    """Return whether a pattern fits an image.

    Args:
        name: its path below the folder, with slashes.
        pattern: it.
    """
    whole = name if "/" in pattern else name.rsplit("/", 1)[-1]
    return fnmatchcase(whole.casefold(), pattern.casefold())


def side_notes(paths: Sequence[Path]) -> Iterator[str]:
    """Yield what is to be said where each image has another of its name beside it: a mask, it may be, or a raw copy.

    Args:
        paths: the images.
    """
    stems: dict[tuple[Path, str], set[str]] = {}
    for path in paths:
        stems.setdefault((path.parent, path.stem), set()).add(path.suffix.lower())
    endings = Counter(ending for each in stems.values() for ending in each)
    for ending, count in endings.items():
        with_other = [each for each in stems.values() if ending in each]
        beside = Counter(other for each in with_other for other in each if other > ending)
        for other, times in beside.items():
            if times == count == endings[other] > 1:
                kind = f"each {ending} has a {other} of the same name beside it"
                yield f"{kind}, and both are read; where one is a mask or a copy: `data.include` '*{ending}'"
    tails = Counter(tail for place in stems if (tail := _tail(place, stems)))
    for tail, count in tails.items():
        if 2 * count == len(stems) > 2:
            kind = f"each image has another beside it whose name ends in {tail}"
            yield f"{kind}, and both are read; where these are masks: `data.exclude` '*{tail}.*'"


def _tail(place: tuple[Path, str], stems: dict[tuple[Path, str], set[str]]) -> str:
    """Return what a name adds to that of another image beside it: _mask of 12_mask; "" if nothing."""
    folder, stem = place
    cuts = (at for at, sign in enumerate(stem) if at and sign in "_-. ")
    tails = (stem[at:] for at in cuts if (folder, stem[:at]) in stems)
    return next((tail for tail in tails if any(map(str.isalpha, tail))), "")


def without(branch: Branch, why_not: Callable[[Path], str], *, kind: Kind = "unused") -> Branch:
    """Return a folder some of whose images are among what is passed over.

    Args:
        branch: the folder.
        why_not: why an image is not read; "" if it is.
        kind: of those that are not.
    """
    out = {path: why for path in branch.images if (why := why_not(path))}
    return replace(
        branch,
        images=tuple(path for path in branch.images if path not in out),
        folders=tuple(without(each, why_not, kind=kind) for each in branch.folders),
        passed=(*branch.passed, *(Passed(path=path, kind=kind, why=why) for path, why in out.items())),
    )
