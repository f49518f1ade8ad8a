"""Reports of recipes: numbers by hand, files that can be read again, and claims that can fail."""

import csv
import functools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import scipy.stats
from matplotlib.container import BarContainer

from srat.config.config import Config
from srat.core.errors import UserError
from srat.data.sources.cifar10 import Cifar10
from srat.evaluation.counts import Counts
from srat.evaluation.feature_map import FeatureMap, on_a_plane
from srat.evaluation.record import CLEAN, WORST, Evaluation, Result
from srat.grid.plan import jobs_of, planned
from srat.recipes.base import PaperValue
from srat.recipes.catalogue import recipe
from srat.recipes.scales import base_config
from srat.report.formats import written
from srat.report.paper import classes, features, frontier, sweep
from srat.report.paper.outcome import collect
from srat.report.paper.page import make_page
from srat.report.plots import house_style, power_of_ten
from srat.report.sheets import Sheet, accuracy_text
from srat.statistics.intervals import Mean, mean_of_counts, p_of, wilson
from srat.statistics.searching import LEAST_P

NAMES = tuple("$x$" if c == 3 else f"class {c}" for c in range(10))
TRAIN = (100,) * 5 + (10,) * 5


def finished(job, standard, robust, images=200, classes=10, worst=None):
    """Write a finished run: of each class so many of 200 test images right, and so many in the worst case."""
    job.prepare()
    total = (images,) * classes
    results = {
        name: Result(counts=Counts(correct=tuple(correct), total=total), attack={"name": name})
        for name, correct in ((CLEAN, standard), (job.config.evaluation.label, robust))
    }
    if worst is not None:
        several = {"name": WORST, "of": [job.config.evaluation.label, "pgd-margin-20"]}
        results[WORST] = Result(counts=Counts(correct=tuple(worst), total=total), attack=several)
    train = TRAIN if classes == 10 else (100, 1)
    evaluation = Evaluation(class_names=NAMES[:classes], train_counts=train, results=results)
    job.folder.evaluation("last").write_text(evaluation.to_json())


def mapped(job, purity):
    numbers = {"value": purity, "low": purity - 0.02, "high": purity + 0.02}
    scopes = [
        {"scope": scope, "is_class": False, "fisher": numbers, "silhouette": numbers, "purity": numbers}
        for scope in ("overall", "well-represented", "under-represented")
    ]
    points = tuple((float(n), float(n % 7)) for n in range(40))
    map_ = FeatureMap(
        class_names=("$a$", "b<i>"),
        labels=tuple(n % 2 for n in range(40)),
        points=points,
        separability=tuple(scopes),
        made_with={},
    )
    job.folder.map.write_text(map_.to_json())


id_of = functools.cache(Config.id.fget)


@pytest.fixture(scope="module", autouse=True)
def _few_seeds_and_each_id_once():
    """Each seed that is looked for has the id of each cell worked out, several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("srat.report.paper.outcome.MOST_SEEDS", 4)
        patch.setattr(Config, "id", property(id_of))
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Of a page the texts are written alone: to draw its figure takes longer than all else."""
    monkeypatch.setattr("srat.report.paper.page.draw", lambda images, make: None)


def cells_of(name, data="digits", scale="small", filters=()):
    return planned(recipe(name), base_config(scale, data), filters)


