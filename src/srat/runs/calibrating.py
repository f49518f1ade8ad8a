"""The temperature of a run's probabilities, fitted on its held-out part and kept in its folder."""

from pathlib import Path

import torch
from torch import nn

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.tensor_file import digest_of
from srat.core.words import counted
from srat.data import prepare
from srat.evaluation.observer import Observer
from srat.evaluation.probabilities import clean_logits, judged
from srat.evaluation.temperature import fit_temperature
from srat.runs.calibration import Calibration
from srat.runs.folder import Which
from srat.runs.opening import opened, parts_of, require_same_data
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.fabric import make_fabric
from srat.runtime.machine import telling_of_memory


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
    fraction = config.holdout.fraction
    nothing = f"`holdout.fraction`: expected a part above 0 to fit a temperature on, got {fraction:g}"
    require(fraction > 0, f"{nothing}; '{path}' held nothing out, and training images flatter a model")
    there = str(make_fabric(device).device)
    parts = parts_of(folder, config, observer.notice)
    gone = len(parts.missing.get("train", ()))
    require(not gone, f"{counted(gone, 'training image')} of '{path}' gone: its held-out part cannot be drawn again")
    held_out = prepare(parts, config.imbalance, config.holdout, seed=config.seed).held_out
    require(held_out is not None, f"{nothing}; of the few images of '{path}' none was held out")
    assert held_out is not None
    model, facts = load_with_facts(folder.path, which=which, model=model, device=there)
    test = parts.test()
    require_same_data(held_out, facts)
    require_same_data(test, facts)
    with telling_of_memory(f"the model, or its images, do not fit on {there}"):
        logits, on_test = (clean_logits(model, images.to(there)) for images in (held_out, test))
    found, labels = fit_temperature(logits, held_out.labels.cpu()), test.labels.cpu()
    calibration = Calibration(
        **vars(found),
        weights=digest_of(folder.weights(which)),
        test_before=judged(on_test, labels),
        test_after=judged(on_test, labels, temperature=found.temperature),
    )
    with folder.locked(wait=WAIT):
        calibration.write(folder, which)
    return calibration
