"""What fuzzing has found, and what it starts from, read again by every run of the suite."""

import random
from pathlib import Path

import pytest
from fuzz_targets import TARGETS

from srat.core.errors import UserError

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_case_is_refused_in_one_line(path, tmp_path):
    with pytest.raises(UserError) as raised:
        TARGETS[path.parent.name].read(path.read_bytes(), tmp_path)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 2_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_starts_from_can_mostly_be_read(name, tmp_path):
    read = 0
    for seed in TARGETS[name].seeds(tmp_path):
        try:
            TARGETS[name].read(seed, tmp_path)
            read += 1
        except UserError:
            continue
    assert read >= 1


@pytest.mark.parametrize("name", TARGETS)
def test_a_little_damage_is_refused_or_borne(name, tmp_path):
    draw = random.Random(0)
    seeds = TARGETS[name].seeds(tmp_path)
    for _ in range(60):
        content = bytearray(draw.choice(seeds))
        for _ in range(draw.randrange(1, 5)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            TARGETS[name].read(
                bytes(content[: draw.randrange(len(content)) if draw.random() < 0.2 else None]), tmp_path
            )
        except UserError as error:
            assert str(error).isprintable()  # noqa: PT017