def outcome_of(name, tmp_path, data="digits", scale="small", filters=()):
    return collect(name, recipe(name), cells_of(name, data, scale, filters), tmp_path, scale=scale)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Table 1's Step-100 of three seeds, one method of which is missing; SRAT's rare classes are the best."""
    folder = tmp_path_factory.mktemp("table1")
    cells = cells_of("table1", filters=["step-100"])
    for place, cell in enumerate(cells):
        for seed, job in enumerate(jobs_of([cell], range(3), folder, mapped=False)):
            if cell.row != "focal":
                finished(job, [160 - seed] * 5 + [10 * place] * 5, [120] * 5 + [8 * place + seed] * 5)
    return outcome_of("table1", folder, filters=["step-100"])


@pytest.fixture(scope="module")
def page(table):
    return make_page(table)


class TestNumbers:
    def test_are_the_means_over_the_seeds_by_hand(self, table):
        place = table.rows.index("drcb-ce")
        found = table.accuracy("drcb-ce", "step-100", "robust", "under")
        accuracies = [(8 * place + seed) / 200 for seed in range(3)]
        assert found.accuracy == pytest.approx(np.mean(accuracies))
        assert found.spread == pytest.approx(np.std(accuracies, ddof=1))
        assert found == mean_of_counts([5 * (8 * place + seed) for seed in range(3)], 1_000)
        overall = table.accuracy("drcb-ce", "step-100", "standard", "overall")
        assert overall.accuracy == pytest.approx(np.mean([(160 - seed + 10 * place) / 400 for seed in range(3)]))

    def test_what_is_missing_is_said(self, table, page):
        assert table.missing == ["focal step-100"]
        assert table.seeds == (3, 3)
        assert table.accuracy("focal", "step-100", "robust", "under") is None
        assert "| focal | – |" in written(page.sheets[:1], "markdown")

    def test_claims_are_differences_of_these_numbers(self, page):
        rows = {row[0]: row for row in page.claims.rows}
        row = rows["step-100: SRAT-LDAM above DRCB-LDAM on rare classes under attack"]
        assert row[1].startswith("+12.0 [")
        assert row[2] == f"{18.89 - 16.25:+.1f}"
        assert row[4] == "shows"
        # Of the method that is missing nothing is said.
        assert not any("above FOCAL" in text for text in rows)

    def test_a_claims_p_is_that_at_which_its_interval_ends_at_no_difference(self, table):
        for claim in table.recipe.claims(table.cells):
            if (sums := table.sums_of(claim.terms)) is not None:
                p = p_of(sums)
                ends = sums(p)
                assert LEAST_P < p < 1
                assert min(abs(ends.low), abs(ends.high)) < 1e-6
                assert sums(p / 2).low < ends.low < ends.value < ends.high

    def test_ranks_are_scipys(self, table, page):
        sheet = page.sheets[-1]
        there = [row for row in table.rows if row != "focal"]
        papers = [table.paper(row, "step-100", "robust", "under") for row in there]
        expected = scipy.stats.kendalltau(range(len(there)), papers).statistic
        row = next(row for row in sheet.rows if row[0] == "step-100, robust, under")
        assert float(row[1]) == pytest.approx(expected, abs=0.005)
        assert row[3] == "10"

    def test_agreement_is_marked_where_data_and_scale_are_the_papers_alone(self, page, tmp_path):
        assert "≈" not in written(page.sheets, "markdown")
        cells = cells_of("table1", data="cifar10", scale="paper", filters=["ce", "step-100"])
        for job in jobs_of(cells, range(2), tmp_path, mapped=False):
            # The paper has 47.29, 9.03, 30.39 and 1.62 %.
            finished(job, [860] * 5 + [90] * 5, [700] * 5 + [16] * 5, images=1_000)
        [sheet] = make_page(outcome_of("table1", tmp_path, "cifar10", "paper", ["ce", "step-100"])).sheets
        assert sheet.rows[0][2::2] == ["47.29 ≈", "9.03 ≈", "30.39", "1.62 ≈"]


@pytest.mark.parametrize("seed", range(20))
def test_the_frontier_by_loops(seed):
    numbers = np.random.default_rng(seed)
    points = {str(n): frontier.Point(*(float(x) for x in numbers.integers(0, 6, 2))) for n in range(12)}
    found = frontier.frontier(points)
    for name, point in points.items():
        above = [p for p in points.values() if p.cost <= point.cost and p.accuracy > point.accuracy]
        assert (name in found) == (not above)
    costs = [points[name].cost for name in found]
    assert costs == sorted(costs)


def test_the_cheapest_comes_first_and_what_is_ahead_has_a_star(tmp_path):
    cells = [cell for cell in cells_of("frontier") if cell.column == "step-100"]
    right = {"fast-at": 40, "ce": 60, "bsl": 90, "trades": 70}
    for cell in cells:
        if cell.row in right:
            (job,) = jobs_of([cell], range(1), tmp_path, mapped=False)
            worst = [right[cell.row]] * 5 + [10] * 5
            finished(job, [150] * 10, [right[cell.row] + 1] * 5 + [100] * 5, worst=worst)
    outcome = outcome_of("frontier", tmp_path)
    (sheet,) = frontier.sheets(outcome)
    assert [row[0] for row in sheet.rows] == ["fast-at", "bsl", "ce", "trades"]
    assert [float(row[1]) for row in sheet.rows] == pytest.approx([10 * 5 / 23, 10, 10, 10 * 27 / 23], abs=0.05)
    assert [row[2].endswith("★") for row in sheet.rows] == [True, True, False, False]
    assert [row[3].endswith("★") for row in sheet.rows] == [True] * 4  # of ties all
    with house_style():
        drawn = frontier.figure(outcome)
    assert [text.get_text() for text in drawn.axes[0].texts] == ["fast-at", "bsl"]


def test_the_worst_case_is_that_of_the_recipes_attacks(tmp_path):
    ce, bsl = (cell for cell in cells_of("ladder", filters=["exp-100"]) if cell.row in ("ce", "balanced softmax"))
    others = []
    for cell, seeds in ((ce, 2), (bsl, 2)):
        jobs = jobs_of([cell], range(seeds), tmp_path, mapped=False)
        for job in jobs:
            finished(job, [150] * 10, [90] * 10, worst=[80 if cell is ce else 60] * 10)
        others.append(jobs[1])
    outcome = outcome_of("ladder", tmp_path)
    assert outcome.accuracy(ce.row, "exp-100", "worst", "overall").accuracy == 0.4
    (claim,) = (
        c for c in recipe("ladder").claims(outcome.cells) if c.text.startswith("exp-100: balanced softmax above")
    )
    assert outcome.sums_of(claim.terms)(0.05).value == pytest.approx(-0.1)
    sheet = make_page(outcome).sheets[0]
    assert sheet.headings[-2:] == ["worst, overall", "worst, under"]
    assert "that no attack breaks (pgd-20, pgd-margin-20)" in sheet.note
    # Of other attacks, or of one alone, it is another number.
    evaluation = Evaluation.read(others[1].folder.evaluation("last"))
    worst = evaluation.results[WORST]
    named = replace(worst, attack={"name": WORST, "of": ["pgd-20", "pgd-margin-20", "fgsm"]})
    for changed in ({WORST: named}, {}):
        results = {name: result for name, result in evaluation.results.items() if name != WORST} | changed
        others[1].folder.evaluation("last").write_text(replace(evaluation, results=results).to_json())
        outcome = outcome_of("ladder", tmp_path)
        assert outcome.accuracy(bsl.row, "exp-100", "worst", "overall") is None
        assert outcome.accuracy(bsl.row, "exp-100", "robust", "overall").accuracy == 0.45
        assert outcome.sums_of(claim.terms) is None


def test_agreement_counts_the_images_and_the_seeds_of_both(tmp_path):
    cells = cells_of("table1", data="cifar10", scale="paper", filters=["ce", "step-100"])
    for place, job in enumerate(jobs_of(cells, range(3), tmp_path, mapped=False)):
        finished(job, [800] * 5 + [80 + 10 * place] * 5, [700] * 5 + [16] * 5, images=1_000)
    outcome = outcome_of("table1", tmp_path, "cifar10", "paper", ["ce", "step-100"])
    ours = outcome.accuracy("ce", "step-100", "standard", "under")
    assert (ours.accuracy, ours.spread) == (pytest.approx(0.09), pytest.approx(0.01))
    for distance, expected in ((0.051, True), (0.055, False)):  # √((t s/√3)² + (t s)² + 2 · (z √(p (1 − p)/5,000))²)
        papers = PaperValue(row="ce", column="step-100", metric="standard", scope="under", accuracy=0.09 + distance)
        moved = replace(outcome, recipe=replace(outcome.recipe, paper=(papers,)))
        assert moved.agrees("ce", "step-100", "standard", "under") is expected
    [job, *_] = jobs_of(cells, [0], tmp_path / "one", mapped=False)
    finished(job, [800] * 5 + [90] * 5, [700] * 5 + [16] * 5, images=1_000)
    alone = outcome_of("table1", tmp_path / "one", "cifar10", "paper", ["ce", "step-100"])
    assert alone.agrees("ce", "step-100", "standard", "under") is None


def test_claims_hold_do_not_hold_or_cannot_be_told(tmp_path):
    for better, verdict in ((40, "shows"), (-40, "is the reverse"), (1, "cannot be told")):
        runs = tmp_path / verdict
        natural, adversarial = (jobs_of([cell], [0], runs, mapped=False)[0] for cell in cells_of("figure1"))
        finished(natural, [180] * 5 + [100 + better] * 5, [0] * 10)
        finished(adversarial, [180] * 5 + [100] * 5, [0] * 10)
        rows = make_page(outcome_of("figure1", runs)).claims.rows
        assert [row[-1] for row in rows] == [verdict, verdict, "cannot be told"]


@pytest.fixture(scope="module")
def files(page, tmp_path_factory):
    return {path.suffix: path for path in page.write(tmp_path_factory.mktemp("out"), "Of & about_it.")}


class TestFiles:
    def test_are_all_there_and_equal_each_time(self, files, table, tmp_path):
        assert sorted(files) == [".csv", ".md", ".png", ".svg", ".tex"]
        again = make_page(table).write(tmp_path / "again", "Of & about_it.")
        assert [path.read_bytes() for path in again] == [files[path.suffix].read_bytes() for path in again]

    def test_csv_has_every_number(self, files, table):
        rows = list(csv.DictReader(files[".csv"].read_text().splitlines()))
        assert len(rows) == 10 * 2 * 3
        row = next(r for r in rows if (r["row"], r["metric"], r["scope"]) == ("srat-ldam", "robust", "under"))
        found = table.accuracy("srat-ldam", "step-100", "robust", "under")
        numbers = [float(row[name]) / 100 for name in ("percent", "low", "high", "sd")]
        assert numbers == pytest.approx([found.accuracy, found.low, found.high, found.spread], abs=6e-5)
        assert (row["seeds"], row["paper"], row["agrees"]) == ("3", "18.89", "")

    def test_markdown_has_whole_tables(self, files):
        tables = re.findall(r"(?:^\|.*\|\n)+", files[".md"].read_text(), re.MULTILINE)
        assert len(tables) == 3
        for text in tables:
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}) == 1

    def test_latex_has_no_bare_special_character(self, files):
        text = files[".tex"].read_text()
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
        assert text.isascii()
        body = re.sub(r"^%.*$|\\[a-z]+|\\.", "", text, flags=re.MULTILINE)
        assert not re.search(r"[%#_~^]", body)
        for line in text.splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) in (3, 4, 8)


@pytest.mark.parametrize("name", ["figure1", "figure2", "figure5", "figure6", "table2"])
def test_a_page_is_made_of_the_little_that_is_there(name, tmp_path, monkeypatch):
    monkeypatch.setattr("srat.report.paper.outcome.MOST_SEEDS", 1)
    data = "fashion-mnist" if name == "figure2" else "digits"
    cells = cells_of(name, data)
    classes = 2 if name == "figure2" else 10
    half = classes // 2
    there = cells[: min(12, len(cells) // 2)]
    for cell in there:
        finished(
            *jobs_of([cell], [0], tmp_path, mapped=False), [150] * half + [50] * half, [90] * classes, classes=classes
        )
    outcome = outcome_of(name, tmp_path, data)
    assert len(outcome.missing) == len(cells) - len(there)
    files = make_page(outcome).write(tmp_path / "out", "")
    assert all(path.stat().st_size > 100 for path in files)
    assert "<dc:date>" not in files[0].read_text()


def test_the_share_of_anchors_with_a_positive_is_shown_where_it_is_studied(tmp_path):
    for cell in cells_of("separation", "digits", filters=["λ = *"]):
        [job] = jobs_of([cell], [0], tmp_path, mapped=False)
        finished(job, [150] * 5 + [50] * 5, [90] * 10)
        job.folder.metrics.write_text("epoch,under_anchors_without_positive\n0,0.8\n1,0.6\n")
    sheet = make_page(outcome_of("separation", tmp_path, filters=["λ = *"])).sheets[0]
    shares = {row[0]: row[-1] for row in sheet.rows}
    assert sheet.headings[-1] == "rare anchors with a positive"
    assert shares["λ = 0.1"] == "30"
    assert shares["λ = 0"] == "–"


class TestIntervalsAreDrawn:
    def test_on_bars(self, tmp_path):
        for cell in cells_of("figure1"):
            finished(*jobs_of([cell], [0], tmp_path, mapped=False), [150] * 5 + [50] * 5, [90] * 10)
        outcome = outcome_of("figure1", tmp_path)
        with house_style():
            axes = classes.figure(outcome).axes[0]
        [bars] = [container for container in axes.containers if isinstance(container, BarContainer)]
        [lines] = bars.errorbar.lines[2]
        low, high = (100 * end for end in wilson(150, 200)[1:])
        assert lines.get_segments()[0][:, 1] == pytest.approx([low, high])

    def test_on_curves(self, tmp_path):
        for cell in cells_of("figure5", filters=["srat-ldam"]):
            finished(*jobs_of([cell], [0], tmp_path, mapped=False), [150] * 5 + [50] * 5, [90] * 10)
        outcome = outcome_of("figure5", tmp_path, filters=["srat-ldam"])
        with house_style():
            axes = sweep.figure(outcome).axes[0]
        under = axes.containers[1]
        [lines] = under.lines[2]
        low, high = (100 * end for end in wilson(250, 1_000)[1:])
        assert [segment[:, 1].tolist() for segment in lines.get_segments()] == [pytest.approx([low, high])] * 6
        assert under.lines[0].get_xdata().tolist() == [10, 50, 78, 100, 150, 200]


class TestMaps:
    def test_purity_is_compared(self, tmp_path):
        for cell, purity in zip(cells_of("figure3", "fashion-mnist"), (0.9, 0.7), strict=True):
            for seed, job in enumerate(jobs_of([cell], range(2), tmp_path, mapped=True)):
                finished(job, [150, 50], [90, 20], classes=2)
                mapped(job, purity + 0.01 * seed)
        outcome = outcome_of("figure3", tmp_path, "fashion-mnist")
        found = outcome.accuracy("natural", "1", "purity", "overall")
        assert found.accuracy == pytest.approx(0.905)
        # The map's own 0.02, and Student's of two seeds.
        by_seed = 12.706 * np.std([0.90, 0.91], ddof=1) / 2**0.5
        assert found.low == pytest.approx(0.905 - (0.02**2 + by_seed**2) ** 0.5, abs=1e-4)
        page = make_page(outcome)
        assert page.claims.rows[0][1].startswith("+20.0")
        files = page.write(tmp_path / "out", "")
        assert "b&lt;i&gt;" in files[0].read_text()
        assert files[0].suffix == ".svg"

    def test_no_two_classes_have_the_same_mark(self):
        assert len({features.mark_of(c) for c in range(64)}) == 64

    def test_without_maps_there_is_nothing_to_show(self, cli, tmp_path):
        for cell in cells_of("figure4", filters=["ce"]):
            finished(*jobs_of([cell], [0], tmp_path, mapped=True), [150] * 5 + [50] * 5, [90] * 10)
        code, _, err = cli("report", "figure4", "--scale", "small", "--data", "digits", "--runs", tmp_path)
        assert code == 2
        assert "no finished run of figure4" in err

    def test_reading_refuses_what_is_no_map(self, tmp_path):
        good = {
            "class_names": ["a", "b"],
            "labels": [0, 1],
            "points": [[0, 0], [1, 1]],
            "separability": [],
            "made_with": {},
        }
        path = tmp_path / "map.json"
        for change in (
            {"labels": [0]},
            {"labels": [0, 2]},
            {"labels": [0, "1"]},
            {"points": [[0, 0], [1]]},
            {"points": 3},
        ):
            path.write_text(json.dumps(good | change))
            with pytest.raises(UserError, match="not a readable map"):
                FeatureMap.read(path)
        path.write_text(json.dumps(good))
        assert FeatureMap.read(path).points == ((0.0, 0.0), (1.0, 1.0))

    def test_neighbours_stay_neighbours_on_a_plane(self):
        rng = np.random.default_rng(0)
        features = rng.normal(size=(60, 8)) + np.repeat(np.eye(3, 8) * 30, 20, axis=0)
        points = np.array(on_a_plane(features, seed=0))
        assert points.tolist() == np.array(on_a_plane(features, seed=0)).tolist()
        centers = points.reshape(3, 20, 2).mean(axis=1)
        nearest = np.linalg.norm(points[:, None] - centers, axis=2).argmin(axis=1)
        assert nearest.tolist() == np.repeat(range(3), 20).tolist()


class TestDistributions:
    def test_counts_are_the_papers(self, tmp_path, monkeypatch):
        class Hollow:
            counts, class_names = (5_000,) * 10, NAMES

        monkeypatch.setattr(Cifar10, "train", lambda _: Hollow)
        page = make_page(outcome_of("figure13", tmp_path, "cifar10", "paper"))
        rows = {row[0]: row[1:] for row in page.sheets[0].rows}
        assert rows["in all"] == ["25,250", "27,500", "12,406", "20,431"]
        assert rows["$x$"] == ["5,000", "5,000", "1,077", "2,320"]
        files = page.write(tmp_path / "out", "")
        assert "$x$" in files[0].read_text()  # a name, no formula


def test_svhns_counts_are_those_of_its_file(tmp_path):
    """A made-up .mat of SVHN's layout, with its training counts a tenth."""
    counts = (494, 1386, 1058, 849, 745, 688, 572, 559, 504, 465)
    labels = np.repeat([10, *range(1, 10)], counts)
    images = np.zeros((32, 32, 3, len(labels)), np.uint8)
    scipy.io.savemat(tmp_path / "train_32x32.mat", {"X": images, "y": labels[:, None].astype(np.uint8)})
    base = base_config("paper", "svhn")
    base = replace(base, data=replace(base.data, dir=tmp_path, verify=False))
    cells = planned(recipe("figure14"), base)
    sheet = make_page(collect("figure14", recipe("figure14"), cells, tmp_path, scale="paper")).sheets[0]
    assert sheet.headings[1:] == ["step-100", "step-10", "exp-100", "exp-10"]
    assert sheet.rows[1][1:] == ["1,386", "1,386", "830", "1,073"]  # ⌊1,386 · K^(−1/9)⌋
    assert sheet.rows[9][1:] == ["4", "46", "4", "46"]
    assert sheet.rows[-1][1:3] == ["346.5 : 1", "30.1 : 1"]


