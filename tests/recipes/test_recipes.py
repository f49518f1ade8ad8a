"""The recipes against METHOD's settled numbers, and against each other."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from refusals import refusing
from srat.attacks import FGSM, NFGSM, PGD, Natural
from srat.cli.commands.completion import helped
from srat.config.config import Config
from srat.core.errors import UserError
from srat.data.imbalance import exponential_counts, step_counts
from srat.methods.table import METHODS
from srat.recipes.catalogue import names, recipe
from srat.recipes.making import ADVERSARIAL
from srat.recipes.scales import base_config, default_data
from srat.recipes.trials import TRIALS
from srat.weightings import Uniform

# Standard and PGD-20 accuracy, overall and of the rare classes, as the paper prints them.
SPOT = {
    ("table1", "ce", "step-10"): (63.26, 40.62, 36.96, 14.23),
    ("table1", "cb-focal", "step-100"): (15.44, 0.00, 14.46, 0.00),
    ("table1", "srat-ldam", "step-100"): (63.13, 52.73, 33.51, 18.89),
    ("table2", "drcb-ldam", "exp-100"): (62.65, 57.19, 31.66, 22.11),
    ("table2", "cb-focal", "exp-100"): (50.35, 60.05, 27.15, 33.56),
    ("table2", "srat-ldam", "exp-10"): (74.63, 79.82, 46.72, 50.38),
    ("table3", "drcb-ldam", "step-10"): (87.83, 82.63, 46.45, 35.15),
    ("table4", "ce", "exp-100"): (72.51, 56.30, 33.34, 16.93),
}
OF_CIFAR10 = [name for name in names() if recipe(name).data == "cifar10"]
SETTINGS = [(name, scale) for name in names() for scale in ("paper", "medium", "small")]
SETTINGS = [(name, scale) for name, scale in SETTINGS if scale != "medium" or name in OF_CIFAR10]

id_of = cache(Config.id.fget)


@pytest.fixture(scope="module", autouse=True)
def _each_id_once():
    """Cells of several recipes are one run, whose id is asked for by many tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "id", property(id_of))
        yield


@cache
def cells_at(name, scale, data):
    return recipe(name).cells(base_config(scale, data))


def cells_of(name, scale="paper"):
    return cells_at(name, scale, default_data(scale, recipe(name).data))


def counts_of(config):
    return config.imbalance.counts([5_000] * 10, seed=0)


def ids(name, scale="small"):
    return {(cell.row, cell.column): cell.config.id for cell in cells_of(name, scale)}


def test_there_is_a_recipe_for_each_table_and_figure():
    assert names() == [
        *(f"table{n}" for n in range(1, 5)),
        *(f"figure{n}" for n in range(1, 15)),
        "field",
        "frontier",
        "ladder",
        "ours",
        "separation",
        "trials",
    ]


def test_the_help_names_them_all():
    words = " ".join(helped("grid").replace("│", " ").split())
    others = [name for name in names() if not name.startswith(("table", "figure"))]
    assert ", ".join(("table1 to table4", "figure1 to figure14", *others)) in words


def test_an_unknown_recipe_is_told_with_those_there_are():
    with pytest.raises(UserError, match="unknown recipe 'tabel1', did you mean 'table1'"):
        recipe("tabel1")


@pytest.mark.parametrize("name", names())
def test_the_header_says_command_and_what_is_expected(name):
    text = __import__(f"srat.recipes.{name}", fromlist=["_"]).__doc__
    assert f"srat report {name}" in text
    assert "Expected" in text
    assert recipe(name).kind == "distribution" or f"srat grid {name}" in text


@pytest.mark.parametrize(("name", "scale"), SETTINGS)
def test_every_cell_is_a_run_of_its_own(name, scale):
    cells = cells_of(name, scale)
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells)
    assert len({cell.config.id for cell in cells}) == len(cells)
    held_out = {cell.row: cell.config.holdout.fraction for cell in cells if cell.config.holdout.fraction}
    learning = {
        "trials": [f"bsl, {trial}" for trial, changes in TRIALS["bsl"].items() if "holdout" in changes],
        "field": ["cfa", "frl"],
        "frontier": ["cfa", "frl"],
    }
    assert held_out == dict.fromkeys(learning.get(name, ()), 0.1)


@pytest.mark.parametrize(("name", "scale"), SETTINGS)
def test_claims_are_about_cells_that_there_are(name, scale):
    cells = cells_of(name, scale)
    there = {(cell.row, cell.column) for cell in cells}
    claims = recipe(name).claims(cells)
    assert {(term.row, term.column) for claim in claims for term in claim.terms} <= there
    assert len({claim.text for claim in claims}) == len(claims)
    assert all(abs(sum(term.factor for term in claim.terms)) < 1e-9 for claim in claims)


