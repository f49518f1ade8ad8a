"""Grids of one's own: what words and files define, what is refused, and the table that comes of it."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from quick import quick, without_attack
from srat.cli.commands.grid import Arguments, Running, training_flags
from srat.cli.naming import kinds_of
from srat.cli.own_grids import is_own
from srat.cli.products import combinations, given
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.evaluation.comparison import leader
from srat.evaluation.counts import Counts
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.outcome import Outcome
from srat.evaluation.record import CLEAN, Evaluation, Result
from srat.grid.definition import Definition, Point, check_points, default_folder, defined, jobs_of_points
from srat.grid.estimate import Estimator
from srat.report.formats import formats, written
from srat.report.grids import collect_grid, notes_of, sheet_of
from srat.report.sheets import Sheet
from srat.runs.comparing import under_same_attack
from srat.runs.folder import RunFolder
from srat.statistics.paired import paired_difference

pytestmark = pytest.mark.usefixtures("forked")

TINY = without_attack(quick(model="linear"))
"""Of a run that trains in no time; no method and no attack is named."""


class TestWords:
    def combined(self, line):
        return [settings for settings, _ in combinations(given(shlex.split(line), training_flags()))]

    def test_every_combination_of_values(self):
        flags = given(shlex.split("--method ce drcb-ce --lr 0.1 0.05 --epochs 3"), training_flags())
        found = list(combinations(flags))
        assert [settings for settings, _ in found] == [
            {"method": method, "lr": lr} for method in ("ce", "drcb-ce") for lr in ("0.1", "0.05")
        ]
        assert found[1][1] == ["--method", "ce", "--lr", "0.05", "--epochs", "3"]

    def test_a_flag_given_again_and_its_other_name_are_further_values(self):
        assert self.combined("--lr 0.1 --optimizer.learning-rate=0.2 --learning-rate 0.3") == [
            {"lr": "0.1"},
            {"lr": "0.2"},
            {"lr": "0.3"},
        ]

    def test_a_list_is_one_value_and_a_switch_has_two_names(self):
        assert self.combined("--data.classes 1 2 --data.classes 3 4") == [
            {"data.classes": "1 2"},
            {"data.classes": "3 4"},
        ]
        assert self.combined("--data.classes 1 2") == [{}]
        assert self.combined("--sync-batch-norm --no-sync-batch-norm") == [
            {"sync-batch-norm": "yes"},
            {"sync-batch-norm": "no"},
        ]

    @pytest.mark.parametrize(
        ("line", "own"),
        [
            ("table1", False),
            ("--scale small table1", False),
            ("--data digits table1 --seeds 2", False),
            ("--seeds 3 field", False),
            ("--scale small", False),
            ("--seeds 3 --device cpu", False),
            ("tabel1", False),
            ("", False),
            ("--help", False),
            ("--method ce --seeds 2", True),
            ("--feature-loss separation none", True),
            ("--feature-loss none separation", True),
            ("--lr 0.1", True),
            ("--methd ce", True),
            ("mine.py", True),
            ("mine.py --seeds 2", True),
        ],
    )
    def test_which_grid_is_meant(self, line, own):
        flags = (training_flags(), kinds_of(Arguments()), kinds_of(Running()))
        assert is_own(shlex.split(line), *flags) is own


class TestCommand:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("--method ce drcb-cee", "method drcb-cee: unknown method 'drcb-cee', did you mean 'drcb-ce'?"),
            ("--methd ce drcb-ce", "unknown flag '--methd', did you mean '--method'?"),
            ("--lr 0.1 1e-1", "'lr 0.1' and 'lr 1e-1' are the same configuration; leave one of them out"),
            ("--lr 0.1 fast", "lr fast: --optimizer.learning-rate: expected a number, got 'fast'"),
            ("--method ce srat-ldam --loss.scale 10 20", "method ce, loss.scale 10: --loss.scale goes with --loss"),
            ("--method ce --seed 0 1 --seeds 3", "--seed and --seeds: expected the seeds or their number, got both"),
            ("--method ce --seed 1 1", "--seed: expected each seed once, got 1 1"),
            ("--method ce --seed a", "--seed: expected whole numbers, 0 or more, got 'a'"),
            ("--method ce --out a b", "--out: no setting of a run; each run has a folder of its own in --runs"),
            ("--method ce --logger csv", "--logger: no setting of a run; it says how, not what"),
            ("--method ce --seeds 0", "--seeds: expected 1 or more, got 0"),
            ("--method ce --evaluate nothing", "unknown attack 'nothing'"),
            ("--method ce --sync-batch-norm true", "--sync-batch-norm: expected no value, got 'true'"),
            ("--method", "--method: expected a value, got none"),
        ],
    )
    def test_what_is_refused(self, cli, tmp_path, line, said):
        code, _, err = cli("grid", *shlex.split(line), "--runs", tmp_path / "runs", "--list")
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
        assert not (tmp_path / "runs").exists()

    def test_a_list_has_all_runs_their_number_and_the_time(self, cli, tmp_path):
        words = (*TINY, "--method", "ce", "drcb-ce", "--seed", "0", "7", "--runs", tmp_path / "runs")
        code, out, err = cli("grid", *words, "--list")
        assert code == 0, err
        assert re.findall(r"method (\S+) seed (\d)", out) == [
            ("ce", "0"),
            ("drcb-ce", "0"),
            ("ce", "7"),
            ("drcb-ce", "7"),
        ]
        assert re.search(r"4 runs, 4 to do; about \d+ s on this machine, one after the other", out)
        assert not (tmp_path / "runs").exists()

    def test_a_recipe_has_a_list_too(self, cli, tmp_path):
        words = ("figure1", "--scale", "small", "--data", "digits", "--seeds", "2", "--runs", tmp_path, "--list")
        code, out, _ = cli("grid", *words, "--device", "cpu")
        assert code == 0
        assert "4 runs, 4 to do; about" in out

    def test_help_has_the_flags_of_the_grid_and_of_training(self, cli, capsys):
        with pytest.raises(SystemExit):
            cli("grid", "--method", "srat-focal", "ce", "--help")
        out = capsys.readouterr().out
        assert all(
            flag in out for flag in ("--seeds", "--evaluate", "--loss.gamma", "--optimizer.learning-rate", "--list")
        )


class TestAFile:
    def write(self, tmp_path, text):
        (tmp_path / "mine.py").write_text(f"import srat\nfrom dataclasses import replace\n{text}\n")
        return tmp_path / "mine.py"

    def test_names_configurations(self, cli, tmp_path):
        text = "GRID = {name: srat.compose(method=name, model='linear', epochs=1) for name in ('ce', 'drcb-ce')}"
        code, out, err = cli("grid", self.write(tmp_path, text), "--seeds", "1", "--runs", tmp_path / "r", "--list")
        assert code == 0, err
        assert re.findall(r"configuration (\S+) seed", out) == ["ce", "drcb-ce"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "mine.py: expected a GRID in it, configurations by name"),
            ("GRID = {}", "expected a GRID in it"),
            ("GRID = [srat.compose()]", "expected a GRID in it"),
            ("GRID = {'a': srat.compose(epoch=1)}", "line 3: cannot be run (UserError: unknown setting 'epoch'"),
            ("GRID = {'a': srat.compose(), 'b': srat.compose(seed=3)}", "'configuration a' and 'configuration b'"),
            (
                "class Mine(srat.losses.Loss, name='of-the-file'):\n    pass\nGRID = {'a': srat.compose(loss=Mine())}",
                "the loss of 'a' is defined here",
            ),
        ],
    )
    def test_what_is_refused(self, cli, tmp_path, text, said):
        code, _, err = cli("grid", self.write(tmp_path, text), "--runs", tmp_path / "r", "--list")
        assert code == 2
        assert said in err

    def test_takes_no_flags_of_training(self, cli, tmp_path):
        file = self.write(tmp_path, "GRID = {'a': srat.compose()}")
        assert "--lr does not go with a file" in cli("grid", file, "--lr", "0.1")[2]
        assert "expected one file" in cli("grid", file, file)[2]


def points(**changes):
    configs = {name: compose(method=name, model="linear", epochs=1) for name in ("ce", "drcb-ce")} | changes
    return [Point(settings={"method": name}, config=config) for name, config in configs.items()]


class TestDefinition:
    def test_is_read_as_it_was_written(self, tmp_path):
        grid = defined(points(), [0, 1], "srat grid …")
        grid.write(tmp_path)
        assert Definition.read(tmp_path) == grid
        assert grid.varies == ["method"]
        [first, _] = grid.rows
        assert first.runs == {str(seed): replace(points()[0].config, seed=seed).id for seed in (0, 1)}
        jobs = jobs_of_points(points(), [0, 1], tmp_path, [])
        assert [job.label for job in jobs] == [f"method {m} seed {s}" for s in (0, 1) for m in ("ce", "drcb-ce")]
        assert first.folders(tmp_path)[1] == jobs[2].folder

    def test_knows_the_seeds_of_before_and_loses_no_configuration(self, tmp_path):
        defined(points(), [0, 1], "a").write(tmp_path)
        more = defined(points(focal=compose(method="focal", model="linear")), [2], "b").beside(tmp_path)
        assert [sorted(row.runs) for row in more.rows] == [["0", "1", "2"], ["0", "1", "2"], ["2"]]
        with pytest.raises(UserError, match=r"`runs`: .* has a grid with 1 configuration more \(method drcb-ce\)"):
            defined(points()[:1], [0], "c").beside(tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "../../elsewhere"},
            {"runs": {"0": "/etc"}},
            {"runs": {"a": "0" * 12}},
            {"settings": {"other": "ce"}},
        ],
    )
    def test_a_strangers_file_leads_nowhere_else(self, tmp_path, change):
        grid = defined(points(), [0], "a")
        grid.write(tmp_path)
        content = json.loads((tmp_path / "grid.json").read_text())
        content["rows"][0] |= change
        (tmp_path / "grid.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match="not a readable grid"):
            Definition.read(tmp_path)

    def test_the_folder_is_named_after_what_varies(self):
        assert re.fullmatch(r"runs/digits-method-[0-9a-f]{6}", str(default_folder(points())))
        assert default_folder(points()) == default_folder(points()[::-1])
        assert default_folder(points()) != default_folder(points()[:1])

    def test_too_many_are_refused(self):
        with pytest.raises(UserError, match="at most 1,000 configurations, got 1,002"):
            check_points(points() * 501)


def test_the_estimate_is_that_of_passes_through_the_network():
    estimator = Estimator("cpu")
    one, twice = (compose(method="ce", model="linear", epochs=epochs) for epochs in (10, 20))
    first, second, half = estimator.seconds(one), estimator.seconds(twice), estimator.seconds(twice, 10)
    assert 0 < first < second
    assert half == pytest.approx(first)
    assert estimator.seconds(compose(data="cifar10", data_dir="/nowhere")) is None


def finished(point, runs, seed, right, images=60, epsilon=0.1):
    """Write what a finished run of two classes leaves, of which so many first images of each class are right."""
    config = replace(point.config, seed=seed)
    folder = RunFolder(runs / config.id)
    folder.path.mkdir(parents=True)
    folder.config.write_text(config.to_json())
    labels = torch.arange(images) % 2
    survived = torch.arange(images) // 2 < torch.tensor(right)[labels]
    outcome = Outcome(
        predicted=torch.where(survived, labels, 1 - labels),
        broken_at=torch.where(survived, -torch.ones_like(labels), torch.zeros_like(labels)),
    )
    examples = Examples(labels=labels, class_names=("a", "b"), test="t", weights="w")
    for name, attack in {CLEAN: {"name": "natural"}, "pgd-20": {"name": "pgd", "epsilon": epsilon}}.items():
        examples = examples.with_outcome(name, outcome, Origin(attack=attack, seed=0, budget=""))
    examples.write(folder.examples("last"))
    evaluation = Evaluation(class_names=("a", "b"), train_counts=(9, 3), results=examples.results())
    folder.evaluation("last").write_text(evaluation.to_json())
    return survived.numpy()


class TestTable:
    def make(self, tmp_path, right, seeds=(0, 1, 2), **options):
        there = points()
        defined(there, seeds, "srat grid --method ce drcb-ce").write(tmp_path)
        return {
            (row, seed): finished(point, tmp_path, seed, right(row, seed), **options)
            for row, point in enumerate(there)
            for seed in seeds
        }

    def test_has_means_and_deviations_by_hand(self, tmp_path):
        survived = self.make(tmp_path, lambda row, seed: (20 + row + seed, 10 + 2 * seed))
        sheet = sheet_of(collect_grid(tmp_path))
        assert sheet.headings == [
            "method",
            *(f"{r}, {s}" for r in ("clean", "pgd-20") for s in ("all", "common", "rare")),
        ]
        every = np.array([survived[0, seed].mean() for seed in range(3)])
        assert sheet.rows[0][:2] == ["ce", f"{100 * every.mean():.1f} ± {100 * every.std(ddof=1):.1f}"]
        rare = np.array([survived[1, seed][1::2].mean() for seed in range(3)])
        assert sheet.rows[1][3] == f"{100 * rare.mean():.1f} ± {100 * rare.std(ddof=1):.1f}"

    def test_a_best_value_is_bold_where_the_difference_is_real(self, tmp_path):
        survived = self.make(tmp_path, lambda row, seed: (28 - 24 * row, 15 + row), seeds=(0, 1, 2, 3))
        outcome = collect_grid(tmp_path)
        sheet = sheet_of(outcome)
        assert {column for row, column in sheet.best if row == 0} >= {2, 5}  # the common classes: 28 of 30 against 4
        assert not {column for _, column in sheet.best} & {3, 6}  # the rare ones: 15 against 16
        assert "Bold: above every other row" in sheet.note
        assert "corrected for all 6 columns (Holm)" in sheet.note
        first, second = (np.stack([survived[row, seed] for seed in range(4)]) for row in (0, 1))
        raw = paired_difference(second, first).p
        assert raw <= outcome.tested["clean", "all"][0] <= 6 * raw

    def test_one_line_says_that_nothing_is_told_apart(self, tmp_path):
        self.make(tmp_path, lambda row, seed: (15 + row, 15), seeds=(0,))
        outcome = collect_grid(tmp_path)
        sheet = sheet_of(outcome)
        assert sheet.best == frozenset()
        assert "No best value is told from the others" in sheet.note
        assert "One model of each" in sheet.note
        assert sheet.rows[0][1] == "50.0"

    def test_results_under_different_attacks_are_shown_and_not_compared(self, tmp_path):
        there = points()
        defined(there, [0], "srat grid").write(tmp_path)
        for row, point in enumerate(there):
            finished(point, tmp_path, 0, (30 - 25 * row, 30), epsilon=0.1 * (row + 1))
        outcome = collect_grid(tmp_path)
        assert {name for name, _ in outcome.tested} == {"clean"}
        assert sheet_of(outcome).rows[1][1] != "–"

    def test_what_is_missing_or_damaged_is_said(self, tmp_path):
        self.make(tmp_path, lambda row, seed: (20, 20))
        lost = RunFolder(tmp_path / replace(points()[1].config, seed=2).id)
        lost.evaluation("last").unlink()
        hurt = RunFolder(tmp_path / replace(points()[0].config, seed=1).id)
        hurt.examples("last").write_bytes(b"")
        outcome = collect_grid(tmp_path)
        assert "0 to 1" not in outcome.title
        said = notes_of(outcome)
        assert "1 run is missing (method drcb-ce seed 2): 'srat grid --method ce drcb-ce' makes them" in said
        assert any(line.startswith("not compared image by image:") for line in said)
        assert "2 to 3 seeds" in outcome.title

    def test_nothing_finished_is_a_line(self, tmp_path):
        defined(points(), [0], "srat grid --method ce").write(tmp_path)
        with pytest.raises(UserError, match="no finished run of the grid .*'srat grid --method ce' makes them"):
            collect_grid(tmp_path)

    @pytest.mark.parametrize("name", ["csv", "json", "latex", "markdown"])
    def test_every_format_from_the_command_line(self, cli, tmp_path, name):
        self.make(tmp_path, lambda row, seed: (28 - 24 * row, 15 + seed))
        code, out, err = cli("report", tmp_path, "--format", name, "--out", tmp_path / "out")
        assert code == 0, err
        ending = {"latex": "tex", "markdown": "md"}.get(name, name)
        assert (tmp_path / "out" / f"table.{ending}").read_text() == out
        assert "paper" not in out

    def test_the_files_numbers_are_those_of_the_table(self, cli, tmp_path):
        self.make(tmp_path, lambda row, seed: (28 - 24 * row, 15 + seed))
        rows = list(csv.DictReader(io.StringIO(cli("report", tmp_path, "--format", "csv")[1])))
        assert len(rows) == 12
        same = json.loads(cli("report", tmp_path, "--format", "json")[1])
        assert [float(row["percent"]) for row in rows] == [row["percent"] for row in same]
        assert same[0]["best"] is True or same[1]["best"] is True
        text = cli("report", tmp_path)[1]
        assert f"{same[0]['percent']:.1f} ± {same[0]['sd']:.1f}" in text
        assert "Written: " in text

    def test_an_unknown_format_is_a_line(self, cli, tmp_path):
        self.make(tmp_path, lambda row, seed: (20, 20), seeds=(0,))
        code, _, err = cli("report", tmp_path, "--format", "latx")
        assert (code, "unknown format 'latx', did you mean 'latex'?" in err) == (2, True)


def test_worst_cases_over_other_attacks_are_not_alike():
    counts = Counts(correct=(1, 1), total=(2, 2))

    def of(epsilon):
        attacks = {"pgd-20": {"name": "pgd", "epsilon": epsilon}, "worst-case": {"name": "worst", "of": ["pgd-20"]}}
        return {name: Result(counts=counts, attack=attack) for name, attack in attacks.items()}

    assert under_same_attack("worst-case", [of(0.1), of(0.1)])
    assert not under_same_attack("worst-case", [of(0.1), of(0.2)])
    assert not under_same_attack("fgsm", [of(0.1), of(0.1)])


def test_the_leader_is_better_than_each():
    rng = np.random.default_rng(0)
    images = rng.random((3, 400))
    low, middle, high = (images < level for level in (0.3, 0.5, 0.9))
    found = leader([low, high, middle])
    assert found.place == 1
    assert found.p == max(paired_difference(low, high).p, paired_difference(middle, high).p)
    assert leader([middle, middle]).p == 1.0


def parsed(latex):
    """The cells of the only table in LaTeX, which is looked at as LaTeX does: groups, environments, columns."""
    body = re.sub(r"(?<!\\)%.*", "", latex)
    assert body.count("{") == body.count("}")
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    [(columns, inner)] = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", body, re.DOTALL)
    lines = [line for line in re.sub(r"\\(top|mid|bottom)rule", "", inner).split(r"\\") if line.strip()]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in lines]
    assert {len(line) for line in cells} == {len(columns)}
    for cell in (cell for line in cells for cell in line):
        bare = re.sub(r"\$[^$]*\$|\\[a-zA-Z]+(\{\})?|\\.", "", cell)
        assert not re.search(r"[#$%&_~^]", bare), cell
    return cells


def test_latex_of_strange_names_is_latex():
    sheet = Sheet(
        title="50 % & more_",
        headings=["[a]", "x^2", "±"],
        rows=[["*b_c", "1.0 ± 0.1", "#{}"]],
        best=frozenset({(0, 1)}),
    )
    cells = parsed(written([sheet], "latex"))
    assert cells[1][1] == r"\textbf{1.0} $\pm$ 0.1"
    assert cells[0][0].startswith("{}[")
    assert formats() == ["text", "csv", "json", "latex", "markdown"]


PLUGIN = """
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from srat.attacks import Attack
from srat.losses import Loss


