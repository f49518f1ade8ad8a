"""The temperature of a run's probabilities, fitted on its held-out part and kept in its folder."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.tensor_file import digest_of
from srat.core.words import counted
from srat.data import Dataset, Parts, prepare
from srat.evaluation.expected import DRAWS
from srat.evaluation.observer import Observer
from srat.evaluation.probabilities import clean_logits, judged
from srat.evaluation.temperature import LEAST, MOST, fit_temperature
from srat.runs.calibration import Calibration
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import opened, parts_of, require_same_data
from srat.runs.origins import served_by
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device, telling_of_memory
from srat.runtime.processes import ALONE


@checked
def calibrate_run(
    path: Path | str,
    *,
    which: Which = "last",
    data_dir: Path | str | None = None,
    model: nn.Module | None = None,
    device: str | torch.device = "auto",
    observer: Observer | None = None,
) -> Calibration:
    """Fit the temperature of a run's probabilities on its held-out part; its folder keeps it, beside the weights.

    Predictions, and accuracies with them, stay as they are. `srat predict`, `srat serve` and exported models give the
    probabilities softmax(z/T) from then on.

    Args:
        path: the run's folder.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        data_dir: where the data's files are now; by default where they were.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of what is to be said of the data.

    Raises:
        UserError: if there is no such run, it held nothing out, or its data are gone or others.
    """
    observer = observer or Observer()
    folder, config = opened(path, data_dir)
    there = str(as_device(device))
    parts = parts_of(folder, config, observer.notice)
    held_out = held_out_of(folder, config, parts)
    model, facts = load_with_facts(folder.path, which=which, model=model, device=there, calibrated=False)
    test = parts.test()
    require_same_data(held_out, facts)
    require_same_data(test, facts)
    with telling_of_memory(f"the model, or its images, do not fit on {there}"):
        held, tested = held_out.to(there), test.to(there)
        served = served_by(model, tested, draws=DRAWS, seed=config.seed, processes=ALONE, notice=observer.notice)
        logits, on_test = (clean_logits(served, images, observer=observer) for images in (held, tested))
    found, labels = fit_temperature(logits, held_out.labels.cpu()), test.labels.cpu()
    calibration = Calibration(
        **vars(found),
        weights=digest_of(folder.weights(which)),
        test_before=judged(on_test, labels),
        test_after=judged(on_test, labels, temperature=found.temperature),
    )
    for doubt in doubts_about(calibration):
        observer.notice(doubt)
    with folder.locked(wait=WAIT):
        calibration.write(folder, which)
    return calibration


def held_out_of(folder: RunFolder, config: Config, parts: Parts) -> Dataset:
    """Return the images that a run held out: the validation part of its data, or those that it drew.

    Raises:
        UserError: if it held nothing out, or the images of then are not all there.
    """
    fraction = config.holdout.fraction
    wanted = "`holdout.fraction`: expected a part above 0 to fit a temperature on"
    require(fraction > 0, f"{wanted}, got 0: '{folder.path}' trained on all images, and a model looks better on those")
    gone = len(parts.missing.get("validation" if "validation" in parts.there else "train", ()))
    why = "so its held-out part cannot be made again"
    require(not gone, f"{counted(gone, 'image is', 'images are')} gone that '{folder.path}' recorded, {why}")
    data = prepare(parts, config.imbalance, config.holdout, seed=config.seed)
    require(
        data.held_out is not None, f"'{folder.path}' has too few images to hold any out: there is nothing to fit on"
    )
    assert data.held_out is not None
    return data.held_out


def doubts_about(found: Calibration) -> Iterator[str]:
    """Yield what makes a temperature doubtful."""
    if found.temperature in (LEAST, MOST):
        yield f"the temperature {found.temperature:g} is the end of what is looked at: these probabilities say nothing"
    before, after = found.test_before.log_loss, found.test_after.log_loss
    if after > before:
        yield (
            f"on the test images the probabilities get worse (log loss {before:.3f} to {after:.3f}): each class counts "
            "alike in the fit, and they do not in the test, or too few images were held out"
        )