class TestPaperScale:
    @pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4"])
    def test_is_the_papers_setting(self, name):
        cells = cells_of(name)
        assert len(cells) == 22
        for cell in cells:
            config = cell.config
            step = 2 / 255 if name in ("table1", "table2") else 1 / 255
            assert config.attack == PGD(epsilon=8 / 255, step_size=step, steps=10)
            assert config.evaluation == PGD(epsilon=8 / 255, step_size=step, steps=20)
            assert (config.model.name, config.model.width, config.epochs) == ("resnet18", 64, 200)
            rates = [
                config.schedule.learning_rate(9 * epoch, steps=9, epochs=200, base=config.optimizer.learning_rate)
                for epoch in (0, 159, 160, 179, 180, 199)
            ]
            assert rates == pytest.approx([0.1, 0.1, 1e-3, 1e-3, 1e-5, 1e-5])
            method = METHODS[cell.row]
            assert config.method == cell.row
            first = config.schedule.reweight_epoch_of(200)
            assert first == (160 if method.deferred else 0)

    def test_the_imbalances_are_the_papers(self):
        full = [5_000] * 10
        by_column = {cell.column: cell.config.imbalance.counts(full, seed=0) for cell in cells_of("figure13")}
        totals = {"step-100": 25_250, "step-10": 27_500, "exp-100": 12_406, "exp-10": 20_431}
        assert {column: sum(counts) for column, counts in by_column.items()} == totals
        assert by_column["step-10"] == step_counts(full, ratio=10)
        assert by_column["exp-100"] == exponential_counts(full, ratio=100)

    def test_figure_2_has_the_papers_two_classes(self):
        cells = cells_of("figure2")
        natural = [cell for cell in cells if cell.row == "natural"]
        assert len(natural) == len(cells) // 2
        for cell in cells:
            assert cell.config.data.classes == (3, 7)
            assert cell.config.imbalance.counts([5_000, 5_000], seed=0) == (5_000, 50)
            assert cell.config.weighting.values == (1.0, float(cell.column))
            assert isinstance(cell.config.attack, Natural) == (cell.row == "natural")


class TestSmallScale:
    @pytest.mark.parametrize("data", ["fashion-mnist", "cifar10", "svhn", "digits"])
    def test_methods_differ_by_what_makes_them_alone(self, data):
        for cell in cells_at("table1", "small", data):
            config, method = cell.config, METHODS[cell.row]
            assert config.method == cell.row
            epochs, milestones = config.epochs, config.schedule.milestones
            if method.weighting != Uniform():
                assert config.schedule.reweight_epoch_of(epochs) == (milestones[0] if method.deferred else 0)
            assert (config.attack.steps, config.evaluation.steps) == (10, 20)
            assert config.attack.epsilon == config.evaluation.epsilon
            assert (
                config.attack.step_size
                == config.evaluation.step_size
                == config.attack.epsilon / (8 if data == "svhn" else 4)
            )

    def test_fashion_mnist_is_as_documented(self):
        config = base_config("small", "fashion-mnist")
        assert config.evaluation.epsilon == 32 / 255
        assert (config.epochs, config.schedule.milestones, config.schedule.factor) == (10, (6, 8), 0.1)
        assert (config.imbalance.cap, config.model.width, config.optimizer.learning_rate) == (2_000, 16, 0.05)

    def test_of_cifar10_the_ratios_are_scaled_down(self):
        ratios = {cell.column: cell.config.imbalance.ratio for cell in cells_at("figure13", "small", "cifar10")}
        assert ratios["step-100"] == ratios["exp-100"] == pytest.approx(5)
        assert ratios["step-10"] == ratios["exp-10"] == pytest.approx(math.sqrt(5))

    @pytest.mark.parametrize("data", ["fashion-mnist", "digits"])
    def test_of_others_they_are_the_papers_to_the_bit(self, data):
        ratios = {cell.column: cell.config.imbalance.ratio for cell in cells_at("figure13", "small", data)}
        assert ratios == {"step-100": 100.0, "exp-100": 100.0, "step-10": 10.0, "exp-10": 10.0}


