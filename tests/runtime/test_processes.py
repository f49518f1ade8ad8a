"""Several processes: the gradient of one, the counts of one, signals and failures shared."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import psutil
import pytest
import torch

from forking import FIRST, in_earnest
from quick import quick
from several import free_port, in_processes
from srat.attacks import PGD, Natural
from srat.cli.launching import processes_to_launch, require_room
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.signals import GRACE
from srat.core.tensor_file import open_tensors
from srat.data import Dataset
from srat.evaluation.evaluate import count
from srat.feature_losses import Separation, has_positive, separation
from srat.methods.objective import reduce_anchors
from srat.models.backbones.small_cnn import SmallCNN
from srat.runs.folder import RunFolder
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import ALONE, Processes
from srat.training.checkpoint import list_checkpoints
from srat.training.fitting import fit
from srat.training.setting_up import set_up
from srat.training.step import train_step

pytestmark = pytest.mark.usefixtures("forked")


@pytest.mark.parametrize(("n", "count"), [(10, 1), (10, 3), (7, 7), (128, 5)])
def test_shares_are_the_batch_in_order_without_padding(n, count):
    shares = [list(range(n))[Processes(rank, count).share(n)] for rank in range(count)]
    assert list(itertools.chain(*shares)) == list(range(n))
    assert {len(share) for share in shares} <= {n // count, n // count + 1}


def test_one_process_needs_no_connection():
    x = torch.rand(4, 2, requires_grad=True)
    assert ALONE.gather(x, 4) is x
    assert ALONE.sum(x) is x
    assert ALONE.largest(3, 0) == (3, 0)
    assert ALONE.told("a") == "a"
    ALONE.wait()


# 19 of METHOD.md's mistakes: gathered features without gradient, or scaled by the number of processes.


def small(precision="fp32"):
    """A model without BatchNorm's coupling of a batch, an attack without noise, a batch of 11 that no two can halve."""
    config = compose(method="srat-ldam", batch_size=11, augmentation="none")
    return replace(
        config,
        model=SmallCNN(width=4),
        attack=PGD(epsilon=0.1, step_size=0.02, steps=2, random_start=False),
        precision=precision,
    )


def one_step(processes, *, mistake=None):
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Dataset(images, torch.arange(40) % 10, tuple("0123456789"))
    training = set_up(small(), make_fabric("cpu"), data, None, None, processes=processes)
    if mistake is not None:
        training = replace(training, processes=mistake(processes.rank, processes.count, processes.control))
    training.model.eval()  # BatchNorm by its running statistics
    rng = partial(generator, 0, rank=processes.rank)
    batch = training.feed.batch(torch.arange(11), rng("augment"))
    weights = torch.linspace(0.1, 3, 10)
    gradients = []
    training.optimizer.step = lambda *_: gradients.extend(p.grad.clone() for p in training.module.parameters())
    sums = train_step(training, batch, training.stage(0)._replace(weights=weights), rng)
    return torch.cat([g.flatten() for g in gradients]).numpy(), sums.numpy()


def whole_step(processes, *, synchronized=True):
    """A step with BatchNorm in training mode, and the step of the optimiser done; returns what the model is then."""
    images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    config = replace(small(), sync_batch_norm=synchronized)
    data = Dataset(images, torch.arange(40) % 10, tuple("0123456789"))
    training = set_up(config, make_fabric("cpu"), data, None, None, processes=processes)
    training.model.train()
    rng = partial(generator, 0, rank=processes.rank)
    for step in range(2):
        batch = training.feed.batch(torch.arange(11 * step, 11 * step + 11), rng("augment"))
        train_step(training, batch, training.stage(training.config.epochs - 1), rng)
    return torch.cat([tensor.double().flatten() for tensor in training.module.state_dict().values()]).numpy()


def test_synchronised_batch_norm_makes_two_processes_one():
    alone = torch.from_numpy(whole_step(ALONE))
    for synchronized in (True, False):
        states = in_processes(2, partial(whole_step, synchronized=synchronized))
        one, other = (torch.from_numpy(state) for state in states)
        assert torch.equal(one, other)
        assert torch.allclose(one, alone, rtol=1e-3, atol=1e-5) == synchronized