def test_exp_100_of_svhn_is_181_to_1():
    counts = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
    [cell] = [cell for cell in cells_of("figure14", "svhn", "paper") if cell.column == "exp-100"]
    kept = cell.config.imbalance.counts(counts, seed=0)
    assert max(kept) / min(kept) == pytest.approx(180.6, abs=0.05)


class TestCommand:
    @pytest.mark.parametrize(
        ("data", "said"),
        [("cifar10", "cifar10, a ratio of 5 for the paper's 100, small-cnn"), ("digits", "digits, small")],
    )
    def test_a_ratio_that_is_scaled_down_is_said(self, data, said, cli, tmp_path, undrawn):
        for cell in cells_of("figure1", data):
            finished(*jobs_of([cell], [0], tmp_path / "runs", mapped=False), [150] * 5 + [50] * 5, [90] * 10)
        words = ("--scale", "small", "--data", data, "--runs", tmp_path / "runs", "--out", tmp_path / "out")
        assert cli("report", "figure1", *words)[0] == 0
        assert said in (tmp_path / "out" / "figure1.md").read_text()

    @pytest.mark.parametrize(
        ("precisions", "said"),
        [
            (("fp32", "fp32"), "30 epochs, ε"),
            (("bf16", "bf16"), "epochs in bf16, ε"),
            (("fp32", "bf16"), "epochs in bf16 and fp32, ε"),
        ],
    )
    def test_what_runs_computed_in_is_said_where_it_is_not_fp32(self, precisions, said, cli, tmp_path, undrawn):
        for precision, cell in zip(precisions, cells_of("figure1", "cifar10"), strict=True):
            own = replace(cell, config=replace(cell.config, precision=precision))
            finished(*jobs_of([own], [0], tmp_path / "runs", mapped=False), [150] * 5 + [50] * 5, [90] * 10)
        words = ("--scale", "small", "--data", "cifar10", "--runs", tmp_path / "runs", "--out", tmp_path / "out")
        assert cli("report", "figure1", *words)[0] == 0
        assert said in (tmp_path / "out" / "figure1.md").read_text()
        code, out, _ = cli("report", "figure1", *words, "--precision", "fp32")
        assert code == (2 if "fp32" not in precisions else 0)
        assert ("1 of 2 cells are missing" in out) == (precisions == ("fp32", "bf16"))

    def test_the_two_classes_of_a_pair_are_named(self, cli, tmp_path, undrawn):
        for cell in cells_of("figure2", "fashion-mnist", filters=["1"]):
            finished(*jobs_of([cell], [0], tmp_path / "runs", mapped=False), [190, 3], [9, 0], classes=2)
        words = ("--scale", "small", "--filter", "1", "--runs", tmp_path / "runs", "--out", tmp_path / "out")
        assert cli("report", "figure2", *words)[0] == 0
        assert "fashion-mnist (class 0 and class 1), small-cnn" in (tmp_path / "out" / "figure2.md").read_text()

    def test_shows_and_writes(self, cli, tmp_path):
        for cell in cells_of("figure1"):
            finished(*jobs_of([cell], [0], tmp_path / "runs", mapped=False), [150] * 5 + [50] * 5, [90] * 10)
        words = ("--scale", "small", "--data", "digits", "--runs", tmp_path / "runs", "--out", tmp_path / "out")
        code, out, _ = cli("report", "figure1", *words)
        assert code == 0
        assert "natural, standard" in out
        assert "whether it shows" in out
        assert str(tmp_path / "out" / "figure1.svg") in out
        text = (tmp_path / "out" / "figure1.md").read_text()
        assert "Scale small: digits, small-cnn" in text

    def test_nothing_to_show_is_told_with_what_makes_it(self, cli, tmp_path):
        code, _, err = cli("report", "table1", "--scale", "small", "--runs", tmp_path)
        assert code == 2
        assert "'srat grid table1 --scale small --runs" in err