class TestMediumScale:
    @pytest.mark.parametrize("name", ["table1", "field"])
    def test_all_are_trained_by_single_steps_or_as_the_method_is(self, name):
        attacks = {cell.row: cell.config.attack for cell in cells_at(name, "medium", "cifar10")}
        own = {"fast-at": FGSM}
        assert {type(attack) for row, attack in attacks.items() if row not in own} == {NFGSM}
        assert all(type(attack) is own[row] for row, attack in attacks.items() if row in own)
        firsts = {cell.row: cell.config.before.attack for cell in cells_at(name, "medium", "cifar10")}
        assert {row: type(first) for row, first in firsts.items() if first} == (
            {"taet": Natural} if name == "field" else {}
        )

    def test_methods_differ_by_what_makes_them_alone(self):
        base = base_config("medium", "cifar10")
        for cell in cells_at("table2", "medium", "cifar10"):
            config = cell.config
            assert config.method == cell.row
            assert config.is_guarded
            for name in ("model", "epochs", "optimizer", "evaluation", "precision", "holdout", "attack"):
                assert getattr(config, name) == getattr(base, name)

    def test_counts_are_the_papers(self):
        counts = {cell.column: sum(counts_of(cell.config)) for cell in cells_at("figure13", "medium", "cifar10")}
        assert counts["step-100"] == 5 * 5_000 + 5 * 50
        assert counts["exp-100"] == 12_406

    def test_other_data_is_refused(self):
        with refusing("data", "fashion-mnist"):
            base_config("medium", "fashion-mnist")


@pytest.mark.parametrize("scale", ["paper", "small"])
@pytest.mark.parametrize("name", ["figure2", "figure3", "figure10", "figure11", "figure12"])
def test_the_two_of_a_pair_have_their_weights_from_the_first_epoch(name, scale):
    cells = cells_of(name, scale)
    schedules = {cell.config.schedule for cell in cells}
    assert len(schedules) == 1
    assert {cell.config.epochs for cell in cells} == {200 if scale == "paper" else 50}
    assert {cell.config.schedule.milestones for cell in cells} == {None if scale == "paper" else (30, 40)}
    assert {cell.config.schedule.reweight_epoch_of(cell.config.epochs) for cell in cells} == {0}


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4"])
class TestPapersNumbers:
    def test_all_are_there_in_the_papers_order(self, name):
        values = recipe(name).paper
        assert len(values) == 88
        assert list(dict.fromkeys(value.row for value in values)) == list(ADVERSARIAL)
        assert all(0 <= value.accuracy <= 1 for value in values)

    def test_are_those_that_are_printed(self, name):
        numbers = {(v.row, v.column, v.metric, v.scope): 100 * v.accuracy for v in recipe(name).paper}
        for (table, row, column), printed in SPOT.items():
            if table == name:
                pairs = [(metric, scope) for metric in ("standard", "robust") for scope in ("overall", "under")]
                assert [numbers[row, column, *pair] for pair in pairs] == pytest.approx(printed)


class TestSharedRuns:
    def test_figure_1_shares_adversarial_training_with_table_1(self):
        assert ids("figure1")["adversarial", "step-100"] == ids("table1")["ce", "step-100"]

    def test_figure_3_is_figure_2_with_a_weight_of_one(self):
        assert set(ids("figure3").values()) == {ids("figure2")[row, "1"] for row in ("natural", "adversarial")}

    def test_figure_4_shares_its_runs_with_table_1(self):
        assert set(ids("figure4").values()) <= set(ids("table1").values())

    def test_figure_6_shares_its_middle_with_the_tables(self):
        for column, table in (("step-100", "table1"), ("exp-100", "table2")):
            assert ids("figure6")[f"srat-ldam {column}", "1"] == ids(table)["srat-ldam", column]


def test_a_trial_changes_what_it_says_of_its_method_and_shares_that_with_the_tables():
    cells = {(cell.row, cell.column): cell.config for cell in cells_of("trials", "medium")}
    field = {cell.row: cell.config for cell in cells_of("field", "medium")}
    for (row, column), config in cells.items():
        method, *trial = row.split(", ")
        control = cells[method, column]
        changes = TRIALS[method][trial[0]] if trial else {}
        assert replace(config, **{name: getattr(control, name) for name in changes}) == control
        assert all(getattr(config, name) != getattr(control, name) for name in changes)
    assert all(cells[name, "exp-100"].id == field[name].id for name in ("bsl", "drcb-ldam"))
    controls = {claim.terms[0].row: claim.terms[1].row for claim in recipe("trials").claims(cells_of("trials"))}
    assert controls["bsl, EMA"] == "bsl"
    assert controls["bsl, weights by held-out accuracy"] == "bsl, a tenth held out"


@pytest.mark.parametrize("scale", ["medium", "small"])
@pytest.mark.parametrize("column", ["exp-100", "step-100"])
def test_the_ladder_adds_one_thing_at_a_time(scale, column):
    rows = {cell.row: cell.config for cell in cells_of("ladder", scale) if cell.column == column}
    steps = ["ce", "balanced softmax", "+ RandAugment", "+ EMA", "+ growing balls", "+ balls by class", "+ late AWP"]
    added = ["loss", "augmentation", "averaging", "budget", "budget", "weight_perturbation", "augmentation"]
    for before, after, family in zip(steps, [*steps[1:], "− RandAugment"], added, strict=True):
        # From which epoch weights apply says nothing where there are none.
        changes = {family: getattr(rows[before], family), "schedule": rows[before].schedule}
        assert replace(rows[after], **changes) == rows[before]
        assert rows[after] != rows[before]
    for method in ("drcb-ldam", "srat-ldam"):
        beside = rows[f"{method}, RandAugment, EMA"]
        assert (beside.augmentation, beside.averaging) == (rows["+ EMA"].augmentation, rows["+ EMA"].averaging)
        assert beside.method == method
    tables = [*cells_of("table2", scale), *cells_of("table1", scale), *cells_of("field", scale)]
    shared = {(cell.row, cell.column): cell.config.id for cell in tables}
    assert rows["ce"].id == shared["ce", column]
    assert rows["srat-ldam"].id == shared["srat-ldam", column]


