"""Images of the user's own, in one .npz file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from srat.core.errors import FieldError, require, require_field
from srat.core.members import since
from srat.data.array_file.names import OF_VERSION_0_1
from srat.data.array_file.rows import read_rows, require_legible
from srat.data.array_file.split import as_it_lies, recalled
from srat.data.class_words import labels_of
from srat.data.dataset import Dataset, Parts, Source, Suggested
from srat.data.record import Part, Record
from srat.data.validation import ValidationUse


@dataclass(frozen=True, kw_only=True)
class Arrays(Source, name="arrays"):
    """An .npz with images and labels: train_images, train_labels, test_images, …, val_images, … and class_names."""

    suggested: ClassVar[Suggested] = Suggested(imbalance="none", augmentation="none")

    dir: Path | None = None
    """The .npz file; images n × H × W, n × H × W × C or n × C × H × W, levels 0 to 255 or floating point in [0, 1]."""
    test_fraction: float = field(default=0.2, metadata=since(0.2))
    """Share of the images that is the test where the file has none; which ones follows from their contents."""

    validation: ValidationUse = field(default="auto", metadata=since("auto"))
    """A validation part is held out to choose the best epoch, or is the test where there is none."""

    def __post_init__(self) -> None:
        share = self.test_fraction
        require_field(0 < share < 1, "data.test_fraction", "a share between 0 and 1", share, 0, 1)

    @override
    def parts(self, record: Record | None = None) -> Parts:
        """Return the parts as the file has them, or as a run has recorded them."""
        place = _checked(self.dir)
        if record is not None and record.parts:
            split = recalled(read_rows(place), record)
        else:
            # A run that recorded nothing is of version 0.1, which knew no validation part.
            rows = read_rows(place, only=None if record is None else OF_VERSION_0_1)
            split = as_it_lies(rows, self.test_fraction, labels_of(self.classes, rows.class_names), self.validation)
            if record is None:
                require_legible(split.class_names, place)
        return Parts(
            read=split.read,
            classes=self.classes,
            there=frozenset(split.parts),
            notes=split.notes,
            missing=split.missing,
            new=None if split.new is None else split.read_new,
            record=split.record,
        )

    @override
    def read(self, part: Part) -> Dataset:
        return self.parts().read(part)


def _checked(path: Path | None) -> Path:
    """Return the file that was given, or raise ``UserError``."""
    if path is None:
        raise FieldError("data.dir", "an .npz file", None)
    what = "is a folder" if path.is_dir() else "does not exist"
    require(path.is_file(), f"`data.dir`: expected an .npz file, got '{path}', which {what}")
    return path
