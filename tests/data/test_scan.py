"""Everything in a folder is read, or named with the reason."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from folders import classes, encoded, files_there, picture, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from srat.core.errors import UserError
from srat.data.image_folder.scan import Passed, is_hidden, scan, told, told_in_line
from srat.data.reading import decoding, formats
from srat.data.sources.folder import Folder

PNG = encoded()
NAMES = ("ant", "bee", "train", "Test", "val", "sub", "1", "__MACOSX", ".hidden", "café")
KINDS = {
    "a.png": PNG,
    "b.JFIF": encoded(kind="JPEG"),
    "c": PNG,
    "d.dat": PNG,
    "notes.txt": b"words",
    "no ending": b"words",
    "list.csv": b"a,b\n1,2\n",
    "labels.csv": b"file,label\na.png,x\nc,y\n",
    "headless.csv": b"a.png,x\nc,y\n",
    "one-hot.csv": b"file,mel,nv\na.png,1,0\nc,0,1\n",
    "empty.tsv": b"",
    "damaged.csv": b"\xff",
    "train.csv": b"file,label\nA.PNG,x\nc,\nd,y\n",
    "photos.zip": b"PK",
    "._a.png": b"\0\5\26\7",
    "Thumbs.db": b"x",
    "photo.nef": encoded(kind="TIFF"),
    "e.tif": encoded(kind="TIFF"),
    "film.mp4": b"\0\0\0\x18ftypisom",
}
USABLE = ("/labels.csv", "/headless.csv", "/train.csv")
LINKS = {"dangling.png": "nowhere", "up": "..", "itself": "itself", "here": "."}
trees = st.recursive(
    st.dictionaries(st.sampled_from([*KINDS, *LINKS]), st.none(), max_size=4),
    lambda inner: st.dictionaries(st.sampled_from([*NAMES, *KINDS, *LINKS]), inner | st.none(), max_size=4),
    max_leaves=12,
)

# Trees of a kind that people have, in which everything can be told.
files = st.dictionaries(st.sampled_from([*KINDS, *LINKS]), st.none(), max_size=6)
full = files.map(lambda names: {**names, "a.png": None})
loose = dict.fromkeys(("notes.txt", "._a.png", "up", "c"), st.none())
sorted_ = st.fixed_dictionaries({"ant": full, "bee": full}, optional=loose)
useless = dict.fromkeys(("list.csv", "one-hot.csv", "empty.tsv", "damaged.csv", "photos.zip", "up"), st.none())
tabled = st.one_of(
    st.fixed_dictionaries(
        {"a.png": st.none(), "c": st.none(), "d.dat": st.none(), table: st.none()},
        optional={**useless, "sub": full, ".hidden": full},
    )
    for table in ("labels.csv", "headless.csv", "train.csv")
)
beside = {"val": sorted_, "sub": full, "a.png": st.none(), "list.csv": st.none()}
arranged = sorted_ | st.fixed_dictionaries({"train": sorted_, "Test": sorted_}, optional=beside)


def grow(folder, tree):
    folder.mkdir()
    for name, below in (tree or {}).items():
        if name in LINKS:
            (folder / name).symlink_to(LINKS[name])
        elif name in KINDS:
            (folder / name).write_bytes(KINDS[name])
        else:
            grow(folder / name, below)


def accounted(folder):
    branch = scan(folder)
    return sorted(map(str, [*branch.all_images, *branch.all_tables, *(each.path for each in branch.all_passed)]))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_what_is_read_and_what_is_named_is_what_is_there(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree") / "d"
    grow(folder, tree)
    there = files_there(folder)
    assert accounted(folder) == there
    with contextlib.suppress(UserError):  # where it cannot be told which class they are of
        assert_accounted(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=arranged | tabled)
def test_of_trees_that_can_be_told_every_file_is_read_or_named(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree") / "d"
    grow(folder, tree)
    assert_accounted(folder)


def assert_accounted(folder):
    there, found = files_there(folder), Folder(dir=folder).found(folder)
    tables = [path for path in there if path.endswith(USABLE)]
    read, passed = [*map(str, found.paths)], [str(each.path) for each in found.passed]
    assert len({*read}) == len(read)
    assert not {*read} & {*passed}
    assert {*there} - {*tables} <= {*read, *passed} <= {*there}


def test_an_image_is_known_by_its_content(tmp_path):
    for kind, name in (("PNG", "x"), ("JPEG", "x.jfif"), ("TIFF", "x.dat"), ("WEBP", "y"), ("JPEG2000", "x.jp2")):
        put(tmp_path / name, encoded(kind=kind))
    put(tmp_path / "x.avif", encoded(kind="AVIF"))
    assert len(scan(tmp_path).all_images) == 6


@pytest.mark.parametrize(
    ("name", "content", "kind", "why"),
    [
        ("x.txt", b"words", "foreign", "not an image (.txt)"),
        ("x", b"words", "foreign", "not an image (without an ending)"),
        ("x.tar.gz", b"x", "foreign", "archive that is not unpacked (.gz)"),
        ("x.MOV", b"x", "foreign", "video (.mov)"),
        ("x.xlsx", b"PK", "foreign", "spreadsheet, which is read only as .csv (.xlsx)"),
        ("x.nef", encoded(kind="TIFF"), "unreadable", "camera raw (.nef)"),
        (".x.png", PNG, "hidden", "hidden"),
        ("desktop.ini", b"", "hidden", "hidden"),
        ("THUMBS.DB", b"", "hidden", "hidden"),
        ("__MACOSX/deep/x.png", PNG, "hidden", "hidden"),
    ],
)
def test_what_is_not_read_says_why(tmp_path, name, content, kind, why):
    path = put(tmp_path / name, content)
    [passed] = scan(tmp_path).all_passed
    assert (passed.path, passed.kind, passed.why) == (path, kind, why)


def test_a_damaged_image_is_not_passed_over(tmp_path):
    path = put(tmp_path / "x.png", b"no image")
    assert scan(tmp_path).all_images == (path,)


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_read_where_it_can_be_and_said_where_not(tmp_path, monkeypatch, brand):
    for name in ("x.heic", "y.jpg", "z"):
        put(tmp_path / name, b"\0\0\0\x18ftyp" + brand + bytes(12))
    monkeypatch.setattr(formats, "reads_heif", lambda: False)
    passed = scan(tmp_path).all_passed
    assert len(passed) == 3
    assert all("pillow-heif" in each.why for each in passed)


def test_heic_as_phones_write_it_becomes_pixels(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    image = picture(size=(64, 64)).resize((8, 8)).resize((64, 64))
    pillow_heif.from_pillow(image).save(tmp_path / "x.heic", quality=90)
    assert scan(tmp_path).all_images
    with decoding.opened(tmp_path / "x.heic") as opened:
        assert opened.size == (64, 64)
        apart = np.asarray(opened.convert("L"), float) - np.asarray(image.convert("L"), float)
    assert np.abs(apart).mean() < 8


class TestLinks:
    def test_to_folders_are_followed(self, tmp_path):
        classes(tmp_path / "elsewhere", "more", n=3)
        classes(tmp_path / "d", "ant", n=2)
        (tmp_path / "d" / "ant" / "link").symlink_to(tmp_path / "elsewhere")
        assert len(scan(tmp_path / "d").all_images) == 5

    @pytest.mark.parametrize("target", [".", "..", "../ant"])
    def test_that_go_round_in_circles_are_named(self, tmp_path, target):
        classes(tmp_path / "d", "ant", n=2)
        (tmp_path / "d" / "ant" / "link").symlink_to(target)
        branch = scan(tmp_path / "d")
        assert len(branch.all_images) == 2
        assert [each.why for each in branch.all_passed] == ["link back to a folder that it lies in"]

    def test_that_multiply_are_cut(self, tmp_path):
        for level in range(12):
            (tmp_path / f"d{level}").mkdir()
            (tmp_path / f"d{level}" / "on").symlink_to(tmp_path / f"d{level + 1}")
        classes(tmp_path / "d12", "ant", n=1)
        branch = scan(tmp_path / "d0")
        assert not branch.all_images
        assert "too many links" in branch.all_passed[0].why

    def test_to_nothing_and_to_themselves_are_named(self, tmp_path):
        (tmp_path / "x.png").symlink_to("nowhere")
        (tmp_path / "y.png").symlink_to("y.png")
        passed = scan(tmp_path).all_passed
        assert [(each.kind, each.why) for each in passed] == [("unreadable", "dangling link")] * 2


def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    assert [each.why for each in scan(tmp_path).all_passed] == ["device or pipe"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "shut").mkdir(mode=0)
    assert "cannot be read" in scan(tmp_path).all_passed[0].why


def test_a_folder_that_fails_is_named(tmp_path, monkeypatch):
    classes(tmp_path, "ant", "shut", n=1)
    real = os.scandir

    def failing(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)
    branch = scan(tmp_path)
    assert len(branch.all_images) == 1
    assert [each.why for each in branch.all_passed] == ["folder that cannot be read (Permission denied)"]


def test_the_lines_say_how_many_of_how_many_and_why(tmp_path):
    classes(tmp_path, "ant", n=3)
    for name in ("a.txt", "b.txt", "c.txt", "d.txt", ".e"):
        put(tmp_path / "ant" / name, b"x")
    branch = scan(tmp_path)
    lines = told(branch.all_passed, 3, tmp_path)
    assert lines[0] == "5 of 8 files are not read"
    assert lines[1] == "not an image (.txt): 4 (ant/a.txt, ant/b.txt, ant/c.txt, …)"
    assert lines[2] == "hidden: 1 (ant/.e)"
    short = "not an image (.txt): 4, hidden: 1 (ant/.e, ant/a.txt, ant/b.txt, …)"
    assert told_in_line(branch.all_passed, 3, tmp_path) == [
        f"{lines[0]}: {short}; to see more: srat data folder {tmp_path}"
    ]
    assert told([], 3, tmp_path) == told_in_line([], 3, tmp_path) == []


@pytest.mark.parametrize("what", ["file", "nothing", "shut"])
def test_a_folder_that_cannot_be_read_itself_is_refused(tmp_path, monkeypatch, what):
    folder = put(tmp_path / "x.png") if what == "file" else tmp_path / "nothing" if what == "nothing" else tmp_path
    if what == "shut":
        monkeypatch.setattr(os, "scandir", shut)
    with pytest.raises(UserError, match=rf"{folder}: the folder cannot be read \(.+\)"):
        scan(folder)


def test_what_lies_behind_a_closed_folder_is_named(tmp_path, monkeypatch):
    """A link into a folder without permission, as an image and as a table."""
    for name in ("x.png", "x.csv", "x"):
        put(tmp_path / name)
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: shut() if path.stem == "x" else real(path, **how))
    assert [each.why for each in scan(tmp_path).all_passed] == ["file that cannot be read (Permission denied)"] * 3
    monkeypatch.setattr(Path, "stat", shut)
    with pytest.raises(UserError, match=r"which cannot be reached \(Permission denied\)"):
        Folder(dir=tmp_path).parts()


def shut(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_many_reasons_take_no_longer_and_fill_no_page(tmp_path):
    passed = [Passed(path=tmp_path / f"x.{n}", kind="foreign", why=f"not an image (.{n})") for n in range(40_000)]
    assert len(told(passed, 0, tmp_path)) == 14
    assert told(passed, 0, tmp_path)[-1] == "other reasons: 39,988"


def test_numbered_files_are_of_one_kind(tmp_path):
    for n in range(5):
        put(tmp_path / f"IM.{n:05d}", b"words")
    assert {each.why for each in scan(tmp_path).all_passed} == {"not an image (its ending is a number)"}


def test_hidden_names():
    assert all(
        map(is_hidden, (".x", "._x.png", "__MACOSX", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints", "@eaDir"))
    )
    assert not any(map(is_hidden, ("x", "_x", "thumbs.db.png", "ant.")))