class Detached(Processes):
    def gather(self, own, n):
        return super().gather(own, n).detach() + 0 * own.sum()


class Unscaled(Processes):
    """All that is gathered has the gradient of one process's rows; nobody multiplies by the number of processes."""

    @property
    def first(self):
        return self.rank == 0

    def gather(self, own, n):
        rows = super().gather(own, n)
        return rows.detach() + (rows - rows.detach()) / self.count


def gradients(processes, mistake=None):
    return one_step(processes, mistake=mistake)


@pytest.mark.parametrize("count", [2, 3])
def test_19_the_gradient_is_that_of_one_process(count):
    alone, sums = one_step(ALONE)
    for gradient, own_sums in in_processes(count, gradients):
        assert torch.allclose(torch.from_numpy(gradient), torch.from_numpy(alone), rtol=1e-4, atol=1e-6)
        # Metrics are those of the whole batch in each process; the optimiser's step was left out of both.
        assert torch.allclose(torch.from_numpy(own_sums), torch.from_numpy(sums), rtol=1e-4)
    assert abs(alone).max() > 0.01


@pytest.mark.parametrize("mistake", [Detached, Unscaled])
def test_19_the_mistakes_show(mistake):
    alone, _ = one_step(ALONE)
    for gradient, _ in in_processes(2, partial(gradients, mistake=mistake)):
        assert not torch.allclose(torch.from_numpy(gradient), torch.from_numpy(alone), rtol=1e-2, atol=1e-4)


