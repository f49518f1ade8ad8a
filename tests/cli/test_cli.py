"""The command line as a person meets it: runs, tables, and one line for each mistake."""

import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import srat
from quick import quick, without_attack
from srat.cli import entry, main
from srat.cli.commands import COMMANDS
from srat.evaluation.examples import Examples
from srat.evaluation.record import Evaluation

QUICK = quick(width=4, epochs=2, evaluation=2)
LEAST = quick(model="linear")
"""Where it does not matter what is trained."""


@pytest.fixture(autouse=True)
def _apart(no_network, tmp_path, monkeypatch):
    """Each test in a folder of its own, without network or data of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SRAT_DATA_DIR", raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The folder of a finished run on digits, and what its training has printed."""
    folder, out, err = tmp_path_factory.mktemp("runs") / "a", io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "120")
        assert main(["train", *QUICK, "--out", str(folder)]) == 0
    return folder, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def finished(training):
    """A finished run on digits."""
    return training[0]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Words of the least training on 60 images of three classes, 4 × 4."""
    rng, file = np.random.default_rng(0), tmp_path_factory.mktemp("few") / "own.npz"
    images = {f"{part}_images": rng.random((n, 4, 4), np.float32) for part, n in (("train", 60), ("test", 12))}
    labels = {f"{part}_labels": np.arange(n) % 3 for part, n in (("train", 60), ("test", 12))}
    np.savez(file, **images, **labels)
    return [*LEAST, "--data", "arrays", "--data-dir", str(file)]


class TestTrain:
    def test_ends_with_the_table_and_the_path(self, training):
        folder, out, err = training
        assert err == ""
        for word in ("class", "clean %", "pgd-2 %", "overall", "common", "rare", "worst class"):
            assert word in out
        assert "epoch 1/2" in out
        assert str(folder) in out.splitlines()[-1]
        files = {path.name for path in folder.iterdir()}
        assert files >= {
            "config.json",
            "metrics.csv",
            "checkpoints",
            "model.safetensors",
            "evaluation.json",
            "environment.json",
        }

    def test_the_evaluation_keeps_its_contract(self, finished):
        content = json.loads((finished / "evaluation.json").read_text())
        assert list(content["results"]) == ["clean", "pgd-2"]
        assert content["results"]["clean"]["total"] == [50] * 10
        assert sum(content["train_counts"]) < 700

    def test_reports_the_best_epoch_too(self, finished):
        assert (finished / "evaluation-best.json").exists()
        assert (finished / "model-best.safetensors").exists()

    def test_without_a_folder_each_run_gets_a_new_one(self, cli, few, tmp_path):
        for _ in range(2):
            assert cli("train", *few)[0] == 0
        folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
        assert len(folders) == 2
        assert folders[1] == folders[0] + "-2"

    def test_a_configuration_makes_the_run_again(self, cli, finished):
        assert cli("train", "--config", finished / "config.json", "--out", "again", "--device", "cpu")[0] == 0
        for name in ("config.json", "metrics.csv", "model.safetensors", "evaluation.json"):
            assert (finished / name).read_bytes() == Path(f"again/{name}").read_bytes()

    def test_flags_come_on_top_of_a_configuration_in_any_order(self, cli, finished):
        words = [
            "--seed",
            "3",
            f"--config={finished / 'config.json'}",
            "--ratio",
            "5",
            "--out",
            "b",
            "--method",
            "drcb-focal",
            "--loss.gamma",
            "2",
            "--evaluation.steps",
            "1",
        ]
        assert cli("train", *words)[0] == 0
        config = json.loads(Path("b/config.json").read_text())
        assert (config["seed"], config["imbalance"]["ratio"], config["loss"]) == (
            3,
            5.0,
            {"name": "focal", "gamma": 2.0},
        )
        assert (config["epochs"], config["model"]["width"]) == (2, 4)

    @pytest.mark.parametrize("method", srat.methods.table.METHODS)
    def test_every_method(self, cli, few, tmp_path, method):
        # Natural training has no attack whose steps could be set.
        words = without_attack(few) if method == "natural" else few
        assert cli("train", *words, "--method", method, "--out", "x")[0] == 0
        assert srat.Config.read(tmp_path / "x" / "config.json").method == method

    @pytest.mark.parametrize(
        "weighting",
        [["--weighting", "inverse-frequency"], ["--weighting", "fixed", "--weighting.values", *"122"]],
    )
    def test_other_mixtures_than_the_table(self, cli, few, weighting):
        assert cli("train", *few, *weighting, "--feature-loss", "none", "--loss", "cross_entropy", "--out", "x")[0] == 0

    def test_l2(self, cli, few):
        assert cli("train", *few, "--norm", "l2", "--epsilon", "1.5", "--out", "x")[0] == 0

    def test_own_arrays(self, cli):
        rng = np.random.default_rng(0)
        arrays = {f"{part}_images": rng.random((n, 10, 12)) for part, n in (("train", 60), ("test", 12))}
        labels = {f"{part}_labels": np.arange(n) % 3 for part, n in (("train", 60), ("test", 12))}
        words = ["--data", "arrays", "--data-dir", "own.npz", *quick(), "--out", "x"]
        np.savez("own.npz", **arrays, **labels, class_names=np.array(["a <b>", "ü", "c\x1b[31m"]))
        code, out, err = cli("train", *words)
        assert (code, "expected a printable name" in err) == (2, True)
        assert "\x1b[31m" not in out + err
        np.savez("own.npz", **arrays, **labels, class_names=np.array(["a <b>", "ü", "猫"]))
        code, out, _ = cli("train", *words)
        assert code == 0
        assert "a <b>" in out
        config = json.loads(Path("x/config.json").read_text())
        assert config["imbalance"] == {"name": "none"}

    def test_own_folder_of_images(self, cli):
        for name in ("cat", "dog"):
            for i in range(12):
                Path(f"images/{name}").mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (9 + i, 11), (20 * i, 0, 100)).save(f"images/{name}/{i}.png")
        words = ["--data", "folder", "--data-dir", "images", "--data.size", "16"]
        assert cli("train", *words, *quick(), "--out", "x")[0] == 0
        assert json.loads(Path("x/evaluation.json").read_text())["class_names"] == ["cat", "dog"]

    @pytest.mark.parametrize(
        ("method", "flag"),
        [("srat-focal", "--loss.gamma"), ("ldam", "--loss.max-margin"), ("srat-ce", "--feature-loss.temperature")],
    )
    def test_help_shows_the_flags_of_what_is_chosen(self, capsys, method, flag):
        with pytest.raises(SystemExit) as ending:
            main(["train", "--method", method, "--help"])
        assert ending.value.code == 0
        assert flag in capsys.readouterr().out

    def test_help_lists_every_member(self, capsys):
        with pytest.raises(SystemExit):
            main(["train", "--help"])
        said = " ".join(capsys.readouterr().out.replace("│", " ").split())
        for name in (
            *srat.methods.table.METHODS,
            "fashion-mnist",
            "wide-resnet",
            "effective-number",
            "separation",
            "crop-flip",
            "fgsm",
        ):
            assert name in said


class TestEvaluate:
    def test_adds_to_what_is_there(self, cli, finished):
        code, out, _ = cli("evaluate", "--attack", "pgd-3", "--attack", "fgsm", finished, "--device", "cpu")
        assert code == 0
        assert "pgd-3 %" in out
        results = json.loads((finished / "evaluation.json").read_text())["results"]
        assert {"clean", "pgd-2", "pgd-3", "fgsm"} <= set(results)

    def test_is_what_training_wrote(self, cli, finished):
        before = json.loads((finished / "evaluation.json").read_text())["results"]["pgd-2"]
        assert cli("evaluate", finished, "--attack", "pgd-2")[0] == 0
        assert json.loads((finished / "evaluation.json").read_text())["results"]["pgd-2"] == before

    def test_a_name_alone_takes_the_steps_of_the_run(self, cli, finished):
        before = json.loads((finished / "evaluation.json").read_text())["results"]
        for word in ("pgd", "PGD_2", "clean"):
            code, out, _ = cli("evaluate", finished, "--attack", word)
            assert code == 0
            assert "evaluating" not in out
        assert json.loads((finished / "evaluation.json").read_text())["results"] == before

    def test_several_of_the_suite_in_one_call(self, cli, finished):
        words = [word for name in ("pgd-margin-3", "apgd-ce") for word in ("--attack", name)]
        code, out, _ = cli("evaluate", finished, *words, "--step-size", "0.05", "--device", "cpu")
        assert code == 0
        assert "apgd-ce %" in out
        results = json.loads((finished / "evaluation.json").read_text())["results"]
        # The reference chooses its steps by itself.
        assert {"pgd-margin-3-step-0.05", "apgd-ce"} <= set(results)
        assert results["apgd-ce"]["attack"] == {"name": "apgd-ce", "norm": "linf", "epsilon": 0.1}
        assert sum(results["apgd-ce"]["correct"]) <= sum(results["clean"]["correct"])

    def test_another_budget_has_another_name(self, cli, finished):
        assert cli("evaluate", finished, "--attack", "pgd-2", "--epsilon", "0.3", "--weights", "best")[0] == 0
        results = json.loads((finished / "evaluation-best.json").read_text())["results"]
        assert results["pgd-2-eps-0.3"]["attack"]["epsilon"] == 0.3
        assert sum(results["pgd-2-eps-0.3"]["correct"]) <= sum(results["pgd-2"]["correct"])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "expected the folder of a run"),
            (["nowhere"], "'nowhere' is not a run's folder"),
            (["RUN", "--attack", "autoattak"], "unknown attack 'autoattak', did you mean 'autoattack'?"),
            (["RUN", "--attack", "pgd-0"], "--attack: expected 1 to 10,000 steps, got 'pgd-0'"),
            (["RUN", "--epsilon", "9"], "epsilon: expected above 0"),
            (["RUN", "--weights", "first"], "'first'"),
            (["RUN", "--atack", "fgsm"], "unknown flag '--atack', did you mean '--attack'"),
            (["RUN", "--device", "cuda:77"], "no such CUDA device"),
        ],
    )
    def test_mistakes(self, cli, finished, words, said):
        code, out, err = cli("evaluate", *[finished if word == "RUN" else word for word in words])
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1

    def test_refuses_other_data_than_the_runs(self, cli, finished, tmp_path):
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in ("model.safetensors", "config.json"):
            (copy / name).write_bytes((finished / name).read_bytes())
        np.savez(
            "own.npz",
            **{
                f"{p}_{k}": v
                for p in ("train", "test")
                for k, v in (("images", np.zeros((4, 8, 8))), ("labels", np.arange(4)))
            },
        )
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "data": {"name": "arrays", "dir": "own.npz"}}))
        code, _, err = cli("evaluate", copy)
        assert code == 2
        assert "not of the data that the model was trained on" in err


class TestData:
    def test_prints_and_draws_the_distribution(self, cli, tmp_path):
        code, out, err = cli(
            "data", "digits", "--imbalance", "step", "--ratio", "10", "--plot", "d.png", "--indices", "i.json"
        )
        assert (code, err) == (0, "")
        assert "largest to smallest class" in out
        assert "sha256" in out
        with Image.open("d.png") as image:
            assert image.width > 400
        kept = json.loads((tmp_path / "i.json").read_text())
        assert kept == sorted(kept)
        labels = srat.data.sources.digits.Digits().train().labels[kept]
        assert labels.bincount().tolist() == list(
            srat.data.step_counts(srat.data.sources.digits.Digits().train().counts, ratio=10)
        )

    def test_draws_vectors(self, cli):
        assert cli("data", "digits", "--plot", "d.svg")[0] == 0
        assert "<svg" in Path("d.svg").read_text()

    def test_the_same_indices_as_training_keeps(self, cli, finished):
        assert cli("data", "digits", "--imbalance", "step", "--ratio", "10", "--indices", "i.json")[0] == 0
        record = json.loads((finished / "indices.json").read_text())
        assert json.loads(Path("i.json").read_text()) == sorted(record["train"] + record["held_out"])

    def test_as_it_is(self, cli):
        code, out, _ = cli("data", "digits")
        assert code == 0
        assert "1,297 of 1,297" in out
        assert "50 per class" in out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "expected the name of a data set"),
            (["--ratio", "10"], "expected the name of a data set"),
            (["digitz"], "unknown data set 'digitz', did you mean 'digits'"),
            (["digits", "--ratio", "10"], "--ratio goes with --imbalance exp or step, which is not chosen here"),
            (["digits", "--imbalance", "stairs"], "unknown imbalance 'stairs'"),
            (["digits", "--imbalance", "step", "--ratio", "0"], "--ratio: expected a number of at least 1, got 0"),
            (["digits", "--imbalance", "exp", "--ratio", "9999"], "leaves class"),
            (["digits", "--plot", "d.xyz"], "--plot: expected the name of a file ending in"),
            (["cifar10", "--data-dir", "nowhere"], "'nowhere', which does not exist"),
            (["cifar10"], "put the folder cifar-10-batches-py or cifar-10-python.tar.gz there"),
            (["svhn"], "put train_32x32.mat there"),
        ],
    )
    def test_mistakes(self, cli, words, said):
        code, _, err = cli("data", *words)
        assert code == 2
        assert said in err
        assert err.count("\n") == 1


def trap():
    class Trap:
        def __reduce__(self):
            return os.mkdir, ("touched",)

    return pickle.dumps(Trap())


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (
                ["--method", "srat-ldma"],
                "unknown method 'srat-ldma', did you mean 'srat-ldam'?; there are: natural, ce,",
            ),
            (["--data", "cifar-10"], "unknown data set 'cifar-10', did you mean 'cifar10'?"),
            (["--model", "resnet-18"], "unknown model 'resnet-18', did you mean 'resnet18'?"),
            (["--epoch", "3"], "unknown flag '--epoch', did you mean '--epochs'?"),
            (
                ["--method", "ce", "--loss.gamma", "3"],
                "--loss.gamma goes with --loss cdt, focal, harl or vector-scaling",
            ),
            (["--data-dir", "x"], "--data-dir goes with --data arrays, cifar10, "),
            (["--data", "folder", "--ratio=10"], "--ratio goes with --imbalance exp or step"),
            (["--no-data.verify"], "--data.no-verify goes with --data cifar10, "),
            (["--data", "svhn", "--no-data.verify"], "did you mean '--data.no-verify'?"),
            (["--loss.gama", "3"], "unknown flag '--loss.gama'"),
            (["--norm", "L_inf", "--epsilon", "x"], "--epsilon: expected a number, got 'x'"),
            (["--norm=L2"], "--norm l2 needs --epsilon"),
            (["--norm", "l3"], "--norm: unknown value 'l3'; there are: l"),
            (["--epochs", "x"], "--epochs"),
            (["--epochs"], "--epochs"),
            (["--epochs", "0"], "--epochs: expected 1 to"),
            (["--ratio", "abc"], "error: --ratio: expected a number, got 'abc'\n"),
            (["--epsilon", "abc"], "error: --epsilon: expected a number, got 'abc'\n"),
            (["--imbalance.cap", "x"], "error: --imbalance.cap: expected a whole number, got 'x'\n"),
            (
                ["--schedule.milestones", "a", "b"],
                "--schedule.milestones: expected whole numbers, got 'a', 'b'\n",
            ),
            (["--imbalance.class-order", "lable"], ": expected label or random or whole numbers, got 'lable'\n"),
            (["--out"], "error: --out: expected a value, got none\n"),
            (["--model.width", "0"], "error: --model.width: expected 1 to 1024 channels, got 0\n"),
            (
                ["--method", "srat-ldam", "--weighting.beta", "1"],
                "error: --weighting.beta: expected 0 ≤ β < 1, got 1\n",
            ),
            (
                ["--precision", "fp61"],
                "error: --precision: unknown value 'fp61', did you mean 'fp16'?; there are: fp32",
            ),
            (["--gpu"], "unknown flag '--gpu', did you mean '--device'?"),
            (["stray"], "expected no further word, got 'stray'"),
            (
                ["--epsilon", "8"],
                "epsilon: expected above 0 and at most 1, in [0, 1] pixel units (8/255 is 0.0314), got 8",
            ),
            (["--epsilon", "nan"], "epsilon: expected"),
            (["--attack", "pgd", "--attack.steps", "-1"], "--attack.steps: expected 1 to 10,000, got -1"),
            (["--ratio", "0.9"], "error: --ratio: expected a number of at least 1, got 0.9"),
            (["--ratio", "1e9"], "leaves class 5 without a training image"),
            (["--device", "cuda:55"], "--device cuda:55: there is no such CUDA device here"),
            (["--device", "gpu"], "expected auto, cpu, cuda or cuda:N, got 'gpu'"),
            (["--config", "none.json"], "none.json: cannot be read (No such file or directory)"),
            (["--config", "typo.json"], "typo.json: unknown key 'epcohs', did you mean 'epochs'?"),
            (["--data", "arrays", "--data-dir", "trap.npz"], "trap.npz: not a readable .npz"),
            (["--data", "cifar10", "--data-dir", "trap", "--data.no-verify"], "has no place in a file of images"),
            (["--data", "folder", "--data-dir", "empty"], "expected one folder per class"),
            (["--weighting", "fixed", "--weighting.values", "1", "2"], "a weight for each of 10 classes, got 2"),
            (["--loss", "ldam", "--head", "cosine", "--head.scale", "3"], "must be the same number"),
            (["--out", "full"], "holds something else"),
        ],
    )
    def test_one_clear_line_and_nothing_lost(self, cli, tmp_path, words, said):
        for name in ("empty", "full", "trap"):
            (tmp_path / name).mkdir()
        (tmp_path / "full" / "thesis.tex").write_text("years of work")
        (tmp_path / "trap.npz").write_bytes(trap())
        (tmp_path / "trap" / "test_batch").write_bytes(trap())
        (tmp_path / "typo.json").write_text('{"epcohs": 3}')
        before = sorted(str(path) for path in tmp_path.rglob("*"))
        out = [] if "--out" in words else ["--out", "new"]
        code, _, err = cli("train", *words, *out)
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
        assert err.startswith("srat: error: ")
        assert "Traceback" not in err
        assert sorted(str(path) for path in tmp_path.rglob("*")) == before

    def test_a_folder_that_holds_another_run(self, cli, finished):
        before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
        code, _, err = cli("train", *QUICK, "--seed", "9", "--epochs", "3", "--out", finished)
        assert code == 2
        assert "holds another run, with epochs 2 (not 3), seed 0 (not 9)" in err
        assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}

    @pytest.mark.parametrize("words", [[], QUICK])
    def test_a_finished_run_is_left_alone(self, cli, finished, words):
        before = {
            path: (path.stat().st_mtime_ns, path.read_bytes()) for path in finished.rglob("*.*") if path.is_file()
        }
        code, out, err = cli("train", *words, "--out", finished)
        assert (code, err) == (0, "")
        assert "is finished; nothing was changed" in out
        assert "worst class" in out
        after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in finished.rglob("*.*") if path.is_file()}
        assert before == after

    def test_what_was_trained_and_not_evaluated_is_evaluated(self, cli, finished, tmp_path):
        copy = shutil.copytree(finished, tmp_path / "copy")
        for name in ("evaluation.json", "examples.safetensors", "examples-best.safetensors"):
            (copy / name).unlink()
        code, out, _ = cli("train", "--out", copy)
        assert code == 0
        assert "epoch 1/2" not in out
        one, two = (Evaluation.read(folder / "evaluation.json").results for folder in (copy, finished))
        assert {name: two[name] for name in one} == one

    def test_a_run_evaluated_otherwise_only_is_not_finished(self, cli, finished, tmp_path):
        copy = shutil.copytree(finished, tmp_path / "copy")
        for kind in ("", "-best"):
            (copy / f"evaluation{kind}.json").unlink()
            (copy / f"examples{kind}.safetensors").unlink()
        for which in ("last", "best"):
            assert cli("evaluate", copy, "--attack", "fgsm", "--weights", which)[0] == 0
        code, out, _ = cli("train", "--out", copy)
        assert code == 0
        assert "finished" not in out
        assert "pgd-2" in Evaluation.read(copy / "evaluation.json").results

    def test_a_full_disk(self, cli, monkeypatch, tmp_path):
        from srat.core.tensor_file import open_tensors
        from srat.training.checkpoint import list_checkpoints

        real, written = os.fsync, []

        def full_later(handle):
            written.append(handle)
            if len(written) > 20:
                raise OSError(28, "No space left on device")
            real(handle)

        monkeypatch.setattr(os, "fsync", full_later)
        words = ["train", *LEAST, "--epochs", "5", "--checkpoint-every", "2", "--out", "x"]
        code, _, err = cli(*words)
        assert code == 2
        assert "No space left on device; checkpoints and metrics written before are intact" in err
        assert "once that is fixed, 'srat train --out x' continues the run" in err
        assert all(open_tensors(path) for path in list_checkpoints(tmp_path / "x" / "checkpoints"))
        assert len((tmp_path / "x" / "metrics.csv").read_text().splitlines()) >= 2
        assert not list(tmp_path.rglob("*.tmp"))
        monkeypatch.setattr(os, "fsync", real)
        # The folder knows what it was training.
        assert cli("train", "--out", "x")[0] == 0
        assert len((tmp_path / "x" / "metrics.csv").read_text().splitlines()) == 6

    def test_control_c(self, cli, monkeypatch):
        import srat.cli.training

        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(srat.cli.training, "fit", interrupted)
        code, _, err = cli("train", *QUICK, "--out", "x")
        assert (code, err) == (130, "srat: stopped at once\n")

    @pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 138)])
    def test_a_signal_in_the_evaluation(self, cli, few, monkeypatch, name, code):
        import srat.cli.training

        def interrupted(*args, observer, **kwargs):
            observer.evaluating("pgd-20", images=1)
            os.kill(os.getpid(), getattr(signal, name))
            observer.images_done(1)

        before = signal.getsignal(getattr(signal, name))
        with monkeypatch.context() as patch:
            patch.setattr(srat.cli.training, "evaluate_weights", interrupted)
            assert cli("train", *few, "--out", "x")[::2] == (
                code,
                f"srat: stopped by {name}: the training is done; 'srat train --out x' continues with the evaluation\n",
            )
        assert signal.getsignal(getattr(signal, name)) == before
        assert cli("train", "--out", "x")[0] == 0

    def test_a_signal_at_the_start(self, cli, monkeypatch, tmp_path):
        import srat.cli.training

        real = srat.cli.training.make_console
        monkeypatch.setattr(
            srat.cli.training, "make_console", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM) or real("train")
        )
        code, _, err = cli("train", *QUICK, "--out", "x")
        assert (code, err) == (143, "srat: stopped by SIGTERM\n")
        assert not (tmp_path / "x").exists()

    def test_a_signal_in_a_command_that_is_short(self, cli, monkeypatch):
        import srat.cli.commands.data

        real = srat.cli.commands.data.make_console
        monkeypatch.setattr(
            srat.cli.commands.data, "make_console", lambda *_: os.kill(os.getpid(), signal.SIGINT) or real("data")
        )
        code, _, err = cli("data", "digits")
        assert (code, err) == (130, "srat: stopped by SIGINT\n")

    def test_a_mistake_of_ours(self, cli, monkeypatch):
        import srat.cli.training

        def broken(*args, **kwargs):
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr(srat.cli.training, "fit", broken)
        code, _, err = cli("train", *QUICK, "--out", "x")
        assert code == 1
        assert "ZeroDivisionError: by zero" in err
        assert "Traceback" not in err
        code, _, err = cli("train", *QUICK, "--out", "x", "--debug")
        assert code == 1
        assert err.startswith("Traceback")

    def test_debug_shows_the_traceback(self, cli):
        code, _, err = cli("train", "--method", "none", "--debug")
        assert code == 2
        assert err.startswith("Traceback")
        assert err.splitlines()[-1].startswith("srat: error: unknown method 'none'")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--attack", "pgd-2", "--step-size", "0.0001"], "pgd-2-step-0.0001"),
        (["--attack", "pgd-2", "--seed", "7"], "pgd-2-seed-7"),
        (["--attack", "pgd-2", "--seed", "1234567"], "pgd-2-seed-1234567"),
        (["--attack", "pgd-2", "--epsilon", "0.1000001"], "pgd-2-eps-0.1000001"),
        (["--attack", "pgd-2", "--epsilon=51/255"], "pgd-2-eps-0.2"),
    ],
)
def test_results_of_other_settings_have_other_names(cli, finished, words, name):
    own = json.loads((finished / "evaluation.json").read_text())["results"]["pgd-2"]
    assert cli("evaluate", finished, *words)[0] == 0
    results = json.loads((finished / "evaluation.json").read_text())["results"]
    assert name in results
    assert results["pgd-2"] == own


def test_the_worst_case_is_over_attacks_of_one_budget(cli, finished):
    words = [word for name in ("pgd-2", "fgsm") for word in ("--attack", name)]
    assert cli("evaluate", finished, *words)[0] == 0
    assert cli("evaluate", finished, *words, "--epsilon", "0.05")[0] == 0
    results = Evaluation.read(finished / "evaluation.json").results
    examples = Examples.read(finished / "examples.safetensors")
    for suffix in ("", "-eps-0.05"):
        worst = results[f"worst-case{suffix}"]
        assert {f"pgd-2{suffix}", f"fgsm{suffix}"} <= set(worst.attack["of"])
        alone = [examples.outcomes[name].survived for name in worst.attack["of"]]
        assert sum(worst.counts.correct) == int(torch.stack(alone).all(dim=0).sum())
    assert not set(results["worst-case"].attack["of"]) & set(results["worst-case-eps-0.05"].attack["of"])


def test_a_part_of_the_test_images_is_kept_apart(cli, finished):
    before = (finished / "evaluation.json").read_bytes()
    code, out, _ = cli("evaluate", finished, "--attack", "pgd-2", "--images", "55")
    assert code == 0
    assert "evaluation-55.json" in out
    assert (finished / "evaluation.json").read_bytes() == before
    part = Evaluation.read(finished / "evaluation-55.json").results["pgd-2"]
    assert part.counts.total == (5,) * 10
    assert "at least one of each of 10 classes, got 9" in cli("evaluate", finished, "--images", "9")[2]
    assert "evaluation.json" in cli("evaluate", finished, "--images", "5000")[1]


def test_what_is_there_is_not_made_again(cli, finished, monkeypatch):
    assert cli("evaluate", finished, "--attack", "pgd-2")[0] == 0
    before = {name: (finished / name).read_bytes() for name in ("evaluation.json", "examples.safetensors")}
    monkeypatch.setattr("srat.runs.evaluating.examine", lambda *_, **__: pytest.fail("made again"))
    code, out, _ = cli("evaluate", finished, "--attack", "pgd-2")
    assert (code, "pgd-2 %" in out) == (0, True)
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_examples_are_those_of_the_counts(finished):
    results = Evaluation.read(finished / "evaluation.json").results
    examples = Examples.read(finished / "examples.safetensors")
    assert {"clean", "pgd-2"} <= examples.outcomes.keys()
    for name, found in examples.outcomes.items():
        assert examples.counts(name) == results[name].counts
        wrong = found.broken_at >= 0
        assert torch.equal(found.predicted[~wrong], examples.labels[~wrong])
        assert (found.predicted[wrong] != examples.labels[wrong]).all()


def test_refuses_results_of_other_test_images(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    examples = replace(Examples.read(copy / "examples.safetensors"), test="00" * 32)
    examples.write(copy / "examples.safetensors")
    code, _, err = cli("evaluate", copy, "--attack", "pgd-5")
    assert code == 2
    assert "these results are of other test images (SHA-256 00000000…, now " in err
    assert "pgd-5" not in Evaluation.read(copy / "evaluation.json").results


def broken_at_once(examples, origin):
    """Examples with an outcome of pgd-2 that nobody can have found."""
    nothing = examples.outcomes["pgd-2"]._replace(broken_at=torch.zeros(500, dtype=torch.long))
    return examples.with_outcome("pgd-2", nothing, origin)


def test_what_is_there_may_be_made_anew(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    examples = Examples.read(copy / "examples.safetensors")
    broken_at_once(examples, examples.origins["pgd-2"]).write(copy / "examples.safetensors")
    assert cli("evaluate", copy, "--attack", "pgd-2")[0] == 0
    assert sum(Evaluation.read(copy / "evaluation.json").results["pgd-2"].counts.correct) == 0
    assert cli("evaluate", copy, "--attack", "pgd-2", "--anew")[0] == 0
    one, two = (Evaluation.read(run / "evaluation.json").results["pgd-2"] for run in (copy, finished))
    assert one == two


def test_what_was_made_otherwise_is_made_again(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    examples = Examples.read(copy / "examples.safetensors")
    broken_at_once(examples, replace(examples.origins["pgd-2"], seed=99)).write(copy / "examples.safetensors")
    assert cli("evaluate", copy, "--attack", "pgd-2")[0] == 0
    one, two = (Evaluation.read(run / "evaluation.json").results["pgd-2"] for run in (copy, finished))
    assert one == two


def test_results_of_other_weights_are_not_taken_for_the_last_ones(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    best = Examples.read(copy / "examples-best.safetensors")
    other = replace(broken_at_once(best, best.origins["pgd-2"]), weights="00" * 32)
    other.write(copy / "examples-best.safetensors")
    for name in ("examples.safetensors", "evaluation.json"):
        (copy / name).unlink()
    assert cli("evaluate", copy, "--attack", "pgd-2")[0] == 0
    one, two = (Evaluation.read(run / "evaluation.json").results["pgd-2"] for run in (copy, finished))
    assert one == two


def test_results_that_nothing_vouches_for_are_told(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    for kind in ("", "-best"):
        (copy / f"examples{kind}.safetensors").unlink()
    code, out, _ = cli("evaluate", copy, "--attack", "fgsm")
    assert code == 0
    assert "pgd-2" in out.split("the weights and images behind ")[1].split(" are unknown")[0]


def test_what_is_damaged_beside_it_does_no_harm(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "examples-best.safetensors").write_bytes(b"no")
    code, out, _ = cli("evaluate", copy, "--attack", "fgsm")
    assert (code, "it is not needed here" in out) == (0, True)
    (copy / "examples.safetensors").write_bytes(b"no")
    code, _, err = cli("evaluate", copy, "--attack", "fgsm")
    assert code == 2
    assert "remove it to evaluate anew" in err


def test_a_journal_of_what_is_done_is_removed(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "unfinished").mkdir()
    (copy / "unfinished" / "last-pgd-2.0.safetensors").write_bytes(b"")
    assert cli("evaluate", copy, "--attack", "pgd-2")[0] == 0
    assert not (copy / "unfinished").exists()


def test_refuses_results_of_other_weights(cli, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    replace(Examples.read(copy / "examples.safetensors"), weights="00" * 32).write(copy / "examples.safetensors")
    code, _, err = cli("evaluate", copy)
    assert code == 2
    assert "these results are of other weights" in err


class TestCompare:
    @pytest.fixture(scope="class")
    @staticmethod
    def others(tmp_path_factory):
        folder = tmp_path_factory.mktemp("others")
        short = ["--method", "ce", "--seed", "1", "--epochs", "1"]
        for name, words in {"ce": ["--method", "ce"], "seed": ["--seed", "1"], "short": short}.items():
            assert main(["train", *QUICK, *words, "--out", str(folder / name)]) == 0
        return folder

    def test_says_what_follows(self, cli, finished, others, tmp_path):
        out_file = tmp_path / "out.json"
        code, out, _ = cli("compare", finished, others / "ce", "--attack", "pgd-2", "--json", out_file)
        assert code == 0
        assert "ce against srat-ldam, pgd-2, 500 images" in out
        assert "pgd-2, overall: " in out
        assert "One model of each" in out
        rows = json.loads(out_file.read_text(), parse_constant=lambda name: pytest.fail(name))
        assert [row["scope"] for row in rows[:3]] == ["overall", "common", "rare"]
        first, second = (Examples.read(run / "examples.safetensors") for run in (finished, others / "ce"))
        right = [each.survived("pgd-2") for each in (first, second)]
        assert rows[0]["only_first"] == int((right[0] & ~right[1]).sum())
        assert rows[0]["difference"] == pytest.approx(float(right[1].float().mean() - right[0].float().mean()))

    @pytest.mark.parametrize(("word", "name"), [("natural", "clean"), ("pgd", "pgd-2"), ("PGD2", "pgd-2")])
    def test_results_by_the_words_of_their_attacks(self, cli, finished, others, word, name):
        out = cli("compare", finished, others / "ce", "--attack", word)[1]
        assert f"ce against srat-ldam, {name}, 500 images" in out

    def test_tells_what_else_the_runs_differ_in(self, cli, finished, others):
        for other, told in ((others / "ce", False), (others / "short", True)):
            out = cli("compare", finished, other, "--attack", "clean")[1]
            assert ("differ in more than the method: epochs 2 (not 1)." in out) == told

    @pytest.mark.parametrize("kept", [3, 5_000])
    def test_damaged_weights_are_named(self, cli, finished, others, tmp_path, kept):
        shutil.copytree(finished, tmp_path / "cut")
        weights = tmp_path / "cut" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:kept])
        code, _, err = cli("compare", tmp_path / "cut", others / "ce")
        assert (code, err.count("\n")) == (2, 1)
        assert f"{weights}: not a readable file of tensors, or damaged" in err

    def test_seeds_alone_are_shown_together(self, cli, finished, others, tmp_path):
        file = tmp_path / "means.json"
        code, out, _ = cli("compare", finished, others / "seed", "--attack", "clean", "--json", file)
        assert code == 0
        assert "srat-ldam, 2 seeds, clean" in out
        first = json.loads(file.read_text())[0]
        assert (first["scope"], first["seeds"], first["images"]) == ("overall", [0, 1], 500)

    def test_two_methods_with_two_seeds_each(self, cli, finished, others):
        assert main(["train", *QUICK, "--method", "ce", "--seed", "1", "--out", str(others / "ce-1")]) == 0
        runs = (finished, others / "seed", others / "ce", others / "ce-1")
        code, out, _ = cli("compare", *runs, "--attack", "clean")
        assert code == 0
        assert "ce against srat-ldam, clean" in out
        assert "2 seeds of each" in out

    def test_the_worst_case_is_compared_too(self, cli, finished, others):
        for run in (finished, others / "ce"):
            assert cli("evaluate", run, "--attack", "fgsm", "--attack", "pgd-2", "--images", "100")[0] == 0
        words = ("--images", "100", "--attack", "worst-case")
        code, out, _ = cli("compare", finished, others / "ce", *words)
        assert code == 0
        assert "ce against srat-ldam, worst-case, 100 images" in out
        assert "examples-100.safetensors" in cli("compare", finished, others / "ce", "--images", "77")[2]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "expected the folders of at least two runs, got 0"),
            (("RUN",), "expected the folders of at least two runs, got 1"),
            (("RUN", "RUN"), "the same configuration and seed twice"),
            (("RUN", "nowhere"), "'nowhere' is not a run's folder"),
            (("RUN", "CE", "SEED"), "expected the same seeds of each"),
            (("RUN", "CE", "--attack", "pgd-9"), "--attack pgd-9: not every run has this result"),
        ],
    )
    def test_says_what_is_wrong(self, cli, finished, others, words, said):
        names = {"RUN": finished, "CE": others / "ce", "SEED": others / "seed"}
        code, _, err = cli("compare", *[names.get(word, word) for word in words])
        assert code == 2
        assert said in err

    def test_other_groups_are_shown_and_nothing_is_written(self, cli, finished, others):
        before = (finished / "evaluation.json").read_bytes()
        code, out, err = cli("compare", finished, others / "ce", "--attack", "clean", "--groups", "thirds")
        assert code == 0, err
        assert all(f"clean, {name}: " in out for name in ("overall", "head", "middle", "tail"))
        code, out, err = cli(
            "evaluate", finished, "--attack", "pgd-2", "--groups", "many-medium-few", "--device", "cpu"
        )
        assert code == 0, err
        assert "medium" in out
        assert "  rare" not in out
        code, _, err = cli("evaluate", finished, "--groups", "third", "--device", "cpu")
        assert code == 2
        assert "unknown groups 'third', did you mean 'thirds'" in err
        assert (finished / "evaluation.json").read_bytes() == before

    def test_refuses_other_images_and_other_groups(self, cli, finished, others, tmp_path):
        copy = shutil.copytree(others / "ce", tmp_path / "copy")
        replace(Examples.read(copy / "examples.safetensors"), test="00").write(copy / "examples.safetensors")
        code, _, err = cli("compare", finished, copy)
        assert code == 2
        assert "evaluated on different test images" in err
        assert cli("train", *LEAST, "--method", "ce", "--imbalance.class-order", "random", "--out", "other")[0] == 0
        assert "differ in which classes are rare" in cli("compare", finished, "other")[2]
        foreign = shutil.copytree(others / "ce", tmp_path / "foreign")
        for name in ("examples.safetensors", "evaluation.json"):
            (foreign / name).write_bytes((finished / name).read_bytes())
        assert "these results are not of the weights in model.safetensors" in cli("compare", finished, foreign)[2]
        assert "there is no folder 'nowhere'" in cli("compare", finished, others / "ce", "--json", "nowhere/x")[2]
        (copy / "examples.safetensors").unlink()
        assert f"'srat evaluate {copy}' creates it" in cli("compare", finished, copy)[2]


def test_separability_is_measured_and_kept(cli, finished):
    code, out, _ = cli("separability", finished, "--images", "200", "--device", "cpu")
    assert code == 0
    assert "srat-ldam on digits, pgd-2, 200 test images" in out
    content = json.loads((finished / "separability.json").read_text())
    assert content["images"] == 200
    assert list(content["results"]) == ["clean", "pgd-2"]
    assert content["results"]["pgd-2"]["attack"]["epsilon"] == 0.1
    scopes = [each["scope"] for each in content["results"]["pgd-2"]["scopes"]]
    assert scopes[:3] == ["overall", "common", "rare"]
    assert cli("separability")[0] == 2
    code, _, err = cli("separability", finished, "--images", "50")
    assert (code, "--images: expected at least 110, 11 of each of 10 classes, got 50" in err) == (2, True)


class TestAudit:
    def test_prints_findings_and_keeps_them(self, cli, finished):
        words = ("--check", "determinism", "--check", "interval", "--images", "50", "--device", "cpu")
        code, out, _ = cli("audit", finished, *words)
        assert code == 0
        assert "pass      determinism  asked twice" in out
        assert "warn      interval     the widest interval of a group has" in out
        assert "warnings: interval." in out
        assert not (finished / "audit.json").exists()

    def test_the_whole_is_kept(self, cli, finished, short_autoattack, monkeypatch):
        monkeypatch.setattr("srat.audit.auditing.SOURCE_STEPS", 20)
        code, out, _ = cli("audit", finished, "--images", "50", "--device", "cpu")
        assert code in (0, 3)
        assert out.splitlines()[-1] == f"Kept in {finished / 'audit.json'}"
        content = json.loads((finished / "audit.json").read_text())
        assert (content["images"], len(content["weights"]), len(content["test"])) == (50, 64, 64)
        assert len(content["checks"]) == 20
        assert all(check["verdict"] in ("pass", "warn", "fail") for check in content["checks"])
        assert sum(line.split("  ")[0] in ("pass", "warn", "fail") for line in out.splitlines()) == 20

    def test_an_audit_that_fails_says_so(self, cli, finished, monkeypatch):
        from srat.audit.base import Finding
        from srat.audit.checks.determinism import Determinism

        finding = Finding(verdict="fail", evidence="made up")
        monkeypatch.setattr(Determinism, "examine", lambda self, subject: finding)
        code, out, _ = cli("audit", finished, "--check", "determinism", "--device", "cpu")
        assert code == 3
        assert "Do not trust the claimed robustness: determinism." in out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "expected the folder of a run"),
            (("nowhere",), "'nowhere' is not a run's folder"),
            (("RUN", "--check", "all"), "unknown check 'all'; there are: balance"),
            (("RUN", "--images", "0"), "--images: expected at least one of each of 10 classes"),
            (("RUN", "--source", "RUN"), ": expected a naturally trained run, got srat-ldam"),
            (("RUN", "--check", "transfer", "--source", "SMALL"), "of other classes, or of images of another size"),
            (
                ("SMALL", "--data-dir", "LARGE"),
                "none of the recorded test images is left; it holds 120 others, 5 × 5 × 1",
            ),
        ],
    )
    def test_says_what_is_wrong(self, cli, finished, small, words, said):
        names = {"RUN": finished, **small}
        code, _, err = cli("audit", *[names.get(word, word) for word in words])
        assert code == 2
        assert said in err

    @pytest.fixture(scope="class")
    @staticmethod
    def small(tmp_path_factory):
        """A naturally trained run on images of 4 × 4, the same of version 0.1, and data of 5 × 5."""
        folder = tmp_path_factory.mktemp("small")
        rng = np.random.default_rng(0)
        for name, side in (("small", 4), ("large", 5)):
            arrays = {f"{part}_images": rng.random((60, side, side), np.float32) for part in ("train", "test")}
            labels = {f"{part}_labels": np.arange(60) % 2 for part in ("train", "test")}
            np.savez(folder / f"{name}.npz", **arrays, **labels)
        data = ["--data", "arrays", "--data-dir", str(folder / "small.npz")]
        words = ["--method", "natural", "--model", "linear", "--epochs", "1", "--out", str(folder / "run")]
        assert main(["train", *data, *words]) == 0
        shutil.copytree(folder / "run", folder / "old")
        (folder / "old" / "split.json").unlink()  # which version 0.1 did not write
        return {"SMALL": folder / "run", "OLD": folder / "old", "LARGE": folder / "large.npz"}


def test_refuses_to_mix_evaluations_of_two_runs(cli, finished, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.safetensors", "config.json", "evaluation.json"):
        (copy / name).write_bytes((finished / name).read_bytes())
    content = json.loads((copy / "evaluation.json").read_text())
    (copy / "evaluation.json").write_text(json.dumps({**content, "train_counts": [1] * 10}))
    code, _, err = cli("evaluate", copy, "--attack", "fgsm")
    assert code == 2
    assert "this evaluation is of another run; remove it" in err


class TestTop:
    @staticmethod
    def entered(monkeypatch, encoding, *words):
        """Run the console script with streams of an encoding; returns exit code and what it wrote to each."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["srat", *words])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ending:
                entry()
        for stream in (out, err):
            stream.flush()
        return ending.value.code, out.buffer.getvalue(), err.buffer.getvalue()

    def test_an_output_that_knows_no_frames(self, monkeypatch):
        assert b"+- options ---" in self.entered(monkeypatch, "ascii", "runs", "--help")[1]
        wrong = self.entered(monkeypatch, "ascii", "runs", "--format", "xml")
        assert wrong == (2, b"", b"srat: error: --format: unknown value 'xml'; there are: table, csv, json\n")

    def test_an_output_that_cannot_write_all_letters(self, few, monkeypatch):
        code, out, err = self.entered(monkeypatch, "latin-1", "train", *few, "--out", "run")
        assert (code, err) == (0, b"")
        assert b"attack pgd-" in out

    @pytest.mark.parametrize("word", ["--help", "help"])
    def test_help_of_a_command(self, capsys, word):
        with pytest.raises(SystemExit):
            main([word, "runs"])
        assert "usage: srat runs" in capsys.readouterr().out

    @pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
    def test_help(self, cli, words):
        code, out, _ = cli(*words)
        assert code == 0
        for command in ("train", "evaluate", "compare", "audit", "separability", "data"):
            assert f"  {command} " in out

    def test_version(self, cli):
        assert cli("--version")[1] == f"srat {srat.__version__}\n"

    def test_unknown_command(self, cli):
        code, out, err = cli("trian")
        assert (code, out) == (2, "")
        assert "unknown command 'trian', did you mean 'train'?" in err

    @pytest.mark.parametrize("words", [["--help"], ["--version"], ["trian"]])
    def test_answers_without_torch(self, words):
        code = f"import sys; from srat.cli import main; main({words}); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False"

    def test_python_dash_m_and_a_reader_that_leaves(self):
        done = subprocess.run(
            f"{sys.executable} -m srat train --help | head -n 1", shell=True, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("usage: srat train")
        assert done.stderr == ""


@pytest.mark.real_data("fashion-mnist")
def test_fashion_mnist_from_debians_folder(cli):
    words = [
        "--method",
        "ce",
        "--data",
        "fashion-mnist",
        "--model",
        "linear",
        "--ratio",
        "100",
        "--imbalance.cap",
        "500",
    ]
    code, out, _ = cli("train", *words, "--epochs", "1", "--attack.steps", "1", "--evaluation.steps", "1", "--out", "x")
    assert code == 0
    assert "Ankle boot" in out
    assert json.loads(Path("x/evaluation.json").read_text())["results"]["clean"]["total"] == [1000] * 10


class TestStartUp:
    """What a command does not need, it does not import; times are no matter of tests."""

    @staticmethod
    def imported(*commands):
        """What one process has imported after each of several commands."""
        script = (
            "import contextlib, io, sys\n"
            "from srat.cli import main\n"
            f"for words in {[list(words) for words in commands]!r}:\n"
            "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
            "        main(words)\n"
            "    print(*sys.modules)\n"
        )
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        modules = [set(line.split()) for line in ran.stdout.splitlines()]
        assert len(modules) == len(commands)
        return zip(commands, modules, strict=True)

    def test_help_and_mistakes_need_no_torch(self):
        quick = (), ("--help",), ("--version",), ("trian",), ("train", "--devices", "0")
        for words, modules in self.imported(*quick):
            assert not modules & {"torch", "numpy", "tyro", "rich"}, words

    def test_a_commands_help_needs_no_more_than_torch(self):
        heavy = {"matplotlib", "sklearn", "scipy", "plotly", "ray", "lightning_fabric", "PIL", "torch._dynamo"}
        helps = [(name, "--help") for name in COMMANDS]
        wordless = [(name,) for name in COMMANDS if name not in ("train", "grid", "theory")]  # which would run
        for words, modules in self.imported(*helps, ("train", "--epocs", "3"), *wordless):
            assert "torch" in modules, words
            assert not modules & heavy, words
