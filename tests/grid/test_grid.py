"""A grid of runs: what is missing, who makes it, and what becomes of it when things go wrong."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
from ray_kills import compared
from rich.console import Console

from srat.attacks import PGD
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.core.signals import Interrupted, Interruption
from srat.evaluation.counts import Counts
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.record import CLEAN, Evaluation, Result
from srat.grid.engine import Executor, Handle, Watcher, run_grid
from srat.grid.local import Serial
from srat.grid.on_ray import OnRay
from srat.grid.plan import jobs_of, planned
from srat.models.backbones.linear import Linear
from srat.optimization.schedules import Steps
from srat.recipes.base import Cell
from srat.recipes.catalogue import recipe
from srat.recipes.scales import base_config
from srat.report.terminal.board import Board, duration
from srat.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("forked")

TINY = replace(
    compose(method="ce", model="linear", epochs=1),
    attack=PGD(epsilon=0.1, step_size=0.1, steps=1),
    evaluation=PGD(epsilon=0.1, step_size=0.1, steps=1),
)


def cell(row="ce", column="step-10", **changes):
    return Cell(row=row, column=column, config=replace(TINY, **changes))


def finish(job, config=None):
    """Write what a finished run leaves."""
    job.prepare()
    counts = Counts(correct=(1,) * 10, total=(2,) * 10)
    results = {name: Result(counts=counts, attack={}) for name in (CLEAN, job.config.evaluation.label)}
    evaluation = Evaluation(class_names=tuple("abcdefghij"), train_counts=(9,) * 10, results=results)
    job.folder.evaluation("last").write_text(evaluation.to_json())


class Fake(Executor):
    """An executor whose runs end, after some polls, as they are told to."""

    def __init__(self, slots=2, codes=None, polls=2):
        self.slots, self.codes, self.polls = slots, codes or {}, polls
        self.started, self.stopped, self.most, self.going = [], [], 0, 0

    def start(self, job, log):
        self.started.append(job.label)
        self.going += 1
        self.most = max(self.most, self.going)
        return FakeRun(self, job, log)


class FakeRun(Handle):
    def __init__(self, executor, job, log):
        self.executor, self.job, self.log, self.left, self.code = executor, job, log, executor.polls, None

    def begun(self):
        return True

    def poll(self):
        self.left -= 1
        if self.left <= 0 and self.code is None:
            self.executor.going -= 1
            self.code = self.executor.codes.get(self.job.label, 0)
            if self.code == 0:
                finish(self.job)
            elif self.code == 2:
                self.log.write_text("training …\nsrat: error: the disk is full\n")
        return self.code

    def stop(self, number):
        self.executor.stopped.append(self.job.label)
        self.left, self.executor.codes[self.job.label] = 1, 128 + number


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr("srat.grid.engine.POLL", 0.001)


@pytest.fixture
def jobs(tmp_path):
    return jobs_of([cell(), cell("focal", batch_size=64)], range(2), tmp_path, mapped=False)


def run(jobs, executor, tmp_path, interruption=None, watcher=None):
    return run_grid(jobs, executor, interruption or Interruption(), watcher or Watcher(), logs=tmp_path / "logs")


class TestPlan:
    def test_a_run_is_a_folder_named_by_its_id(self, jobs, tmp_path):
        assert [job.label for job in jobs] == [
            "ce step-10 seed 0",
            "focal step-10 seed 0",
            "ce step-10 seed 1",
            "focal step-10 seed 1",
        ]
        assert [job.folder.path for job in jobs] == [tmp_path / job.config.id for job in jobs]
        assert [job.config.seed for job in jobs] == [0, 0, 1, 1]

    def test_cells_with_one_configuration_are_one_run(self, tmp_path):
        assert len(jobs_of([cell(), cell("other name")], range(3), tmp_path, mapped=False)) == 3

    @pytest.mark.parametrize(("wanted", "there"), [("fp32", "bf16"), ("bf16", "fp32")])
    def test_a_finished_run_in_the_other_precision_stands_for_a_missing_one(self, wanted, there, tmp_path):
        def planned_in(precision, **how):
            return jobs_of([cell(precision=precision)], range(2), tmp_path, mapped=False, **how)

        first, second = planned_in(wanted)
        finish(planned_in(there)[0])
        assert [job.config.precision for job in planned_in(wanted)] == [there, wanted]
        assert [job.finished for job in planned_in(wanted)] == [True, False]
        assert [job.config for job in planned_in(wanted, exactly=True)] == [first.config, second.config]
        finish(first)
        assert planned_in(wanted)[0].config == first.config

    def test_what_rounds_otherwise_stands_for_nothing(self, tmp_path):
        for precision in ("tf32", "fp16"):
            finish(*jobs_of([cell(precision=precision)], [0], tmp_path, mapped=False))
        [job] = jobs_of([cell()], [0], tmp_path, mapped=False)
        assert job.config.precision == "fp32"

    def test_filters_match_names_with_spaces(self):
        base = base_config("small", "digits")
        assert len(planned(recipe("separation"), base, ["λ = 0.1"])) == 1
        assert len(planned(recipe("separation"), base, ["λ = *"])) == 8

    @pytest.mark.parametrize(
        ("filters", "count"), [((), 22), (("step-10",), 11), (("srat-*",), 6), (("srat-*", "step-100"), 3)]
    )
    def test_filters_match_whole_words(self, filters, count):
        assert len(planned(recipe("table1"), base_config("small", "digits"), filters)) == count

    def test_a_filter_that_nothing_meets_is_told_the_words(self):
        with pytest.raises(UserError, match=r"`filter` srat-x: .*srat-focal.*step-100"):
            planned(recipe("table1"), base_config("small", "digits"), ["srat-x"])

    def test_what_is_left_of_a_run(self, tmp_path):
        [plain] = jobs_of([cell()], [0], tmp_path, mapped=False)
        [mapped] = jobs_of([cell()], [0], tmp_path, mapped=True)
        words = [["train", "--out", str(plain.folder.path), "--device", "cpu"]]
        assert plain.commands("cpu") == words
        assert [command[0] for command in mapped.commands("cpu")] == ["train", "separability"]
        finish(plain)
        assert plain.finished
        assert plain.commands("cpu") == []
        # The weights that a map is drawn from are gone: the run is made again.
        assert not mapped.finished
        assert [command[0] for command in mapped.commands("cpu")] == ["train", "separability"]
        mapped.folder.weights("last").touch()
        assert [command[0] for command in mapped.commands("cpu")] == ["separability"]
        map_ = FeatureMap(class_names=("a", "b"), labels=(0,), points=((0.0, 1.0),), separability=(), made_with={})
        mapped.folder.map.write_text(map_.to_json())
        assert mapped.finished
        mapped.folder.map.write_text("{")
        with pytest.raises(UserError, match="not a readable map"):
            assert mapped.finished

    def test_further_attacks_are_made_of_the_weights(self, tmp_path):
        [job] = jobs_of([cell()], [0], tmp_path, mapped=True, attacks=["pgd-margin-20", "fgsm"])
        out = str(job.folder.path)
        attack = ["evaluate", out, "--attack", "pgd-margin-20", "--attack", "fgsm", "--device", "cpu"]
        assert [command[0] for command in job.commands("cpu")] == ["train", "evaluate", "separability"]
        assert job.commands("cpu")[1] == attack
        finish(job)
        assert not job.finished
        assert [command[0] for command in job.commands("cpu")] == ["train", "evaluate", "separability"]
        job.folder.weights("last").touch()
        assert [command[0] for command in job.commands("cpu")] == ["evaluate", "separability"]
        path = job.folder.evaluation("last")
        there = Evaluation.read(path)
        path.write_text(replace(there, results={**there.results, "fgsm": there.results[CLEAN]}).to_json())
        assert job.commands("cpu")[0] == [*attack[:4], "--device", "cpu"]

    def test_an_evaluation_without_the_attack_is_not_the_end(self, jobs):
        finish(jobs[0])
        path = jobs[0].folder.evaluation("last")
        content = json.loads(path.read_text())
        del content["results"][jobs[0].config.evaluation.label]
        path.write_text(json.dumps(content))
        assert not jobs[0].finished

    def test_results_beside_another_runs_configuration_are_not_believed(self, jobs):
        finish(jobs[0])
        jobs[0].folder.config.write_text(jobs[1].config.to_json())
        with pytest.raises(UserError, match="holds another run"):
            assert jobs[0].finished

    def test_data_that_have_moved_do_not_make_another_run(self, tmp_path):
        here, there = (compose(replace(TINY, data=compose(data="cifar10").data), data_dir=d) for d in ("/a", "/b"))
        [one] = jobs_of([Cell(row="ce", column="x", config=here)], [0], tmp_path, mapped=False)
        [two] = jobs_of([Cell(row="ce", column="x", config=there)], [0], tmp_path, mapped=False)
        one.prepare()
        two.prepare()
        assert json.loads(two.folder.config.read_text())["data"]["dir"] == "/b"
        assert one.folder == two.folder

    def test_a_strangers_folder_is_left_alone(self, jobs):
        jobs[0].folder.path.mkdir(parents=True)
        (jobs[0].folder.path / "thesis.tex").touch()
        with pytest.raises(UserError, match="holds something else"):
            jobs[0].prepare()


class TestEngine:
    def test_runs_what_is_missing_and_no_more_at_a_time_than_there_is_room_for(self, jobs, tmp_path):
        finish(jobs[1])
        executor = Fake(slots=2)
        assert run(jobs, executor, tmp_path) == []
        assert executor.started == [jobs[0].label, jobs[2].label, jobs[3].label]
        assert executor.most == 2
        assert run(jobs, again := Fake(), tmp_path) == []
        assert again.started == []

    def test_what_fails_stops_nothing_else_and_is_told(self, jobs, tmp_path):
        executor = Fake(codes={jobs[0].label: 2, jobs[2].label: -9})
        failures = run(jobs, executor, tmp_path)
        assert [failure.job.label for failure in failures] == [jobs[0].label, jobs[2].label]
        assert [failure.error for failure in failures] == ["the disk is full", "ended by signal 9"]
        assert jobs[1].finished
        assert jobs[3].finished

    def test_what_cannot_be_begun_or_read_stops_nothing_else(self, jobs, tmp_path):
        jobs[0].folder.path.mkdir(parents=True)
        (jobs[0].folder.path / "thesis.tex").touch()
        finish(jobs[1])
        jobs[1].folder.evaluation("last").write_text("{")
        failures = run(jobs, executor := Fake(), tmp_path)
        assert [failure.job.label for failure in failures] == [jobs[0].label, jobs[1].label]
        assert "holds something else" in failures[0].error
        assert "not a readable evaluation" in failures[1].error
        assert executor.started == [jobs[2].label, jobs[3].label]

    def test_an_end_without_results_is_a_failure(self, jobs, tmp_path):
        executor = Fake()
        executor.codes = {jobs[0].label: 0}
        started = executor.start

        def start(job, log):
            made = started(job, log)
            if job is jobs[0]:
                made.poll = lambda: 0
            return made

        executor.start = start
        [failure] = run(jobs[:1], executor, tmp_path)
        assert "before its end" in failure.error

    def test_what_another_grid_is_at_is_left_to_it(self, jobs, tmp_path, monkeypatch):
        left = {jobs[0].config.id: 3, jobs[1].config.id: 2}

        def in_use(folder):
            count = left.get(folder.path.name, 0)
            left[folder.path.name] = count - 1
            if count == 1 and folder.path.name == jobs[0].config.id:
                finish(jobs[0])  # by the other grid
            return count > 0

        monkeypatch.setattr(RunFolder, "in_use", property(in_use))
        executor = Fake(slots=4)
        assert run(jobs, executor, tmp_path) == []
        assert executor.started == [jobs[2].label, jobs[3].label, jobs[1].label]

    def test_of_an_earlier_attempt_no_error_is_told(self, jobs, tmp_path):
        executor = Fake(codes={jobs[0].label: 2})
        run(jobs[:1], executor, tmp_path)
        [failure] = run(jobs[:1], Fake(codes={jobs[0].label: -9}), tmp_path)
        assert failure.error == "ended by signal 9"

    def test_a_signal_stops_all_and_starts_no_more(self, jobs, tmp_path):
        interruption, executor = Interruption(), Fake(slots=2, polls=10**6)

        class Impatient(Watcher):
            def looked(self, running):
                if len(running) == 2 and not interruption.received:
                    interruption(signal.SIGTERM, None)

        with pytest.raises(Interrupted):
            run(jobs, executor, tmp_path, interruption, Impatient())
        assert executor.stopped == executor.started == [jobs[0].label, jobs[1].label]

    @pytest.mark.parametrize("terminal", [False, True])
    def test_the_board_says_what_happens(self, jobs, tmp_path, terminal):
        said = io.StringIO()
        console = Console(file=said, force_terminal=terminal, width=150)
        finish(jobs[3])
        executor = Fake(codes={jobs[0].label: 2}, polls=40)
        with Board(console, jobs, 2) as board:
            run(jobs, executor, tmp_path, watcher=board)
        text = said.getvalue()
        assert "1 of 4 finished already" in text
        assert "failed    ce step-10 seed 0" in text
        assert "the disk is full" in text
        assert "3 of 4" in text
        assert ("waiting" in text) == terminal

    def test_the_board_knows_epochs_and_time_left(self, jobs, tmp_path):
        said = io.StringIO()
        console = Console(file=said, force_terminal=True, width=150)
        longer = [replace(job, config=replace(job.config, epochs=8)) for job in jobs]
        board = Board(console, longer, 1)
        longer[0].prepare()
        board.started(longer[0])
        board._since[longer[0].config.id] = (time.monotonic() - 30, 0)
        longer[0].folder.metrics.write_text("epoch\n0\n1\n2\n")
        board.looked(longer[:1])
        console.print(board._drawn(longer[:1]))
        text = said.getvalue()
        assert "3/8" in text
        assert "0:50" in text  # five epochs of ten seconds
        assert "about 4:50 left" in text  # and three runs of eighty

    def test_a_board_of_more_than_it_shows_lists_no_waiting_ones(self, tmp_path):
        many = jobs_of([cell()], range(40), tmp_path, mapped=False)
        said = io.StringIO()
        Console(file=said, width=150).print(Board(Console(file=io.StringIO()), many, 20)._drawn(many[:20]))
        assert said.getvalue().count("training") == 12
        assert said.getvalue().count("waiting") == 1  # in the line below

    def test_durations(self):
        assert [duration(seconds) for seconds in (4, 64, 3_723)] == ["0:04", "1:04", "1:02:03"]


def srat(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "srat", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )


GRID = (
    "grid",
    "table1",
    "--scale",
    "small",
    "--data",
    "digits",
    "--seeds",
    "1",
    "--filter",
    "step-10",
    "--device",
    "cpu",
)


class TestSerially:
    def test_real_runs_one_of_which_fails(self, tmp_path):
        jobs = jobs_of([cell(), cell("lost", data=compose(data="folder").data)], [0], tmp_path, mapped=True)
        failures = run(jobs, Serial(slots=2, threads=1, device="cpu"), tmp_path)
        assert [failure.job.label for failure in failures] == ["lost step-10 seed 0"]
        assert "--data-dir: expected" in failures[0].error
        assert failures[0].log.read_text().count("srat: error") == 1
        assert jobs[0].finished
        assert len(json.loads(jobs[0].folder.map.read_text())["points"]) > 500

    def test_svhns_recipe_runs_on_files_of_its_layout(self, tmp_path):
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(1, 11), 30).astype(np.uint8)
        for part in ("train", "test"):
            images = rng.integers(0, 256, size=(32, 32, 3, len(labels)), dtype=np.uint8)
            scipy.io.savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": labels[:, None]})
        base = base_config("small", "svhn")
        base = replace(
            base,
            data=replace(base.data, dir=tmp_path, verify=False),
            model=Linear(),
            epochs=1,
            schedule=Steps(milestones=()),
            evaluation=replace(base.evaluation, steps=1),
        )
        cells = planned(recipe("table3"), base, ["srat-ldam", "step-10"])
        [job] = jobs_of(cells, [0], tmp_path / "runs", mapped=False)
        assert run([job], Serial(slots=1, threads=1, device="cpu"), tmp_path) == []
        assert Evaluation.read(job.folder.evaluation("last")).train_counts == (30,) * 5 + (13,) * 5  # ⌊30 / √5⌋

    def test_ctrl_c_saves_and_a_killed_grid_leaves_no_run_behind(self, tmp_path):
        words = (*GRID, "--filter", "ce", "--runs", tmp_path)
        for number in (signal.SIGINT, signal.SIGKILL):
            grid = srat(*words, process_group=0)
            deadline = time.monotonic() + 90
            while not list(tmp_path.glob("*/metrics.csv")) and time.monotonic() < deadline:
                time.sleep(0.02)
            [folder] = {path.parent for path in tmp_path.glob("*/checkpoints")}
            holder = int((folder / ".lock").read_text().split()[0])
            os.kill(grid.pid, number)
            said = grid.communicate(timeout=60)[0].decode()
            if number == signal.SIGINT:
                assert grid.returncode == 130
                assert "everything is saved; 'srat grid table1" in said
                (folder / "metrics.csv").unlink()
            deadline = time.monotonic() + 60
            while is_alive(holder) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not is_alive(holder)
            assert list((folder / "checkpoints").iterdir())
            assert not (folder / "evaluation.json").exists()


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class TestCommand:
    def test_all_finished_is_said_at_once(self, cli, tmp_path):
        for job in jobs_of(
            planned(recipe("table1"), base_config("small", "digits"), ["step-10"]), [0], tmp_path, mapped=False
        ):
            finish(job)
        code, out, _ = cli(*GRID, "--runs", tmp_path)
        assert code == 0
        assert "All 11 runs are finished" in out
        assert "srat report table1 --scale small --data digits --filter step-10" in out

    def test_failures_are_listed_with_exit_code_3(self, cli, tmp_path, monkeypatch):
        monkeypatch.setattr("srat.cli.commands.grid.Serial", lambda **_: Fake(codes={"natural step-100 seed 0": 2}))
        words = ("grid", "figure1", "--scale", "small", "--data", "digits", "--seeds", "1", "--runs", tmp_path)
        code, out, _ = cli(*words, "--device", "cpu")
        assert code == 3
        assert "Failed runs" in out
        assert "the disk is full" in out
        assert "1 of 2 runs failed" in out

    def test_data_that_are_not_there_are_told_once_before_any_run(self, cli, tmp_path):
        words = ("grid", "figure1", "--scale", "small", "--data-dir", tmp_path / "none", "--runs", tmp_path / "runs")
        code, out, err = cli(*words)
        assert code == 2
        assert out == ""
        assert err.count("\n") == 1
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["grid"], "expected a table or figure of the paper first, as in 'srat grid table1'"),
            (["grid", "table9"], "unknown recipe 'table9'"),
            (["grid", "table1", "--seeds", "0"], "--seeds: expected 1 or more"),
            (["grid", "table1", "--parallel", "0"], "--parallel: expected 1 or more"),
            (["grid", "table1", "--threads", "0"], "--threads: expected 1 or more"),
            (["grid", "table1", "--gpus-per-run", "-1"], "--gpus-per-run: expected 0 or more"),
            (["grid", "table1", "--retries", "-1"], "--retries: expected 0 or more"),
            (["grid", "table1", "--scale", "small", "--data", "cifar100"], "got 'cifar100'"),
            (["grid", "table1", "--data", "cifar11"], "unknown data set 'cifar11'"),
        ],
    )
    def test_mistakes_are_told_in_one_line(self, cli, words, error):
        code, _, err = cli(*words)
        assert code == 2
        assert error in err
        assert err.count("\n") == 1

    def test_distributions_need_no_training(self, cli, tmp_path):
        code, out, _ = cli("grid", "figure13", "--runs", tmp_path / "runs")
        assert code == 0
        assert "nothing to train" in out
        assert not (tmp_path / "runs").exists()


class TestOnRay:
    """`python tests/grid/ray_kills.py` kills more of them."""

    def test_a_killed_worker_costs_nothing(self):
        assert compared(kills=1, epochs=6, runs=1, first=0.0) == (1, [], [])

    def test_a_stop_saves_at_once_and_signals_stay_ours(self, tmp_path):
        before = signal.getsignal(signal.SIGTERM)
        executor = OnRay(address=None, cpus=1, gpus=0, retries=0, device="cpu")
        try:
            assert signal.getsignal(signal.SIGTERM) is before
            [job] = jobs_of([cell(epochs=100_000)], [0], tmp_path, mapped=False)
            job.prepare()
            handle = executor.start(job, tmp_path / "log")
            deadline = time.monotonic() + 120
            while not job.folder.metrics.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert handle.begun()
            handle.stop(signal.SIGTERM)
            deadline = time.monotonic() + 60
            while handle.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert handle.poll() not in (None, 0)
            assert "stopped by SIGTERM" in (tmp_path / "log").read_text()
        finally:
            executor.close()

    def test_more_than_the_cluster_has_is_refused(self, monkeypatch):
        for name, value in (("init", None), ("shutdown", None), ("cluster_resources", {"CPU": 2.0})):
            monkeypatch.setattr(f"ray.{name}", lambda *_, value=value, **__: value)
        with pytest.raises(UserError, match="`gpus_per_run` 0.5: the cluster has 0 GPUs in all"):
            OnRay(address=None, cpus=1, gpus=0.5, retries=0, device="cpu")
        with pytest.raises(UserError, match="`threads` 3: the cluster has 2 CPUs in all"):
            OnRay(address=None, cpus=3, gpus=0, retries=0, device="cpu")

    def test_an_address_without_a_cluster_is_refused(self, monkeypatch):
        def init(**_):
            raise ConnectionError("nobody there")

        monkeypatch.setattr("ray.init", init)
        with pytest.raises(UserError, match="`address` 127.0.0.1:1: no cluster there"):
            OnRay(address="127.0.0.1:1", cpus=1, gpus=0, retries=0, device="cpu")