def separated(processes):
    features = torch.randn(13, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(13) % 4
    own = features[processes.share(13)].clone().requires_grad_()
    rows = processes.gather(own, 13)
    reduce_anchors(Separation()(rows, labels)).backward()
    return own.grad.numpy()


def test_19_features_of_other_processes_are_contrasted_with():
    features = torch.randn(13, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.arange(13) % 4
    (separation(features, labels).sum() / has_positive(labels).sum()).backward()
    parts = [torch.from_numpy(part) for part in in_processes(2, separated)]
    torch.testing.assert_close(torch.cat(parts), features.grad, rtol=1e-4, atol=1e-6)


def collected(processes):
    statistics = [torch.full((3,), float(processes.rank)), torch.full((2, 2), 10.0 * processes.rank)]
    processes.average_(statistics)
    return (
        [tensor.tolist() for tensor in statistics],
        processes.sum(torch.tensor([1, processes.rank])).tolist(),
        processes.largest(processes.rank, 5 - processes.rank),
        processes.told(f"rank {processes.rank}"),
    )


def test_what_is_shared():
    for rank, (statistics, total, largest, told) in enumerate(in_processes(2, collected)):
        assert statistics == [[0.5] * 3, [[5.0] * 2] * 2]
        assert total == [2, 1]
        assert largest == (1, 5)
        assert told == "rank 0"
        assert rank < 2


def counted(processes):
    torch.manual_seed(0)
    data = Config().data.test().subset(torch.arange(123))
    training = set_up(small(), make_fabric("cpu"), data, None, None, processes=processes)
    attack = PGD(epsilon=0.02, step_size=0.01, steps=3, restarts=2)
    counting = partial(count, training.module, data, seed=1, batch_size=50, processes=processes)
    return [counting(attack).correct for attack in (Natural(), attack)]


def test_evaluation_is_exact_on_any_number_of_processes():
    alone = counted(ALONE)
    assert 0 < sum(alone[1]) < sum(alone[0])
    for count_ in (2, 3):
        assert in_processes(count_, counted) == [alone] * count_


class TestCommand:
    """``srat train --devices 2`` and torchrun, as a user runs them."""

    SHORT = (*quick(width=4, epochs=4, steps=2), "--oversubscribe")

    @pytest.fixture(scope="class")
    @classmethod
    def by_two(cls, tmp_path_factory):
        """A finished run of two processes, which tests copy: what it has said, and its folder."""
        out = tmp_path_factory.mktemp("two") / "run"
        return cls.train(out, "--devices", "2"), out

    @staticmethod
    def run(*words, **options):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        return subprocess.run(words, capture_output=True, text=True, timeout=180, env=environment, **options)

    @classmethod
    def train(cls, out, *words, **options):
        return cls.run(sys.executable, "-m", "srat", "train", "--out", str(out), *cls.SHORT, *words, **options)

    def in_mid_training(self, out):
        """Start a long run of two processes, and return what watches them once an epoch is done."""
        command = [sys.executable, "-m", "srat", "train", "--out", str(out), *self.SHORT, "--devices", "2"]
        process = subprocess.Popen(
            [*command, "--epochs", "500"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while not (out / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return process

    @staticmethod
    def workers(process):
        """The processes that it has started, by rank: the first starts first."""
        children = psutil.Process(process.pid).children()
        return sorted(children, key=lambda worker: (worker.create_time(), worker.pid))

    @staticmethod
    def weights(out):
        return open_tensors(out / "model.safetensors").tensors()

    def test_trains_evaluates_and_says_it_once(self, tmp_path, by_two):
        done, out = by_two
        shutil.copytree(out, tmp_path / "run")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count(" worst class ") == 1
        assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2
        # The training's own evaluation, by two processes, against one process, and by two again.
        path = tmp_path / "run" / "evaluation.json"
        before = path.read_text()
        for devices in ("1", "2"):
            for file in (path, *(tmp_path / "run").glob("examples*.safetensors")):
                file.unlink()
            command = ("evaluate", str(tmp_path / "run"), "--attack", "pgd-1", "--devices", devices, "--oversubscribe")
            assert self.run(sys.executable, "-m", "srat", *command).returncode == 0
            assert path.read_text() == before

    def test_an_evaluation_that_two_began_is_ended_by_one(self, tmp_path, by_two):
        one, two = tmp_path / "one", tmp_path / "two"
        for path in (one, two):
            shutil.copytree(by_two[1], path)
        evaluate = [sys.executable, "-m", "srat", "evaluate"]
        attack = ["--attack", "pgd-150", "--epsilon", "0.02", "--step-size", "0.002"]
        assert self.run(*evaluate, str(one), *attack).returncode == 0
        command = [*evaluate, str(two), *attack, "--devices", "2", "--oversubscribe"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        name = "last-pgd-150-eps-0.02-step-0.002.{}.safetensors"
        while time.monotonic() < deadline and not all((two / "unfinished" / name.format(n)).exists() for n in (0, 1)):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert (two / "unfinished").exists()
        assert self.run(*evaluate, str(two), *attack).returncode == 0
        for name in ("evaluation.json", "examples.safetensors"):
            assert (one / name).read_bytes() == (two / name).read_bytes()
        assert not (two / "unfinished").exists()

    def test_as_many_images_as_an_interval_takes_are_the_same_by_two_and_by_one(self, tmp_path, by_two):
        one, two = tmp_path / "one", tmp_path / "two"
        words = ("--attack", "pgd-2", "--until-within", "8")
        for path, more in ((one, ()), (two, ("--devices", "2", "--oversubscribe"))):
            shutil.copytree(by_two[1], path)
            done = self.run(sys.executable, "-m", "srat", "evaluate", str(path), *words, *more)
            assert done.returncode == 0, done.stderr
        found = json.loads((one / "evaluation-within.json").read_text())
        assert 0 < sum(found["results"]["pgd-2"]["total"]) < 500
        for name in ("evaluation-within.json", "examples-within.safetensors"):
            assert (one / name).exists() == (two / name).exists()
            assert not (one / name).exists() or (one / name).read_bytes() == (two / name).read_bytes()

    def test_the_same_again_gives_the_same_bytes_and_a_stopped_run_too(self, tmp_path, by_two):
        words = ("--devices", "2", "--checkpoint-every", "3")
        command = [sys.executable, "-m", "srat", "train", "--out", str(tmp_path / "stopped"), *self.SHORT, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(list_checkpoints(tmp_path / "stopped" / "checkpoints")) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 143, stderr
        assert stderr.count("stopped by SIGTERM") == 1
        assert "is saved; the same command continues from there" in stderr
        assert self.train(tmp_path / "stopped", *words).returncode == 0
        one, other = (self.weights(out) for out in (by_two[1], tmp_path / "stopped"))
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_a_signal_to_one_of_them_stops_all_and_saves(self, tmp_path):
        out = tmp_path / "run"
        process = self.in_mid_training(out)
        before = {path.name for path in list_checkpoints(out / "checkpoints")}
        self.workers(process)[1].send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 143
        assert stderr.count("is saved; the same command continues") == 1
        assert {path.name for path in list_checkpoints(out / "checkpoints")} - before

    @pytest.mark.parametrize("rank", [0, 1])
    def test_a_killed_process_ends_the_job_with_its_error(self, tmp_path, rank):
        out = tmp_path / "run"
        process = self.in_mid_training(out)
        workers = self.workers(process)
        workers[rank].kill()
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 137
        assert f"process {rank} of 2 was ended by signal 9" in stderr
        assert not any(worker.is_running() for worker in workers)

    def test_an_error_of_all_is_told_once(self, tmp_path):
        (tmp_path / "data" / "a").mkdir(parents=True)
        done = self.train(tmp_path / "run", "--data", "folder", "--data-dir", str(tmp_path / "data"), "--devices", "2")
        assert done.returncode == 2
        assert done.stderr.count("srat: error:") == 1
        assert "no image in class a" in done.stderr

    @pytest.mark.parametrize("debug", [(), ("--debug",)])
    def test_an_error_of_another_process_is_told(self, tmp_path, debug):
        (tmp_path / "full.py").write_text(
            "import os, srat.cli.training as train\n"
            "from srat.core.errors import UserError\n"
            "real = train.fit\n"
            "def fit(*a, **k):\n"
            "    if os.environ['RANK'] == '1': raise UserError('the disk of process 1 is full')\n"
            "    return real(*a, **k)\n"
            "train.fit = fit\n"
        )
        full = {FIRST: str(tmp_path / "full.py")}
        done = self.train(tmp_path / "run", "--devices", "2", *debug, env=full)
        assert done.returncode == 2
        assert "srat: error: the disk of process 1 is full" in done.stderr
        assert "another process of this job has ended" in done.stderr
        assert ("Traceback" in done.stderr) == bool(debug)

    @staticmethod
    def together(commands, options):
        """Run the commands at the same time; return exit codes and what each said."""
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        nodes = [subprocess.Popen(command, **piped, **o) for command, o in zip(commands, options, strict=True)]
        said = [node.communicate(timeout=120) for node in nodes]
        return [node.returncode for node in nodes], said

    def on_two_machines(self, out, folders):
        """Train as torchrun would let a node in each folder do; return exit codes and what each said."""
        job = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "srat", "train", "--out", str(out), *self.SHORT]
        return self.together(
            [command] * 2,
            [
                {"cwd": folder, "env": {**os.environ, **job, "RANK": str(rank), "GROUP_RANK": str(rank)}}
                for rank, folder in enumerate(folders)
            ],
        )

    def test_machines_that_do_not_share_the_folder_are_told(self, tmp_path, by_two):
        shutil.copytree(by_two[1], tmp_path / "a" / "run")
        (tmp_path / "b").mkdir()
        _, said = self.on_two_machines("run", (tmp_path / "a", tmp_path / "b"))
        assert all("do not see the same folder 'run'" in err for _, err in said)
        codes, said = self.on_two_machines("fresh", (tmp_path / "a", tmp_path / "b"))
        assert all(codes)
        assert all("the processes found different checkpoints in 'fresh/checkpoints'" in err for _, err in said)

    def test_torchrun_on_two_machines(self, tmp_path, by_two):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        torchrun += ["--master-addr", "127.0.0.1", "--master-port", free_port()]
        words = ["-m", "srat", "train", "--out", str(tmp_path / "run"), *self.SHORT]
        environment = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}}
        codes, said = self.together(
            [[*torchrun, "--node-rank", str(node), *words] for node in range(2)], [environment] * 2
        )
        assert codes == [0, 0], said
        assert ["worst class" in out for out, _ in said] == [True, False]
        # The same processes, however they were started.
        one, other = (self.weights(out) for out in (by_two[1], tmp_path / "run"))
        assert all(torch.equal(one[name], other[name]) for name in one)

    @pytest.mark.parametrize("devices", ["0", "-1", "2000"])
    def test_refuses_a_senseless_number(self, cli, devices, tmp_path):
        code, _, err = cli("train", "--devices", devices, "--out", tmp_path / "run")
        assert (code, err) == (2, f"srat: error: --devices: expected 1 to 1,024 processes, got {devices}\n")

    @pytest.mark.parametrize("command", [("train",), ("evaluate", "runs/a")])
    def test_more_processes_than_cores_are_refused_at_once(self, cli, command, tmp_path, monkeypatch):
        monkeypatch.setattr("srat.cli.launching.cores", lambda: 3)
        monkeypatch.chdir(tmp_path)
        code, _, err = cli(*command, "--devices=4", "--device", "cpu")
        assert code == 2
        assert err == (
            "srat: error: --devices 4: expected at most 3, one process for each core of the CPU that may be used; "
            "--oversubscribe allows more\n"
        )
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("device", "gpus", "processes", "oversubscribe", "said"),
        [
            ("auto", 2, 3, True, "--devices 3: expected at most 2, one process for each GPU; --device cpu takes"),
            ("cuda", 2, 3, False, "--devices 3: expected at most 2, one process for each GPU"),
            ("cuda", 0, 1, True, "--device cuda: there is no such CUDA device here"),
            ("auto", 0, 9, False, "--devices 9: expected at most 8, one process for each core"),
            ("cpu", 4, 9, False, "--devices 9: expected at most 8, one process for each core"),
            ("auto", 2, 2, False, ""),
            ("auto", 0, 8, False, ""),
            ("cpu", 2, 8, False, ""),
            ("cpu", 0, 99, True, ""),
        ],
    )
    def test_what_there_is_bounds_the_processes(self, monkeypatch, device, gpus, processes, oversubscribe, said):
        monkeypatch.setattr("srat.cli.launching.cores", lambda: 8)
        monkeypatch.setattr("srat.cli.launching.gpus", lambda: gpus)
        with pytest.raises(UserError, match=f"^{said}") if said else nullcontext():
            require_room(processes, device, oversubscribe=oversubscribe)

    def test_the_last_of_several_numbers_counts(self, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        assert processes_to_launch(["--devices", "2", "--devices=1_0"]) == 10
        assert processes_to_launch(["--devices", "two"]) == processes_to_launch(["--devices=9", "--help"]) == 1

    @pytest.mark.parametrize("moment", ["importing", "training"])
    def test_none_outlives_one_that_is_killed(self, tmp_path, moment):
        out = tmp_path / "run"
        if moment == "training":
            process = self.in_mid_training(out)
        else:
            command = [sys.executable, "-m", "srat", "train", "--out", str(out), *self.SHORT, "--devices", "2"]
            with in_earnest():
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        leader, deadline = psutil.Process(process.pid), time.monotonic() + 60
        while len(workers := leader.children()) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.4 if moment == "importing" else 0)
        process.kill()
        process.wait()  # and not for the end of what it says, which the others would put off
        _, alive = psutil.wait_procs(workers, timeout=GRACE + 15)
        for worker in alive:
            worker.kill()
        if process.stderr is not None:
            process.stderr.close()
        assert len(workers) == 2
        assert not alive

    def test_a_batch_smaller_than_the_processes_is_refused(self, tmp_path):
        done = self.train(tmp_path / "run", "--devices", "2", "--batch-size", "1")
        assert done.returncode == 2
        assert "--batch-size 1: expected at least one image for each of 2 processes" in done.stderr


def test_no_process_writes_before_all_have_looked(tmp_path, monkeypatch):
    """A slower one would find what the first has written meanwhile, and take it for another's."""
    events = []

    def note(kind, name):
        real = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda self, *args: events.append(name) or real(self, *args))

    note(RunFolder, "check")
    note(RunFolder, "start")
    note(Processes, "require_alike")
    fit(replace(compose(epochs=1), model=SmallCNN(width=4)), out=tmp_path / "run", device="cpu")
    assert events[: events.index("start")] == ["check", "require_alike"] * 2
