"""The temperature of a run's probabilities, as its folder holds it."""

import json
from dataclasses import asdict, dataclass

from srat.core.files import write_atomically
from srat.core.structuring import read_structured
from srat.core.tensor_file import digest_of
from srat.core.warn import warn
from srat.evaluation.probabilities import Probabilities
from srat.evaluation.temperature import Temperature
from srat.runs.folder import RunFolder, Which

_LARGEST_FILE = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Calibration(Temperature):
    """The temperature of a run's probabilities."""

    weights: str
    """SHA-256 of the weights that it is of."""
    test_before: Probabilities
    """On the test images, of T = 1."""
    test_after: Probabilities
    """On the test images, of T."""

    def write(self, folder: RunFolder, which: Which) -> None:
        """Write it into a run's folder."""
        write_atomically(folder.calibration(which), json.dumps(asdict(self), indent=2) + "\n")


def calibration_of(folder: RunFolder, which: Which) -> Calibration | None:
    """Return the temperature that a run's folder holds for its weights; None if none was fitted to them.

    Raises:
        UserError: if the file is damaged.

    Warns:
        UserWarning: if it is of other weights.
    """
    path, weights = folder.calibration(which), folder.weights(which)
    if not path.exists():
        return None
    found = read_structured(path, Calibration, limit=_LARGEST_FILE, what="calibration", advice="remove it")
    if not weights.exists() or found.weights == digest_of(weights):
        return found
    warn(f"{path}: this temperature is of other weights, and not used; 'srat calibrate' fits it anew")
    return None
