"""Configurations: made of names, written, read back, named by a hash."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from refusals import refusing
from srat.attacks import FGSM, PGD, Natural, PGDMargin, Search
from srat.attacks.autoattack import AutoAttack
from srat.config.composition import compose
from srat.config.config import FAMILIES, SGD, Config, InnerMaximization
from srat.config.doubts import doubts_of
from srat.core.errors import UserError
from srat.core.members import choices, members
from srat.data import Holdout
from srat.data.imbalance import Explicit, Step
from srat.evaluation.observer import Observer
from srat.guards import NoGuard
from srat.losses import LDAM
from srat.losses.cross_entropy_loss import CrossEntropy
from srat.methods.before import Before
from srat.methods.table import METHODS
from srat.models.heads import CosineHead
from srat.training.fitting import fit
from srat.weightings import Fixed

TWELVE = [
    "natural",
    "ce",
    "focal",
    "ldam",
    "cb-reweight",
    "cb-focal",
    "drcb-ce",
    "drcb-focal",
    "drcb-ldam",
    "srat-ce",
    "srat-focal",
    "srat-ldam",
]


def every_choice():
    return [(family, name) for family, base in FAMILIES.items() for name in choices(base)]


def test_the_twelve_methods():
    assert list(METHODS) == TWELVE


@pytest.mark.parametrize("method", TWELVE)
def test_a_methods_configuration_knows_its_name(method):
    assert compose(method=method).method == compose(method=method, epochs=1).method == method


@pytest.mark.parametrize(
    ("method", "loss", "weighting", "reweight_from", "feature_loss", "attack"),
    [
        ("natural", "cross-entropy", "uniform", 0, "none", "natural"),
        ("cb-reweight", "cross-entropy", "effective-number", 0, "none", "pgd"),
        ("drcb-ldam", "ldam", "effective-number", None, "none", "pgd"),
        ("srat-focal", "focal", "effective-number", None, "separation", "pgd"),
    ],
)
def test_rows_of_the_table(method, loss, weighting, reweight_from, feature_loss, attack):
    config = compose(method=method)
    names = (config.loss.name, config.weighting.name, config.feature_loss.name, config.attack.name)
    assert names == (loss, weighting, feature_loss, attack)
    assert config.schedule.reweight_from == reweight_from


def test_names_for_what_is_in_no_table():
    assert compose(method="ldam", attack="natural").method == "natural-ldam"
    assert compose(method="ce", feature_loss="separation").method == "custom"


def test_the_default_is_srat_ldam_on_digits():
    assert compose() == Config()
    assert (Config().method, Config().data.name, Config().model.name) == ("srat-ldam", "digits", "small-cnn")


def test_the_papers_cifar10_setting():
    config = compose(method="srat-ldam", data="cifar10", imbalance="step", ratio=100)
    assert config.attack == PGD(epsilon=8 / 255, step_size=2 / 255, steps=10)
    assert config.evaluation == PGD(epsilon=8 / 255, step_size=2 / 255, steps=20)
    assert (config.model.name, config.epochs, config.batch_size) == ("resnet18", 200, 128)
    assert (config.optimizer.learning_rate, config.optimizer.momentum, config.optimizer.weight_decay) == (
        0.1,
        0.9,
        5e-4,
    )
    assert config.imbalance == Step(ratio=100)
    assert config.augmentation.name == "crop-flip"


def test_the_papers_svhn_step_size():
    config = compose(data="svhn")
    assert config.attack.step_size == config.evaluation.step_size == 1 / 255


def test_a_budget_is_for_training_and_evaluation():
    config = compose(epsilon=0.05, step_size=0.01)
    for attack in (config.attack, config.evaluation):
        assert (attack.epsilon, attack.step_size) == (0.05, 0.01)


def test_natural_training_keeps_the_evaluations_budget_for_later():
    config = compose(method="natural", epsilon=0.05)
    assert config.attack == Natural()
    assert compose(config, attack="pgd").attack.epsilon == 0.05
    assert compose(config, attack="fgsm").attack == FGSM(epsilon=0.05)


class TestWordsForTheTrainingAttack:
    BASE = compose(norm="l2", epsilon=0.5, step_size=0.1)

    def test_steps_are_part_of_the_word(self):
        assert compose(attack="pgd-7") == replace(compose(), attack=replace(compose().attack, steps=7))
        for word in ("pgd-margin-3", "PGD_MARGIN_3", "pgd-margin3"):
            ball = {"norm": "l2", "epsilon": 0.5, "step_size": 0.1}
            assert compose(self.BASE, attack=word).attack == PGDMargin(steps=3, **ball)
            assert compose(self.BASE, attack=word).evaluation == self.BASE.evaluation

    def test_other_settings_of_the_same_kind_stay(self):
        base = replace(self.BASE, attack=replace(self.BASE.attack, restarts=3, step_size=0.2))
        assert compose(base, attack="pgd").attack == base.attack
        assert compose(base, attack="pgd-7").attack == replace(base.attack, steps=7)

    def test_how_hard_to_search_is_no_part_of_the_threat_model(self):
        base = replace(self.BASE, evaluation=replace(self.BASE.evaluation, restarts=5))
        attack = compose(base, attack="pgd-margin").attack
        assert (attack.steps, attack.restarts) == (10, 1)

    def test_clean_is_natural(self):
        assert compose(attack="clean") == compose(attack="natural")
        assert compose(attack="clean").method == "natural-srat-ldam"

    @pytest.mark.parametrize("word", [*choices(Search), "APGD_T", AutoAttack()])
    def test_a_reference_attack_cannot_train(self, word):
        with pytest.raises(UserError, match=r"is for evaluation alone; what can train: fgsm, n-fgsm, natural, pgd, "):
            compose(attack=word)

    @pytest.mark.parametrize(("word", "said"), [("pgdd", ", did you mean 'pgd'"), ("pgd-0", ""), ("fgsm-2", "")])
    def test_what_there_is_not(self, word, said):
        with pytest.raises(
            UserError, match=f"unknown attack '{word}'{said}|`attack`: expected 1 to 10,000 steps, got '{word}'"
        ):
            compose(attack=word)


def test_naming_what_is_there_already_keeps_its_settings():
    config = compose(data="digits", ratio=7)
    assert compose(config, imbalance="step").imbalance == Step(ratio=7)
    assert compose(config, imbalance="exponential").imbalance.name == "exp"


def test_data_of_the_users_own_is_left_as_uneven_as_it_is():
    assert compose(data="folder", data_dir="x").imbalance.name == "none"
    assert compose(data="folder", data_dir="x").data.dir == Path("x")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "srat-ldma"}, "unknown method 'srat-ldma', did you mean 'srat-ldam'"),
        ({"data": "cifar-10"}, "unknown data set 'cifar-10', did you mean 'cifar10'"),
        ({"model": "resnet"}, "unknown model 'resnet', did you mean"),
        ({"feature_loss": "x"}, "unknown feature loss 'x'; there are: none, separation"),
        ({"model": "custom"}, "unknown model 'custom'"),
        ({"imbalance": "none", "ratio": 10}, "none has no ratio"),
    ],
)
def test_refuses_what_there_is_not(options, said):
    with pytest.raises(UserError, match=said):
        compose(**options)


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("batch_size", 0), ("epsilon", -1.0), ("step_size", 0.0)])
def test_refuses_values_that_cannot_be(field, value):
    with refusing(field, value):
        compose(**{field: value})


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("loss.gamma", "focal", -1.0),
        ("loss.max_margin", "ldam", 3.0),
        ("loss.scale", "ldam", 0.0),
        ("weighting.power", "inverse-frequency", 11.0),
        ("weighting.beta", "effective-number", 1.0),
        ("weighting.values", "fixed", (0.0,)),
        ("feature_loss.temperature", "separation", 0.0),
        ("feature_loss.projection_dimensions", "separation", -1),
        ("model.width", "small-cnn", 0),
        ("model.width", "resnet18", 1025),
        ("model.depth", "wide-resnet", 12),
        ("model.widen", "wide-resnet", 0),
        ("head.scale", "cosine", 0.0),
        ("augmentation.padding", "crop-flip", 65),
        ("imbalance.ratio", "step", 0.5),
        ("imbalance.cap", "exp", 0),
        ("optimizer.learning_rate", "sgd", 0.0),
        ("optimizer.momentum", "sgd", 1.0),
        ("optimizer.weight_decay", "adamw", -1.0),
        ("optimizer.stability", "adamw", 0.0),
        ("schedule.factor", "steps", 1.5),
        ("schedule.milestones", "steps", (5, 3)),
        ("schedule.reweight_from", "steps", -1),
        ("schedule.warmup", "cosine", -1.0),
        ("schedule.rise", "one-cycle", 0.0),
        ("averaging.decay", "ema", 1.0),
        ("data.workers", "folder", 0),
        ("data.test_fraction", "arrays", 1.0),
    ],
)
def test_a_member_names_its_settings_as_configurations_do(field, name, value):
    family, setting = field.split(".")
    kind = members(FAMILIES[family])[name]
    with refusing(field, value):
        kind(**{setting: value})


def test_refuses_a_head_of_another_scale_than_the_loss():
    with pytest.raises(UserError, match="must be the same number"):
        replace(Config(), head=CosineHead(scale=16.0))


@pytest.mark.parametrize(("family", "name"), every_choice())
def test_every_member_survives_json(family, name):
    config = compose(**{family: name})
    assert Config.from_json(config.to_json()) == config
    assert getattr(config, family).name == name


def test_what_json_cannot_write_plainly_survives_too():
    config = replace(
        compose(data="cifar10", data_dir="/some/where", epsilon=8 / 255),
        imbalance=Step(class_order=tuple(range(9, -1, -1))),
        schedule=replace(Config().schedule, milestones=(3, 5)),
    )
    assert Config.from_json(config.to_json()) == config
    explicit = replace(config, imbalance=Explicit(keep=(1, 2)))
    assert Config.from_json(explicit.to_json()) == explicit


def test_ids_name_what_decides_the_result():
    config = compose(data="cifar10")
    assert config.id == compose(data="cifar10").id
    assert config.id == compose(data="cifar10", data_dir="/elsewhere").id
    others = [
        compose(config, seed=1),
        compose(config, ratio=11),
        compose(config, method="ce"),
        compose(config, epsilon=0.01),
    ]
    assert len({config.id, *(other.id for other in others)}) == 5
    assert compose(data="folder", data_dir="a").id != compose(data="folder", data_dir="b").id


def test_a_configuration_of_version_0_1_keeps_its_id_and_its_meaning():
    data = {"classes": [], "dir": "/photos", "size": None, "color": "auto", "test_fraction": 0.2, "name": "folder"}
    plain = compose(data="folder").to_plain() | {"data": data}
    old = Config.from_plain(plain)
    assert old.id == "67655ed40e2f"  # as version 0.1 had it
    assert old.data.background == "none"
    now = compose(data="folder", data_dir="/photos")
    assert now.id != old.id
    assert now.differences(old) == ["data.background white (not none)"]
    assert compose().id == "c907cfcbe08c"


def test_a_member_that_only_one_run_has_is_named():
    taet, harl = compose(method="taet"), replace(compose(method="taet"), before=Before())
    assert harl.differences(taet) == [
        "before.attack none (not natural)",
        "before.loss none (not cross-entropy)",
        "before.part 0 (not 0.4)",
    ]
    assert taet.differences(harl)[0] == "before.attack natural (not none)"


def test_an_id_survives_json():
    for config in (compose(ratio=10), compose(method="natural"), compose(data="svhn", epsilon=1)):
        assert Config.from_json(config.to_json()).id == config.id


def test_another_ball_needs_a_budget_of_its_own():
    assert compose(norm="l2", epsilon=0.5).attack == replace(compose().attack, norm="l2", epsilon=0.5)
    with pytest.raises(UserError, match="`norm` l2 needs `epsilon`"):
        compose(norm="l2")
    with pytest.raises(UserError, match="fgsm attacks in linf"):
        compose(attack="fgsm", norm="l2", epsilon=0.5)
    assert compose(compose(norm="l2", epsilon=0.5), data="cifar10").evaluation.norm == "linf"


def test_fgsm_keeps_the_step_that_follows_from_its_budget():
    assert compose(compose(attack="fgsm"), data="cifar10", step_size=0.001).attack == FGSM(epsilon=8 / 255)


def test_naming_the_method_that_it_is_keeps_its_settings():
    config = compose(loss="ldam")
    config = replace(config, loss=replace(config.loss, max_margin=0.3))
    assert compose(config, method="srat-ldam").loss.max_margin == 0.3


def test_refuses_epochs_that_never_come():
    with pytest.raises(UserError, match="expected epochs below `epochs` 2, got 100"):
        replace(Config(), epochs=2, schedule=replace(Config().schedule, reweight_from=100))


def test_a_member_never_takes_the_name_of_another():
    for base in FAMILIES.values():
        names = [alias for cls in members(base).values() for alias in (cls.name, *cls.aliases)]
        assert len(names) == len(set(names))


def changed(**changes):
    content = json.loads(Config().to_json())
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = content
        for parent in parents:
            target = target[parent]
        target[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON|expected"),
        ("[]", "c.json: "),
        ("null", "c.json: "),
        (changed(epcohs=3), "unknown key 'epcohs', did you mean 'epochs'"),
        (changed(loss__gama=3), "loss: unknown key 'gama'"),
        (changed(loss__name="lddam"), "unknown loss 'lddam', did you mean 'ldam'"),
        (changed(loss={}), "expected an object with a name, one of: balanced-softmax, cdt, cross-entropy"),
        (changed(loss=[1]), "expected an object with a name"),
        (changed(loss__scale="30"), 'loss.scale: expected a number, got "30"'),
        (changed(epochs="30"), 'epochs: expected a whole number, got "30"'),
        (changed(epochs=1.5), "expected a whole number, got 1.5"),
        (changed(epochs=True), "expected a whole number, got true"),
        (changed(attack__random_start=1), "expected true or false, got 1"),
        (changed(epochs=-1), "^c.json: epochs: expected .*, got -1$"),
        (changed(attack__steps=0), "^c.json: attack.steps: expected .*, got 0$"),
        (changed(evaluation__epsilon=0.0), "^c.json: evaluation.epsilon: expected .*, got 0$"),
        (changed(loss__scale=-1), "^c.json: loss.scale: expected .*, got -1$"),
        (changed(schedule__reweight_from=999), "^c.json: schedule: expected epochs below epochs 40, got 999$"),
        (changed(objective__reduction="sum"), "objective.reduction: expected one of weighted_mean, mean, got sum"),
        (changed(schedule__milestones=[3, 1]), "rising epochs"),
    ],
)
def test_refuses_a_configuration_with_a_mistake(text, said):
    with pytest.raises(UserError, match=said) as error:
        Config.from_json(text, where="c.json")
    assert "\n" not in str(error.value)


def test_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        Config.read(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not valid JSON"):
        Config.read(tmp_path / "bytes.json")


@cache
def spread():
    """Return configurations of every member and of every kind of value, by name; as version 0.1 would write them."""
    default = Config()
    named = {f"{family}={name}": compose(**{family: name}) for family, name in every_choice()}
    named |= {f"method={name}": compose(method=name) for name in METHODS}
    return named | {
        "ratio=10": compose(ratio=10),
        "ratio=100": compose(ratio=100),
        "epsilon=1": compose(epsilon=1),
        "l2": compose(norm="l2", epsilon=0.5, step_size=0.1),
        "milestones": replace(default, schedule=replace(default.schedule, milestones=(3, 5))),
        "order": replace(default, imbalance=Step(class_order=tuple(range(9, -1, -1)), cap=50)),
        "keep": replace(default, imbalance=Explicit(keep=(1, 2))),
        "fixed": replace(default, weighting=Fixed(values=(1, 2.5))),
        "classes": replace(compose(data="cifar10"), seed=3),
        "holdout": replace(default, holdout=Holdout(fraction=0.0)),
        "fgsm": compose(attack="fgsm", data="svhn"),
        "sgd": replace(
            default,
            optimizer=SGD(learning_rate=1, nesterov=True),
            inner=InnerMaximization(loss="training"),
            precision="bf16",
        ),
    }


RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "ids.json").read_text())


@pytest.mark.parametrize(("name", "recorded"), RECORDED.items())
def test_ids_are_what_they_were(name, recorded):
    """Recorded with the code that took every value as it came."""
    config = spread()[name]
    assert replace(config, guard=NoGuard()).id == recorded  # nothing was guarded then
    assert (config.id == recorded) != config.is_guarded


def test_a_value_has_one_id_however_it_is_written():
    numbers = {"epochs": np.int64(7), "batch_size": torch.tensor(64)}
    written = compose(ratio="10", epsilon="8/255", seed=1.0, norm="L_inf", **numbers)
    plain = compose(ratio=10.0, epsilon=8 / 255, seed=1, norm="linf", epochs=7, batch_size=64)
    assert (written, written.id, written.to_json()) == (plain, plain.id, plain.to_json())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 1.5}, "Config.epochs: expected a whole number, got 1.5"),
        ({"epochs": "3"}, "Config.epochs: expected a whole number, got '3'"),
        ({"batch_size": True}, "Config.batch_size: expected a whole number, got True"),
        ({"epcohs": 3}, "unknown setting 'epcohs', did you mean 'epochs'?; there are: protocol, method, norm, epsilon"),
        ({"learning_rate": 0.1}, "unknown setting 'learning_rate'; there are: "),
        ({"method": 3}, "method: expected text or None, got 3"),
        ({"loss": 3}, "loss: expected a name, such as 'ldam', got 3"),
        ({"loss": LDAM}, "loss: expected a name, such as 'ldam', got the class LDAM itself"),
        ({"data": ["cifar10"]}, "data: expected a name, such as 'digits', got ['cifar10']"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam', did you mean 'adamw'?; there are: adamw, sgd"),
        ({"ratio": float("nan")}, "ratio: expected a finite number, got nan"),
        ({"epsilon": 8}, "it looks like units of 255: write 8/255"),
        ({"norm": "l1", "epsilon": 1}, "norm: expected linf or l2 or None, got 'l1'"),
        ({"base": "x"}, "base: expected a Config or None, got 'x'"),
        ({"data_dir": 3}, "data_dir: expected a path or None, got 3"),
    ],
)
def test_compose_says_what_it_was_given(options, said):
    with pytest.raises(UserError) as error:
        compose(**options)
    assert said in str(error.value)


def test_compose_takes_members_as_they_are():
    config = compose(data="CIFAR10", loss=LDAM(scale=16), attack=PGD(steps=3), imbalance=Step(ratio=7))
    assert (config.loss.scale, config.attack.steps, config.imbalance.ratio) == (16.0, 3, 7.0)
    assert config.data.name == "cifar10"
    assert compose(data=type(config.data)(classes=(1, 2))).data.classes == (1, 2)
    assert compose(method="SRAT_LDAM").method == "srat-ldam"


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        ({"evaluation": {"steps": 3}}, {"evaluation": {"epsilon": 0.1, "step_size": 0.025, "steps": 3}}),
        ({"attack": {"name": "pgd", "steps": 3}}, {"attack": {"name": "pgd", "epsilon": 0.1, "steps": 3}}),
        ({"optimizer": {"momentum": 0.5}}, {"optimizer": {"learning_rate": 0.1, "momentum": 0.5, "name": "sgd"}}),
        ({"attack": {"name": "fgsm"}}, {"attack": {"name": "fgsm", "epsilon": 8 / 255}}),
    ],
)
def test_what_is_left_out_of_a_part_is_as_a_configuration_has_it(content, meant):
    plain = Config.from_plain(content).to_plain()
    for part, fields in meant.items():
        assert plain[part].items() >= fields.items()


LONG_TAIL = (500, 100, 20)


class Shifted(CrossEntropy):
    balances = True  # a property of others, for it may depend on their settings


@pytest.mark.parametrize(
    ("members", "doubted"),
    [
        # Weights by count are told what is drawn, so that nothing is left to them where that is even.
        ({"method": "cb-reweight"}, []),
        ({"method": "cb-reweight", "sampling": "class-balanced"}, []),
        ({"method": "cb-reweight", "sampling": "square-root"}, []),
        ({"method": "cb-reweight", "sampling": "progressive"}, []),
        ({"method": "drcb-ldam", "sampling": "effective-number"}, []),
        # Weights of a user's own know nothing of that.
        ({"method": "ce", "weighting": Fixed(values=(0.5, 1.0, 1.5))}, []),
        ({"method": "ce", "weighting": Fixed(values=(1.0, 1.0, 1.0)), "sampling": "class-balanced"}, []),
        ({"method": "ce", "weighting": Fixed(values=(0.5, 1.0, 1.5)), "sampling": "square-root"}, ["sampling"]),
        ({"method": "ce", "weighting": Fixed(values=(0.5, 1.0, 1.5)), "sampling": "progressive"}, ["sampling"]),
        # A loss that shifts logits by the counts is told what is drawn, but not of weights.
        ({"method": "ce", "loss": Shifted(), "sampling": "class-balanced"}, []),
        ({"method": "ce", "loss": Shifted(), "sampling": "square-root"}, []),
        ({"method": "cb-reweight", "loss": Shifted(), "sampling": "class-balanced"}, []),
        ({"method": "cb-reweight", "loss": Shifted()}, ["loss"]),
        ({"method": "cb-reweight", "loss": Shifted(), "sampling": "progressive"}, ["loss"]),
        (
            {"method": "ce", "loss": Shifted(), "weighting": Fixed(values=(0.5, 1.0, 1.5)), "sampling": "square-root"},
            ["sampling", "loss"],
        ),
    ],
)
def test_what_is_corrected_twice_is_said(members, doubted):
    said = doubts_of(compose(epochs=4, **members), (1, 8, 8), LONG_TAIL)
    assert [line.split("`")[1] for line in said] == doubted


def test_a_correction_made_twice_is_said_before_training():
    told = []

    class Heard(Observer):
        def notice(self, text):
            told.append(text)

    weighting = Fixed(values=tuple(range(1, 11)))
    config = compose(method="ce", weighting=weighting, sampling="class-balanced", model="linear", attack="natural")
    fit(replace(config, epochs=1, schedule=replace(config.schedule, reweight_from=0)), observer=Heard(), device="cpu")
    both = "`sampling` class-balanced and `weighting` fixed both correct for the classes' counts"
    assert [text for text in told if both in text] == [
        f"{both}, which is once too often; `weighting` uniform leaves it to the sampling"
    ]