def test_the_frontier_has_some_methods_under_both_attacks():
    for scale, attack in (("medium", "pgd"), ("small", "n-fgsm")):
        cells = {(cell.row, cell.column): cell.config for cell in cells_of("frontier", scale)}
        assert len(cells) == 2 * (27 + 4)
        for method in ("ce", "bsl", "drcb-ldam", "srat-ldam"):
            row = f"{method}, {attack}".replace("bsl, n-fgsm", "fast-bsl")  # which it is
            usual, other = cells[method, "step-100"], cells[row, "step-100"]
            assert other.attack.name == attack
            assert replace(other, attack=usual.attack) == usual
            assert other.attack.epsilon == usual.attack.epsilon
        assert {cell.config.id for cell in cells_of("field", scale)} <= {config.id for config in cells.values()}


@pytest.mark.parametrize("scale", ["paper", "medium", "small"])
def test_ours_stands_beside_its_rivals_and_with_more_for_the_rare_classes(scale):
    cells = {(cell.row, cell.column): cell.config for cell in cells_of("ours", scale)}
    shared = {(c.row, c.column): c.config.id for name in ("trials", "frontier") for c in cells_of(name, scale)}
    for column in ("exp-100", "step-100"):
        own = {row: config for (row, of), config in cells.items() if of == column}
        same = [row for row in own if (row, column) in shared and (row != "fast-bsl" or scale == "small")]
        assert all(own[row].id == shared[row, column] for row in same)
        assert {"ce", "drcb-ldam", "srat-ce", "srat-ldam", "bsl, balls by class"} <= set(same)
        ours = own["fast-bsl"]
        assert (ours.method, ours.attack.name, ours.loss.tau) == ("fast-bsl", "n-fgsm", 1.0)
        assert ours.epochs == {"paper": 30, "medium": 30, "small": 10}[scale]
        assert (ours.schedule.name == "one-cycle") == (scale != "small")
        more = own["fast-bsl, τ = 1.5"]
        assert more.loss.tau == 1.5
        assert replace(more, loss=ours.loss) == ours
        # At the medium scale all train under N-FGSM, so that ours is the balanced softmax.
        assert ("bsl" in own) == (scale != "medium")
        assert ours.id == shared["bsl", column] or scale != "medium"
        assert ours.attack.epsilon == own["ce"].attack.epsilon
    claims = recipe("ours").claims(cells_of("ours", scale))
    assert len(claims) == 2 * (len(cells) - 2)
    assert all(claim.terms[0].row == "fast-bsl" and claim.terms[0].factor > 0 for claim in claims)
    assert {(term.metric, term.scope) for c in claims for term in c.terms} == {("worst", "under"), ("worst", "overall")}


def test_a_run_that_two_methods_are_is_there_once():
    for name, scale, expected in (("field", "small", {"bsl", "fast-bsl"}), ("field", "medium", {"bsl"})):
        assert {cell.row for cell in cells_of(name, scale)} & {"bsl", "fast-bsl"} == expected
    rows = {cell.row for cell in cells_of("frontier", "small")}
    assert "bsl, n-fgsm" not in rows  # which is fast-bsl
    assert {"fast-bsl", "ce, n-fgsm"} <= rows


def test_figure_5s_78_is_what_the_effective_number_gives():
    cells = {(cell.row, cell.column): cell.config for cell in cells_of("figure5")}
    given = cells["srat-ldam", "78"].weighting.weights((5_000,) * 5 + (50,) * 5)
    table = next(c.config for c in cells_of("table1") if (c.row, c.column) == ("srat-ldam", "step-100"))
    effective = table.weighting.weights((5_000,) * 5 + (50,) * 5)
    torch.testing.assert_close(given / given[0], effective / effective[0], rtol=0.015, atol=0)


def test_a_data_set_without_a_small_scale_is_refused():
    with refusing("data", "cifar100"):
        base_config("small", "cifar100")


def test_a_pair_of_a_data_set_without_one_is_refused():
    with refusing("data", "svhn"):
        recipe("figure2").cells(base_config("small", "svhn"))
