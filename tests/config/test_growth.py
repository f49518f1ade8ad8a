"""A configuration may grow: a new field, and a new family, change no id that is recorded."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from srat.config.config import FAMILIES, Config
from srat.config.serialization import id_of, identity, make_converter
from srat.core.members import Member, since

TESTS = Path(__file__).parents[1]
RECORDED = json.loads((TESTS / "golden" / "recorded.json").read_text())
RESULTS = TESTS.parent / "docs" / "results"


@dataclass(frozen=True, kw_only=True)
class Season(Member, unnamed="spring"):
    """A family that was of one member, which no configuration named."""


@dataclass(frozen=True, kw_only=True)
class Spring(Season, name="spring"):
    rain: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Winter(Season, name="winter"):
    snow: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Grown(Config):
    """A configuration with a new field, whose default has changed since, and a family that came with it."""

    patience: int = field(default=7, metadata=since(0))
    season: Season = field(default=Winter(), metadata=since(Spring()))


@dataclass(frozen=True, kw_only=True)
class Careless(Config):
    """One whose new field does not say what saying nothing meant."""

    patience: int = 0


CONVERTER = make_converter({**FAMILIES, "season": Season})


def recorded(name):
    return json.loads((RESULTS / name / "config.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_ids_stay(name):
    grown = CONVERTER.structure(recorded(name), Grown)
    assert (grown.patience, grown.season) == (0, Spring())
    assert id_of(identity(grown)) == RECORDED[name]


def test_other_values_are_other_configurations():
    name, wanted = next(iter(RECORDED.items()))
    changed = [{"patience": 7}, {"season": {"name": "winter"}}, {"season": {"rain": 0.1}}]
    ids = {id_of(identity(CONVERTER.structure({**recorded(name), **change}, Grown))) for change in changed}
    assert len(ids | {wanted}) == 4


def test_a_family_of_one_is_read_without_its_name_and_with_it():
    name, wanted = next(iter(RECORDED.items()))
    for season in ({}, {"rain": 0.5}, {"name": "spring"}):
        assert id_of(identity(CONVERTER.structure({**recorded(name), "season": season}, Grown))) == wanted


def test_a_careless_field_would_change_them_all():
    name, wanted = next(iter(RECORDED.items()))
    assert id_of(identity(CONVERTER.structure(recorded(name), Careless))) != wanted
