"""The temperature that a run keeps."""

import json
import shutil

import pytest
import torch
from PIL import Image

import srat
from quick import quick
from srat.evaluation.temperature import fit_temperature
from srat.runs.calibration import calibration_of
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


def test_a_temperature_of_other_weights_is_not_used(run):
    srat.calibrate_run(run, device="cpu")
    file = run / "calibration.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": "0" * 64}))
    with pytest.warns(UserWarning, match="of other weights, and not used"):
        assert calibration_of(RunFolder(run), "last") is None
    srat.calibrate_run(run, device="cpu")
    assert calibration_of(RunFolder(run), "last") is not None


class TestUsed:
    """What gives probabilities gives those of the temperature."""

    @pytest.fixture
    def calibrated(self, run, tmp_path):
        pixels = srat.data_of(run).test().images[:5]
        files = [tmp_path / f"{place}.png" for place in range(5)]
        for file, image in zip(files, pixels, strict=True):
            Image.fromarray(image[0].numpy()).save(file)
        found = srat.calibrate_run(run, device="cpu")
        assert abs(found.temperature - 1) > 0.1
        logits = logits_of(run, pixels)
        wanted = (logits / found.temperature).softmax(dim=1)
        assert not torch.allclose(wanted, logits.softmax(dim=1), atol=1e-3)
        return run, files, pixels, wanted

    def test_by_predict_which_says_so(self, calibrated):
        run, files, _, wanted = calibrated
        said = []
        found = srat.predict_files(run, files, attack="natural", device="cpu", told=said.append)
        shares = [each.probability for each in found.predictions]
        assert shares == pytest.approx(wanted.max(dim=1).values.tolist(), abs=1e-5)
        assert any("temperature" in line for line in said)

    def test_by_a_loaded_model(self, calibrated):
        run, _, pixels, wanted = calibrated
        shares = [each.probability for each in srat.load(run).predict(pixels)]
        assert shares == pytest.approx(wanted.max(dim=1).values.tolist(), abs=1e-5)

    def test_by_an_exported_program_and_its_card(self, calibrated, tmp_path):
        run, _, pixels, wanted = calibrated
        made = srat.export_run(run, "torch-export", out=tmp_path / "model.pt2")
        program = torch.export.load(made.path).module()
        assert torch.allclose(program(srat.data.to_unit(pixels))[1], wanted, atol=1e-5)
        assert "as `srat calibrate` fitted them" in made.card.read_text()

    def test_by_a_folder_for_a_hub(self, calibrated, tmp_path):
        run, _, pixels, wanted = calibrated
        made = srat.export_run(run, "hub", out=tmp_path / "hub")
        shares = [each.probability for each in srat.load(made.path / "model.safetensors").predict(pixels)]
        assert shares == pytest.approx(wanted.max(dim=1).values.tolist(), abs=1e-5)

    def test_by_a_server(self, calibrated):
        pytest.importorskip("fastapi")
        from srat.inference.serving import Limits, Served
        from srat.runs.run import load_with_facts

        run, files, _, wanted = calibrated
        model, facts = load_with_facts(run)
        served = Served(model, facts, title="x", device=torch.device("cpu"), limits=Limits())
        with files[0].open("rb") as file:
            (answer,) = served.answer([("0.png", file)], 1)
        assert answer["probability"] == pytest.approx(float(wanted[0].max()), abs=1e-5)

    def test_logits_stay(self, calibrated):
        run, _, pixels, _ = calibrated
        logits = logits_of(run, pixels)
        (run / "calibration.json").unlink()
        assert torch.equal(logits_of(run, pixels), logits)


def test_a_run_that_held_nothing_out_has_no_temperature(tmp_path, cli):
    out = tmp_path / "whole"
    assert cli("train", *quick(), "--holdout.fraction", "0", "--out", out)[0] == 0
    code, _, err = cli("calibrate", out, "--device", "cpu")
    assert code == 2
    assert "holdout.fraction" in err


def test_none_is_none(run):
    assert calibration_of(RunFolder(run), "last") is None
