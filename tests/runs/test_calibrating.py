"""The temperature that a run keeps."""

import json
import shutil

import pytest
import torch

import srat
from quick import quick
from srat.core.errors import UserError
from srat.evaluation.temperature import fit_temperature
from srat.runs.calibrating import calibration_of
from srat.runs.folder import RunFolder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from srat.cli import main

    out = tmp_path_factory.mktemp("calibrated") / "run"
    assert main(["train", *quick(epochs=2), "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def held_out_of(run):
    config = srat.Config.read(run / "config.json")
    return srat.data.prepare(config.data, config.imbalance, config.holdout, seed=config.seed).held_out


def logits_of(run, images):
    with torch.no_grad():
        return srat.load(run)(srat.data.to_unit(images)).logits


def test_it_is_fitted_on_the_held_out_part(run):
    held_out = held_out_of(run)
    wanted = fit_temperature(logits_of(run, held_out.images), held_out.labels)
    found = srat.calibrate_run(run, device="cpu")
    assert found.temperature == pytest.approx(wanted.temperature, rel=1e-3)
    assert found.images == len(held_out)
    assert calibration_of(RunFolder(run), "last") == found


def test_test_images_say_what_it_is_worth(run):
    found, test = srat.calibrate_run(run, device="cpu"), srat.data_of(run).test()
    from srat.evaluation.probabilities import judged

    logits = logits_of(run, test.images)
    assert found.test_before.log_loss == pytest.approx(judged(logits, test.labels).log_loss, abs=1e-4)
    after = judged(logits, test.labels, temperature=found.temperature)
    assert found.test_after.log_loss == pytest.approx(after.log_loss, abs=1e-4)


def test_the_command_says_what_it_changes(run, cli):
    code, out, _ = cli("calibrate", run, "--device", "cpu")
    assert code == 0
    assert "held out" in out
    assert "calibration.json" in out
    found = calibration_of(RunFolder(run), "last")
    assert f"temperature {found.temperature:.3f}" in out


def test_the_page_says_it(run):
    srat.calibrate_run(run, device="cpu")
    page = srat.report_runs([run]).read_text()
    assert "the temperature that" in page


def test_a_temperature_of_other_weights_is_refused(run):
    srat.calibrate_run(run, device="cpu")
    file = run / "calibration.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": "0" * 64}))
    with pytest.raises(UserError, match="of other weights"):
        calibration_of(RunFolder(run), "last")


def test_a_run_that_held_nothing_out_has_no_temperature(tmp_path, cli):
    out = tmp_path / "whole"
    assert cli("train", *quick(), "--holdout.fraction", "0", "--out", out)[0] == 0
    code, _, err = cli("calibrate", out, "--device", "cpu")
    assert code == 2
    assert "holdout.fraction" in err


def test_none_is_none(run):
    assert calibration_of(RunFolder(run), "last") is None