@dataclass(frozen=True, kw_only=True)
class Brier(Loss, name="brier"):
    def __call__(self, logits, labels, class_counts):
        return (logits.softmax(dim=1) - F.one_hot(labels, logits.shape[1])).square().sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class Nudge(Attack, name="nudge"):
    norm: str = "linf"
    epsilon: float = 0.1

    def perturb(self, loss_at, images, *, generator, scale=None):
        (gradient,) = torch.autograd.grad(loss_at(images.requires_grad_()).sum(), images)
        return (images + self.epsilon * gradient.sign()).clamp(0, 1).detach()
"""


@pytest.mark.usefixtures("short_autoattack")
def test_a_researchers_afternoon(tmp_path, cli):
    """A loss and an attack of one's own, two methods, two seeds, a table for the paper, and AutoAttack."""
    (tmp_path / "mine.py").write_text(PLUGIN)

    def srat(*words):
        command = [sys.executable, "-m", "srat", *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return done.stdout

    methods = ("--method", "ce", "drcb-ce", "--loss", "brier", "--attack", "nudge")
    grid = ("grid", "--plugin", "mine.py", *TINY, *methods, "--seeds", "2", "--runs", "mine")
    assert "All 4 runs are finished; 'srat report mine' shows them" in srat(*grid, "--parallel", "1")
    assert "4 runs, 0 to do" in srat(*grid, "--list")
    mine = tmp_path / "mine"
    cells = parsed(cli("report", mine, "--format", "latex")[1])  # which needs the plugin no more, as what follows
    assert [line[0] for line in cells] == ["method", "ce", "drcb-ce"]
    assert "clean, rare" in cells[0]
    assert all("pm" in cell for line in cells[1:] for cell in line[1:])
    runs = Definition.read(mine).rows
    for row in runs:
        environment = json.loads((mine / row.runs["1"] / "environment.json").read_text())
        assert list(environment["plugins"]) == [str(tmp_path / "mine.py")]
    run = mine / runs[0].runs["0"]
    assert cli("evaluate", run, "--attack", "autoattack", "--images", "10", "--device", "cpu")[0] == 0
    found = json.loads((run / "evaluation-10.json").read_text())["results"]
    assert any(name.startswith("autoattack") for name in found)
    text = cli("compare", *(mine / row.runs[seed] for row in runs for seed in ("0", "1")), "--format", "latex")[1]
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") > 0
    (tmp_path / "mine.py").write_text(PLUGIN + "\n# changed\n")
    said = " ".join(srat(*grid, "--list").split())
    assert f"4 finished runs were trained before '{tmp_path / 'mine.py'}' changed" in said