def test_what_cannot_be_read_is_left_out_and_said(cli, tmp_path, undrawn):
    natural, adversarial = (jobs_of([cell], [0], tmp_path / "runs", mapped=False)[0] for cell in cells_of("figure1"))
    finished(natural, [150] * 5 + [50] * 5, [90] * 10)
    finished(adversarial, [150] * 5 + [50] * 5, [90] * 10)
    adversarial.folder.evaluation("last").write_text("{")
    words = ("--scale", "small", "--data", "digits", "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    code, out, _ = cli("report", "figure1", *words)
    assert code == 0
    assert "left out: " in out
    assert "1 of 2 cells are missing" in out


def test_a_table_keeps_strangers_names_harmless():
    sheet = Sheet(title="a|b", headings=("x", "y"), rows=[("<script>|", "\x1b[31m_&%$")], note="")
    assert "\\|" in written([sheet], "markdown")
    assert "<script>" not in written([sheet], "markdown")
    assert r"[31m\_\&\%\$" in written([sheet], "latex")


def test_numbers_are_said_plainly():
    assert accuracy_text(None) == "–"
    assert accuracy_text(Mean(0.458, 0.448, 0.468, 0.0)) == "45.8 [44.8, 46.8]"
    assert [power_of_ten(value) for value in (1, 1_000, 1e6, 1e-5)] == ["1", "1000", "10⁶", "10⁻⁵"]


def test_papers_values_are_of_their_table():
    assert recipe("table1").paper[0] == PaperValue(
        row="ce", column="step-10", metric="standard", scope="overall", accuracy=0.6326
    )
