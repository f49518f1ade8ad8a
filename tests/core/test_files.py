"""Files are whole or not there; strangers' are read as far as is bearable."""

import os
import stat

import pytest

from srat.core.errors import UserError
from srat.core.files import parse_json, read_bounded, remove_leftovers, size, write_atomically


@pytest.mark.parametrize("content", ["Größe", "Größe".encode(), ["Gr\u00f6".encode(), memoryview("ße".encode())]])
def test_writes_text_bytes_and_parts(tmp_path, content):
    write_atomically(tmp_path / "x", content)
    assert (tmp_path / "x").read_text(encoding="utf-8") == "Größe"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_has_the_mode_that_others_have(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        write_atomically(tmp_path / "none" / "x", "")
    assert raised.value.filename == str(tmp_path / "none" / "x")


def test_content_that_fails_leaves_nothing(tmp_path):
    def parts():
        yield b"half"
        raise KeyboardInterrupt

    (tmp_path / "x").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x", parts())
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_leftovers_are_ours_alone(tmp_path):
    for name in (".x.0a1b2c3d.tmp", ".notes.tmp", "x.0a1b2c3d.tmp", ".x.0a1b2c3d.tmp.bak"):
        (tmp_path / name).write_text("")
    (tmp_path / ".y.0a1b2c3d.tmp").mkdir()
    remove_leftovers(tmp_path)
    assert not (tmp_path / ".x.0a1b2c3d.tmp").exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_reads_no_more_than_the_limit(tmp_path):
    (tmp_path / "x").write_bytes(bytes(10))
    assert read_bounded(tmp_path / "x", 10) == bytes(10)
    with pytest.raises(UserError, match="expected at most 9 bytes, got 10 bytes"):
        read_bounded(tmp_path / "x", 9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot be read .No such file"),
        (lambda path: path.mkdir(), "cannot be read .Is a directory"),
        (lambda path: os.mkfifo(path), "a device or a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device or a pipe"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_refuses_what_is_no_file(tmp_path, make, said):
    make(tmp_path / "x")
    with pytest.raises(UserError, match=said):
        read_bounded(tmp_path / "x", 10_000)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "[" * 100_000, "9" * 5_000, '"\\ud800"', '{"\\udfff": 1}', b"\xff\xfe", b"\x00"],
)
def test_refuses_json_that_is_none(text):
    with pytest.raises(UserError, match="^x: not valid JSON"):
        parse_json(text, where="x")


def test_numbers_may_be_none_if_told_so():
    assert str(parse_json("[NaN, -Infinity]", where="x", finite=False)) == "[nan, -inf]"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1 kB"),
        (123_456, "123 kB"),
        (4_194_304, "4.19 MB"),
        (2e15, "2e+03 TB"),
    ],
)
def test_sizes_are_for_people(count, text):
    assert size(count) == text
