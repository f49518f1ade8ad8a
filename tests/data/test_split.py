"""A split is a fact: it follows from each image's own name, and a run keeps its own whatever becomes of the folder."""

import json
import shutil
import unicodedata
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from folders import classes, encoded, put
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from quick import quick
from srat.cli import main
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.data import prepare
from srat.data.image_folder.naming import name_share
from srat.data.record import Record, file_digest
from srat.data.sources.folder import Folder
from srat.models.backbones.small_cnn import SmallCNN
from srat.runs.folder import RunFolder
from srat.runs.opening import opened, trained_images
from srat.training.fitting import fit

PICTURES = [encoded(seed) for seed in range(40)]


def share(name):
    """The first 64 bits of the name's SHA-256, as a number in [0, 1)."""
    return int(sha256(name.encode()).hexdigest()[:16], 16) / 2**64


def config(folder, **fields):
    base = compose(method="ce", data="folder", epochs=1, batch_size=16)
    attack = replace(base.attack, steps=1)
    data = Folder(dir=folder, workers=1, **fields)
    return replace(base, data=data, model=SmallCNN(width=2), attack=attack, holdout=replace(base.holdout, fraction=0))


def paths(parts, part):
    return {str(path) for path in parts.read(part).images.paths}


class TestTheRule:
    def test_is_the_hash_of_the_files_own_name(self, tmp_path):
        classes(tmp_path, "ant", "bee", n=30)
        test = paths(Folder(dir=tmp_path, test_fraction=0.3).parts(), "test")
        assert test == {str(path) for path in tmp_path.rglob("*.png") if share(path.name) < 0.3}

    def test_does_not_know_of_forms_of_accents(self):
        one, other = (Path(unicodedata.normalize(form, "café.png")) for form in ("NFC", "NFD"))
        assert name_share(one) == name_share(other) == share(unicodedata.normalize("NFC", "café.png"))

    def test_moves_nobody_when_images_come_and_go(self, tmp_path):
        classes(tmp_path, "ant", "bee", n=30)
        before = {part: paths(Folder(dir=tmp_path).parts(), part) for part in ("train", "test")}
        classes(tmp_path, "ant", "cat", n=25, start=100)
        for path in list((tmp_path / "bee").iterdir())[::3]:
            path.unlink()
        after = {part: paths(Folder(dir=tmp_path).parts(), part) for part in ("train", "test")}
        assert not before["train"] & after["test"]
        assert not before["test"] & after["train"]

    def test_a_larger_share_takes_more_and_gives_none_back(self, tmp_path):
        classes(tmp_path, "ant", "bee", n=40)
        small, large = (paths(Folder(dir=tmp_path, test_fraction=f).parts(), "test") for f in (0.2, 0.4))
        assert small < large

    def test_a_class_without_a_test_image_is_said(self, tmp_path):
        classes(tmp_path, "ant", n=20)
        untested = next(name for name in (f"{i}.png" for i in range(99)) if share(name) > 0.2)
        put(tmp_path / "bee" / untested)
        assert "no test image in class bee: its accuracy cannot be measured" in Folder(dir=tmp_path).parts().notes

    def test_a_class_without_a_training_image_is_refused(self, tmp_path):
        classes(tmp_path, "ant", n=20)
        tested = next(name for name in (f"{i}.png" for i in range(99)) if share(name) < 0.2)
        put(tmp_path / "bee" / tested)
        with pytest.raises(UserError, match=r"no training image in class bee: `data.test_fraction` 0.2 draws"):
            Folder(dir=tmp_path).parts()

    def test_no_test_of_one_name_a_class_is_refused_without_advice_that_cannot_help(self, tmp_path):
        for name in ("ant", "ant/more", "bee"):
            put(tmp_path / name / "0.png")
        with pytest.raises(UserError, match="no test can be drawn, as each class has one image, or several") as error:
            Folder(dir=tmp_path).parts()
        assert "fraction" not in str(error.value)

    def test_no_test_at_all_is_refused(self, tmp_path):
        for name in ("ant", "bee"):
            for untested in [f"{i}.png" for i in range(99) if share(f"{i}.png") > 0.2][:2]:
                put(tmp_path / name / untested)
        with pytest.raises(UserError, match=r"no image is in the test.*a larger one may help"):
            Folder(dir=tmp_path).parts()


def moved_run(begun, to):
    """Copy a run and the images beside it; the copied run is of the copied images."""
    shutil.copytree(begun, to, dirs_exist_ok=True)
    file = to / "run" / "config.json"
    file.write_text(file.read_text().replace(str(begun), str(to)))
    return to


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run on a folder of two classes, beside that folder."""
    place = tmp_path_factory.mktemp("begun")
    trained_run(place)
    return place


def trained_run(place):
    """Train on a folder of two classes, beside that folder; return the run and the folder."""
    photos = classes(place / "photos", "ant", "bee", n=30)
    fit(config(photos), out=place / "run")
    return RunFolder(place / "run"), photos


@pytest.fixture
def run(begun, tmp_path):
    """A run on a folder of two classes, and that folder."""
    place = moved_run(begun, tmp_path)
    return RunFolder(place / "run"), place / "photos"


class TestTheRecord:
    def test_names_every_image_with_class_and_content(self, run):
        folder, photos = run
        content = json.loads(folder.split.read_text())
        assert content["class_names"] == ["ant", "bee"]
        assert {*content["train"], *content["test"]} == {
            path.relative_to(photos).as_posix() for path in photos.rglob("*.png")
        }
        assert all(name.startswith(f"{label}/") for name, (label, *_) in content["train"].items())
        assert len({digest for _, digest, _ in content["train"].values()}) == len(content["train"])

    def test_is_read_as_it_was_written(self, run):
        folder, photos = run
        record = Folder(dir=photos).parts().record()
        folder.split.write_text(record.to_json())
        assert folder.record == record

    def test_gives_back_the_very_images(self, run):
        folder, photos = run
        before, after = Folder(dir=photos).parts(), Folder(dir=photos).parts(folder.record)
        for part in ("train", "test"):
            assert before.read(part).images.paths == after.read(part).images.paths
            assert before.read(part).labels.equal(after.read(part).labels)
        assert not any(after.missing.values())

    @pytest.mark.parametrize("what", ["a class", "train and test", "a table", "a colour", "another size", "nothing"])
    def test_stands_whatever_comes(self, run, what):
        folder, photos = run
        before = Folder(dir=photos).parts()
        if what == "a class":
            classes(photos, "aardvark", n=5)
        elif what == "train and test":
            classes(photos / "train", "ant", n=3)
            classes(photos / "test", "ant", n=3)
        elif what == "a table":
            put(photos / "labels.csv", b"file,label\nant0.png,bee\n")
        elif what == "a colour":
            put(photos / "ant" / "new.png", encoded(1, mode="L"))
        elif what == "another size":
            put(photos / "ant" / "new.png", encoded(1, size=(31, 7)))
        after = Folder(dir=photos).parts(folder.record)
        assert after.test().images[:].equal(before.test().images[:])
        assert after.train().images[:].equal(before.train().images[:])
        assert any("new since this run began" in note for note in after.notes) == (what not in ("a table", "nothing"))

    def test_knows_how_the_images_were_read(self, tmp_path):
        for name in ("ant", "bee"):
            for i in range(30):
                put(tmp_path / name / f"{name}{i}.png", encoded(i, mode="L"))
        put(tmp_path / "ant" / "colour.png", encoded(1))
        record = Folder(dir=tmp_path).parts().record()
        (tmp_path / "ant" / "colour.png").unlink()
        assert Folder(dir=tmp_path).parts(record).test().images.shape[1] == 3

    def test_knows_what_lay_beside_the_images(self, tmp_path):
        for part in ("train", "test", "predict"):
            classes(tmp_path / "d" / part, "ant", "bee", n=2)
        record = Record.read(written(tmp_path / "split.json", Folder(dir=tmp_path / "d").parts().record()))
        assert Folder(dir=tmp_path / "d").parts(record).notes == ()

    def test_what_is_gone_or_changed_is_named_and_left_out(self, run):
        folder, photos = run
        gone, changed, *_ = Folder(dir=photos).parts().test().images.paths
        gone.unlink()
        changed.write_bytes(PICTURES[0])
        parts = Folder(dir=photos).parts(folder.record)
        assert not {gone, changed} & {*parts.test().images.paths}
        assert [Path(name).name for name in parts.missing["test"]] == [gone.name, changed.name]
        tested = len(folder.record.parts["test"])
        assert any(f"1 of {tested} test images that this run recorded is gone" in note for note in parts.notes)
        assert any("has changed and is left out" in note for note in parts.notes)

    def test_new_images_are_tested_on_where_asked(self, run):
        folder, photos = run
        assert "no new images" in refused(Folder(dir=photos).parts(folder.record).unrecorded)
        new = {str(path) for name in ("ant", "bee") for path in (put(photos / name / "new.png"),)}
        classes(photos, "cat", n=5)
        parts = Folder(dir=photos).parts(folder.record)
        assert {str(path) for path in parts.unrecorded().images.paths} == new
        assert parts.unrecorded().class_names == ("ant", "bee")

    def test_a_copy_of_a_recorded_image_is_not_new(self, run):
        folder, photos = run
        for name in list(folder.record.parts["train"])[:3]:
            shutil.copy(photos / name, photos / "ant" / f"copy of {Path(name).name}")
        parts = Folder(dir=photos).parts(folder.record)
        assert "no new images" in refused(parts.unrecorded)
        assert any("3 files are copies of recorded images" in note for note in parts.notes)
        moved = photos / next(iter(folder.record.parts["train"]))
        moved.rename(photos / "bee" / "moved.png")
        assert "no new images" in refused(Folder(dir=photos).parts(folder.record).unrecorded)

    @pytest.mark.parametrize("how", ["beside it", "in its place", "in its place, by another name", "as another PNG"])
    @pytest.mark.parametrize("fields", [{}, {"size": 6}, {"streaming": "always"}])
    def test_an_image_saved_again_without_loss_is_not_new(self, run, how, fields):
        _, photos = run
        record = Folder(dir=photos, **fields).parts().record()
        again = list(record.parts["train"])[:4]
        for i, name in enumerate(again):
            saved_again(photos / name, photos / "bee" / f"other{i}.bmp" if "name" in how else None, how=how)
        new = put(photos / "ant" / "new.bmp", encoded(1234, "BMP"))
        parts = Folder(dir=photos, **fields).parts(record)
        assert parts.unrecorded().images.paths == (new,)
        assert any(note.startswith("4 files are copies of recorded images (") for note in parts.notes)
        assert len(parts.missing["train"]) == (0 if how in ("beside it", "as another PNG") else 4)

    @pytest.mark.parametrize("known", ["names", "contents"])
    def test_without_pixels_leaves_out_what_may_be_an_image_saved_again(self, run, known):
        """As runs recorded their images before they recorded pixels."""
        folder, photos = run
        record = folder.record
        record = replace(record, pixels={})
        if known == "names":
            parts = {part: dict.fromkeys(names, "") for part, names in record.parts.items()}
            record = replace(record, parts=parts, labels={})
        record = Record.read(written(folder.path / "split.json", record))
        saved_again(photos / next(iter(record.parts["train"])), how="in its place")
        new = put(photos / "ant" / "new.bmp", encoded(1234, "BMP"))
        parts = Folder(dir=photos).parts(record)
        assert parts.unrecorded().images.paths == (new,)
        assert [note for note in parts.notes if "1 file is named like a recorded image but for the ending (" in note]

    def test_is_made_where_an_image_cannot_be_decoded(self, tmp_path):
        folder = classes(tmp_path / "d", "ant", "bee", n=20)
        source = Folder(dir=folder)
        parts = source.parts()
        broken = put(folder / "ant" / "ant0.png", encoded(1)[:-40])  # after the first look at the files
        record = Record.read(written(tmp_path / "split.json", parts.record()))
        [(part, place)] = [
            (part, list(names).index("ant/ant0.png")) for part, names in record.parts.items() if "ant/ant0.png" in names
        ]
        assert record.pixels[part][place] == ""
        broken.rename(folder / "ant" / "ant0.jpg")
        put(folder / "ant" / "ant0.bmp", encoded(1, "BMP"))
        parts = source.parts(record)
        assert "no new images" in refused(parts.unrecorded)
        assert not any(parts.missing.values())

    @pytest.mark.parametrize(("before", "after"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_knows_names_in_whichever_form_accents_are_written(self, tmp_path, before, after):
        folder = tmp_path / "d"
        for name in ("bête", "ant"):
            for i in range(20):
                put(folder / unicodedata.normalize(before, f"{name}/café{i}.png"), encoded(ord(name[0]) + i))
        for i in range(3):
            put(folder / unicodedata.normalize(before, f"été{i}.png"))
        source = Folder(dir=folder)
        parts = source.parts()
        record = Record.read(written(tmp_path / "split.json", parts.record()))
        assert len(record.others) == 3
        was = {part: parts.read(part).images[:] for part in ("train", "test")}
        for path in sorted(folder.rglob("*"), reverse=True):  # what is within a folder before the folder
            path.rename(path.with_name(unicodedata.normalize(after, path.name)))
        now = source.parts(record)
        assert now.notes == ()
        assert not any(now.missing.values())
        assert all(now.read(part).images[:].equal(images) for part, images in was.items())
        put(folder / unicodedata.normalize(after, "bête") / "new.png")
        assert source.parts(record).unrecorded().counts == (0, 1)

    def test_says_no_image_twice(self, run):
        folder, photos = run
        moved, gone, changed = list(folder.record.parts["train"])[:3]
        (photos / moved).rename(photos / "ant" / "moved.png")
        (photos / gone).unlink()
        (photos / changed).write_bytes(PICTURES[0])
        notes = Folder(dir=photos).parts(folder.record).notes
        for name in (moved, gone, changed, "ant/moved.png"):
            assert sum(name in note for note in notes) == 1, notes

    def test_what_lay_unread_and_has_a_class_now_is_new(self, tmp_path):
        rows = {put(tmp_path / "d" / f"{i}.png").name: "xy"[i % 2] for i in range(30)}
        unread = [put(tmp_path / "d" / f"later{i}.png").name for i in range(4)]
        label(tmp_path / "d", {**rows, **dict.fromkeys(unread, "")})
        source = Folder(dir=tmp_path / "d")
        record = Record.read(written(tmp_path / "split.json", source.parts().record()))
        assert sorted(record.others) == unread
        assert source.parts(record).notes == ()
        label(tmp_path / "d", {**rows, **dict(zip(unread, "xyx", strict=False))})
        parts = source.parts(record)
        assert any(note.startswith("3 images are new since this run began (later0.png, ") for note in parts.notes)
        assert parts.unrecorded().counts == (2, 1)

    def test_what_lay_unread_and_shows_something_else_now_is_new(self, tmp_path):
        for part in ("train", "test", "predict"):
            classes(tmp_path / "d" / part, "ant", "bee", n=2)
        source = Folder(dir=tmp_path / "d")
        record = source.parts().record()
        put(tmp_path / "d" / "predict" / "ant" / "ant0.png", PICTURES[0])
        [note] = source.parts(record).notes
        assert note.startswith("1 image is new since this run began (predict/ant/ant0.png)")

    @pytest.mark.parametrize("before", ["a dangling link", "a text"])
    def test_what_was_no_image_and_is_one_now_is_new(self, tmp_path, before):
        folder = classes(tmp_path / "d", "ant", "bee", n=30)
        late = folder / "ant" / ("late.png" if before == "a dangling link" else "late.dat")
        if before == "a dangling link":
            late.symlink_to(folder / "nowhere.png")
        else:
            put(late, b"words")
        source = Folder(dir=folder)
        record = source.parts().record()
        assert record.others == {}
        assert source.parts(record).notes == ()
        late.unlink()
        put(late)
        assert [path.name for path in source.parts(record).unrecorded().images.paths] == [late.name]

    def test_of_names_alone_knows_what_lay_unread(self, tmp_path):
        """As it was written before it had digests of what was not read."""
        rows = {put(tmp_path / "d" / f"{i}.png").name: "xy"[i % 2] for i in range(30)}
        put(tmp_path / "d" / "later.png")
        label(tmp_path / "d", rows)
        source = Folder(dir=tmp_path / "d")
        content = json.loads(source.parts().record().to_json())
        content["others"] = ["labels.csv", "later.png"]
        (tmp_path / "split.json").write_text(json.dumps(content))
        record = Record.read(tmp_path / "split.json")
        assert source.parts(record).notes == ()
        label(tmp_path / "d", {**rows, "later.png": "x"})
        assert source.parts(record).unrecorded().counts == (1, 0)

    @pytest.mark.parametrize("how", ["renamed", "one folder deeper", "renumbered", "another class"])
    def test_stands_where_its_images_have_been_moved(self, run, how):
        folder, photos = run
        before = Folder(dir=photos).parts()
        images = {part: before.read(part).images[:] for part in ("train", "test")}
        move(photos, how)
        after = Folder(dir=photos).parts(folder.record)
        assert not any(after.missing.values())
        for part in ("train", "test"):
            assert after.read(part).images[:].equal(images[part])
            assert after.read(part).labels.equal(before.read(part).labels)
        [moved, *more] = after.notes
        count = {"renamed": 60, "one folder deeper": 60, "renumbered": 58, "another class": 1}[how]
        have = "image that this run recorded has" if count == 1 else "images that this run recorded have"
        assert moved.startswith(f"{count} {have} been moved (")
        assert moved.endswith("and kept, for the content is the same")
        assert ["another class now" in note for note in more] == [True] * (how == "another class")
        assert "no new images" in refused(after.unrecorded)

    def test_a_run_goes_on_with_its_images_where_they_have_been_moved(self, tmp_path):
        folder, photos = trained_run(tmp_path)
        before = folder.weights("last").read_bytes()
        folder.weights("last").unlink()
        shutil.rmtree(folder.checkpoints)
        move(photos, "one folder deeper")
        fit(config(photos), out=folder.path)
        assert folder.weights("last").read_bytes() == before

    def test_a_moved_image_is_one_image(self, run):
        """Two recorded images of one content are not both taken from the one file that is left."""
        folder, photos = run
        names = sorted(folder.record.parts["train"])[:2]
        shutil.copy(photos / names[0], photos / names[1])
        record = Folder(dir=photos).parts().record()
        (photos / names[1]).unlink()
        (photos / names[0]).rename(photos / "ant" / "moved.png")
        parts = Folder(dir=photos).parts(record)
        assert parts.missing["train"] == (names[1],)
        assert len({*parts.train().images.paths}) == len(record.parts["train"]) - 1

    def test_is_made_where_an_image_without_a_class_cannot_be_read(self, tmp_path, monkeypatch):
        classes(tmp_path, "ant", "bee", n=20)
        put(tmp_path / "loose.png")
        real = Path.open

        def open_(path, *how):
            if path.name == "loose.png" and "b" in "".join(how):
                raise PermissionError(13, "Permission denied")
            return real(path, *how)

        monkeypatch.setattr(Path, "open", open_)
        record = Folder(dir=tmp_path).parts().record()
        assert record.others == {"loose.png": ""}
        assert Folder(dir=tmp_path).parts(record).notes == ()
        (tmp_path / "loose.png").rename(tmp_path / "ant" / "loose.png")
        [note] = Folder(dir=tmp_path).parts(record).notes
        assert note.startswith("1 image is new since this run began (ant/loose.png)")

    def test_with_an_image_that_cannot_be_read_is_one_line(self, tmp_path):
        with pytest.raises(UserError, match=r"gone.png: the file cannot be read \(No such file"):
            file_digest(tmp_path / "gone.png")

    @pytest.mark.parametrize("gone", [True, False])
    def test_a_moved_image_is_said_with_both_names(self, run, gone):
        folder, photos = run
        old = next(iter(folder.record.parts["train"]))
        shutil.copy(photos / old, photos / "bee" / "moved.png")
        if gone:
            (photos / old).unlink()
        notes = Folder(dir=photos).parts(folder.record).notes
        of = "1 image that this run recorded has"
        moved = [
            f"{of} been moved ({old} → bee/moved.png) and kept, for the content is the same",
            f"{of} another class now, or none (bee/moved.png: ant → bee): the recorded classes count",
        ]
        copied = f"1 file is a copy of a recorded image (bee/moved.png = {old}): left out"
        assert [note for note in notes if "moved.png" in note] == (moved if gone else [copied])

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_a_changed_image_of_either_part_is_left_out_and_said(self, run, part):
        folder, photos = run
        name = next(iter(folder.record.parts[part]))
        (photos / name).write_bytes(PICTURES[0])
        parts = Folder(dir=photos).parts(folder.record)
        assert parts.missing[part] == (name,)
        total, said = len(folder.record.parts[part]), "training" if part == "train" else "test"
        of = f"1 of {total} {said} images that this run recorded has changed and is left out"
        assert f"{of} ({name})" in parts.notes
        learned = trained_images(folder, config(photos), parts).images.paths
        assert len(learned) == len(folder.train_indices) - (part == "train")
        assert photos / name not in learned

    def test_a_run_does_not_go_on_with_a_changed_image(self, run):
        folder, photos = run
        name = next(iter(folder.record.parts["train"]))
        (photos / name).write_bytes(PICTURES[0])
        folder.weights("last").unlink()
        with pytest.raises(UserError, match=rf"1 image is gone or changed \({name}\)"):
            fit(config(photos), out=folder.path)

    def test_classes_that_a_table_has_changed_since_are_said_and_the_recorded_count(self, tmp_path):
        rows = {put(tmp_path / f"{i}.png").name: "xy"[i % 2] for i in range(30)}
        label(tmp_path, rows)
        before = Folder(dir=tmp_path).parts()
        record = before.record()
        assert Folder(dir=tmp_path).parts(record).notes == ()
        label(tmp_path, {**rows, "4.png": "y", "7.png": ""})
        after = Folder(dir=tmp_path).parts(record)
        said = "2 images that this run recorded have another class now, or none ("
        [note] = [note for note in after.notes if note.startswith(said)]
        assert {"4.png: x → y", "7.png: y → none"} == {*note.removeprefix(said).partition(")")[0].split(", ")}
        assert note.endswith("the recorded classes count")
        for part in ("train", "test"):
            assert after.read(part).labels.equal(before.read(part).labels)
            assert after.read(part).images.paths == before.read(part).images.paths

    def test_a_folder_that_no_new_run_could_read_is_said(self, tmp_path):
        rows = {put(tmp_path / f"{i}.png").name: "xy"[i % 2] for i in range(30)}
        label(tmp_path, rows)
        record = Folder(dir=tmp_path).parts().record()
        put(tmp_path / "labels.csv", b"file,label\n0.png,x\n0.png,y\n")
        [note] = Folder(dir=tmp_path).parts(record).notes
        assert "this one takes the images that it recorded (" in note
        assert "'0.png' is of class 'x' and of 'y'" in note

    def test_a_run_goes_on_with_the_images_that_it_began_with(self, tmp_path):
        folder, photos = trained_run(tmp_path)
        before = folder.weights("last").read_bytes()
        folder.weights("last").unlink()
        shutil.rmtree(folder.checkpoints)
        classes(photos, "ant", n=40, start=500)
        fit(config(photos), out=folder.path)
        assert folder.weights("last").read_bytes() == before
        (photos / next(iter(folder.record.parts["train"]))).unlink()
        folder.weights("last").unlink()
        with pytest.raises(
            UserError, match=r"the data has changed since this run began: 1 image is gone or changed \(ant/"
        ):
            fit(config(photos), out=folder.path)

    def test_that_is_gone_is_missed(self, run):
        folder, _ = run
        folder.split.unlink()
        assert "split.json is gone" in refused(lambda: folder.record)

    def test_of_a_folder_with_parts_is_kept_too(self, tmp_path):
        for part, n in (("train", 9), ("val", 3), ("test", 4)):
            classes(tmp_path / "d" / part, "ant", "bee", n=n)
        record = Folder(dir=tmp_path / "d").parts().record()
        assert {part: len(names) for part, names in record.parts.items()} == {"train": 18, "validation": 6, "test": 8}
        moved = tmp_path / "d" / "train" / "ant" / "ant0.png"
        moved.rename(tmp_path / "d" / "test" / "ant" / "moved.png")
        assert len(Folder(dir=tmp_path / "d").parts(record).test()) == 8

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "{",
            "null",
            '{"train": 3}',
            '{"class_names": 1}',
            '{"train": {"a": [1]}}',
            '{"train": ["a/1.png"]}',
            '{"train": ["../x.png"], "test": []}',
            '{"train": ["/etc/x"], "test": []}',
            '{"train": {}, "test": {}, "images": {"mode": "L"}}',
            '{"train": {}, "test": {}, "images": {"mode": "L", "height": "a", "width": 8}}',
        ],
    )
    def test_that_is_damaged_is_one_line(self, tmp_path, text):
        (tmp_path / "split.json").write_text(text)
        assert "split.json" in refused(lambda: Record.read(tmp_path / "split.json"))


class TestOfVersion01:
    """It recorded names alone, sorted classes as text, and ranked names within a class."""

    def test_a_split_of_names_is_gone_by(self, tmp_path):
        folder = classes(tmp_path / "d", "2", "10", n=6)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
        (tmp_path / "split.json").write_text(json.dumps({"train": names[1:], "test": names[:1]}))
        parts = Folder(dir=folder).parts(Record.read(tmp_path / "split.json"))
        assert parts.train().class_names == ("10", "2")
        assert [path.relative_to(folder).as_posix() for path in parts.test().images.paths] == names[:1]
        assert parts.train().counts == (5, 6)
        put(folder / names[0], encoded(3))  # nothing was recorded of contents
        assert not any(parts.missing.values())

    def test_knew_no_validation_part(self, tmp_path):
        for part in ("train", "val", "test"):
            classes(tmp_path / part, "a", "b", n=2)
        parts = Folder(dir=tmp_path).parts(Record())
        assert parts.validation() is None
        assert parts.train().counts == (2, 2)

    def test_with_chosen_classes_and_an_image_gone_is_one_it_learned_from(self, tmp_path):
        folder = classes(tmp_path / "d", "ant", "bee", "cat", n=6)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
        run = RunFolder(tmp_path / "r")
        run.path.mkdir()
        base = config(folder, classes=(1, 2))
        run.config.write_text(base.to_json())
        run.split.write_text(json.dumps({"train": names[:-1], "test": names[-1:]}))
        run.indices.write_text(json.dumps({"train": [0, 1, 7]}))
        (folder / "bee" / "bee1.png").unlink()
        learned = trained_images(run, base, base.data.parts(run.record)).images.paths
        assert [path.name for path in learned] == ["bee0.png", "cat1.png"]

    def test_a_folder_with_parts_has_its_classes_as_text(self, tmp_path):
        for part in ("train", "test"):
            classes(tmp_path / part, "2", "10", n=2)
        assert Folder(dir=tmp_path).parts(Record()).train().class_names == ("10", "2")
        assert Folder(dir=tmp_path).parts(None).train().class_names == ("2", "10")


operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "replace", "move", "save again"]),
        st.sampled_from(["ant", "bee", "cat", "train/ant", "test/ant"]),
        st.integers(0, 11),
        st.integers(0, 39),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=operations, after=operations)
@example(before=[], after=[("save again", "ant", 8, 1)])
@example(before=[], after=[("save again", "bee", 9, 1)])
def test_no_image_that_a_run_trained_on_is_ever_among_its_test_images(before, after, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "d"
    for i, name in enumerate(("ant", "bee")):
        for number in range(8):
            put(folder / name / f"{number}.png", PICTURES[i * 10 + number])
    for each in before:
        do(folder, *each)
    source = Folder(dir=folder, workers=1, layout="classes", size=8)
    try:
        parts = source.parts()
    except UserError:
        return  # a class without an image, or no test
    record = Record.read(written(folder.parent / "split.json", parts.record()))
    trained, tested = (contents(parts.read(part).images.paths) for part in ("train", "test"))
    twins = trained & tested  # what lay there twice when the run began
    for each in after:
        do(folder, *each)
    now = source.parts(record)
    try:
        test = now.test().images.paths
    except UserError:
        return  # nothing is left of it
    assert not (trained - twins) & contents(test)
    try:
        new = now.unrecorded().images.paths
    except UserError:
        new = ()
    assert not trained & contents(new)
    assert contents(test) <= tested
    assert len({*test}) == len(test) <= len(record.parts["test"])


def do(folder, what, name, number, seed):
    path = folder / name / f"{number}.png"
    there = sorted(each for each in folder.rglob("*") if each.is_file())
    if what == "add" or (what == "replace" and path.exists()):
        put(path, PICTURES[seed])
    elif what == "remove" and path.exists():
        path.unlink()
    elif what == "move" and there:
        put(path, there[seed % len(there)].read_bytes())
    elif what == "save again" and there:
        how = "in its place" if number % 2 else "beside it"
        saved_again(there[seed % len(there)], path.with_suffix(".bmp"), how=how)


def move(photos, how):
    """Move the images of ant and bee about."""
    if how == "one folder deeper":
        inner = photos.rename(photos.with_name("other"))
        photos.mkdir()
        inner.rename(photos / "images")
    elif how == "renamed":
        for path in photos.rglob("*.png"):
            path.rename(path.with_name(f"new {path.name}"))
    elif how == "renumbered":  # all names but the last are others' from now on
        for name in ("ant", "bee"):
            (photos / name / f"{name}0.png").rename(photos / name / "first")
            for i in range(1, 29):
                (photos / name / f"{name}{i}.png").rename(photos / name / f"{name}{i - 1}.png")
            (photos / name / "first").rename(photos / name / f"{name}28.png")
    else:
        (photos / "ant" / "ant0.png").rename(photos / "bee" / "was an ant.png")


def label(folder, classes_of):
    put(folder / "labels.csv", "\n".join(["file,label", *map(",".join, classes_of.items())]).encode())


def saved_again(path, to=None, *, how):
    """Save an image without loss in another format, or compressed otherwise."""
    image = Image.open(path).convert("RGB")
    if how == "as another PNG":
        image.save(to or path.with_name(f"again {path.name}"), compress_level=0)
        return
    if how != "beside it":
        path.unlink()
    to = to or path.with_suffix(".bmp")
    to.parent.mkdir(parents=True, exist_ok=True)
    image.save(to)


def contents(files):
    """Return what the images show."""
    return {Image.open(path).convert("RGB").tobytes() for path in files}


def written(path, record):
    path.write_text(record.to_json())
    return path


def refused(call):
    with pytest.raises(UserError) as error:
        call()
    return str(error.value)


def test_a_validation_part_is_held_out_and_the_training_part_left_whole(tmp_path):
    for part, n in (("train", 9), ("val", 3), ("test", 4)):
        classes(tmp_path / "d" / part, "ant", "bee", n=n)
    source = Folder(dir=tmp_path / "d")
    base = config(tmp_path / "d")
    data = prepare(source, base.imbalance, compose().holdout, seed=0)
    assert data.train.counts == (9, 9)
    assert data.held_out.counts == (3, 3)
    assert {path.parts[-3] for path in data.held_out.images.paths} == {"val"}
    without = prepare(source, base.imbalance, base.holdout, seed=0)
    assert without.held_out is None


@pytest.mark.parametrize(("fraction", "said"), [(0.1, "held out to choose the best epoch"), (0, "is not used")])
def test_what_becomes_of_a_validation_part_is_said(tmp_path, fraction, said, caplog):
    for part, n in (("train", 9), ("val", 3), ("test", 4)):
        classes(tmp_path / "d" / part, "ant", "bee", n=n)
    base = config(tmp_path / "d")
    fit(replace(base, holdout=replace(base.holdout, fraction=fraction)), out=tmp_path / "run")
    assert said in caplog.text


@pytest.mark.parametrize("how", ["a link", "a copy", "another format"])
def test_test_images_that_are_training_images_too_are_said(tmp_path, how, caplog):
    for part in ("train", "test"):
        classes(tmp_path / "d" / part, "ant", "bee", n=4)
    one = tmp_path / "d" / "train" / "ant" / "ant1.png"
    two = tmp_path / "d" / "test" / "ant" / f"twin.{'bmp' if how == 'another format' else 'png'}"
    if how == "a link":
        two.symlink_to(one)
    elif how == "a copy":
        shutil.copy(one, two)
    else:
        saved_again(one, two, how="beside it")
    fit(config(tmp_path / "d"), out=tmp_path / "run")
    said = "1 image appears in both training and test (which makes accuracies too good): train/ant/ant1.png = "
    assert f"{said}test/ant/{two.name}" in caplog.text
    caplog.clear()
    two.unlink()
    fit(config(tmp_path / "d"), out=tmp_path / "other")
    assert "appear" not in caplog.text


class TestCommands:
    WORDS = quick()

    @pytest.fixture(scope="class")
    @classmethod
    def evaluated(cls, tmp_path_factory):
        place = tmp_path_factory.mktemp("evaluated")
        folder = classes(place / "d", "ant", "bee", n=30)
        words = ("--data", "folder", "--data-dir", str(folder), "--method", "ce", "--holdout.fraction", "0")
        assert main(["train", *words, *cls.WORDS, "--out", str(place / "run")]) == 0
        return place

    @pytest.fixture
    def trained(self, evaluated, tmp_path):
        return moved_run(evaluated, tmp_path)

    def test_evaluate_and_audit_go_by_the_record(self, trained, cli):
        classes(trained / "d", "ant", n=30, start=200)
        code, out, _ = cli("evaluate", trained / "run", "--attack", "pgd-2", "--device", "cpu")
        assert code == 0
        assert "note: 30 images are new since this run began" in out
        tested = json.loads((trained / "run" / "evaluation.json").read_text())["results"]["pgd-2"]["total"]
        code, out, _ = cli("audit", trained / "run", "--check", "disjoint", "--device", "cpu", "--images", 4)
        assert code == 0
        assert f"0 of {sum(tested)} test images are among the training images" in out
        # A copy of a training image under a test image's name is left out.
        record = RunFolder(trained / "run").record
        names = [next(iter(record.parts[part])) for part in ("train", "test")]
        shutil.copy(*(trained / "d" / name for name in names))
        code, out, _ = cli("audit", trained / "run", "--check", "disjoint", "--device", "cpu", "--images", 4)
        assert f"0 of {sum(tested) - 1} test images are among the training images" in out
        assert "has changed and is left out" in out

    def test_what_was_learned_from_is_known_when_some_of_it_is_gone(self, cli, tmp_path):
        classes(tmp_path / "d", "ant", "bee", n=30)
        words = (
            "--data",
            "folder",
            "--data-dir",
            tmp_path / "d",
            "--imbalance",
            "step",
            "--ratio",
            3,
            "--method",
            "ce",
        )
        assert cli("train", *words, *self.WORDS, "--device", "cpu", "--out", tmp_path / "r")[0] == 0
        folder, config = opened(tmp_path / "r")
        before = {str(path) for path in trained_images(folder, config, config.data.parts(folder.record)).images.paths}
        lost = sorted(before)[::4]
        for path in lost:
            Path(path).unlink()
        after = {str(path) for path in trained_images(folder, config, config.data.parts(folder.record)).images.paths}
        assert after == before - {*lost}
        assert len(before) < len(folder.record.parts["train"])

    def test_a_missing_training_image_does_not_stop_an_audit(self, trained, cli, monkeypatch):
        (trained / "d" / next(iter(RunFolder(trained / "run").record.parts["train"]))).unlink()
        monkeypatch.setattr("srat.audit.auditing.SOURCE_EPOCHS", 1)
        monkeypatch.setattr("srat.audit.auditing.SOURCE_STEPS", 1)
        code, out, err = cli("audit", trained / "run", "--check", "transfer", "--device", "cpu", "--images", 4)
        assert code in (0, 3), err
        assert "is gone" in out

    def test_a_run_that_goes_on_keeps_results_on_fewer_images_apart(self, trained, cli):
        run = RunFolder(trained / "run")
        (trained / "d" / next(iter(run.record.parts["test"]))).unlink()
        for file in ("evaluation.json", "examples.safetensors"):
            (run.path / file).unlink()
        assert cli("train", "--out", run.path, "--device", "cpu")[0] == 0
        assert not run.evaluation("last").exists()
        assert run.evaluation("last", len(run.record.parts["test"]) - 1).exists()

    def test_results_on_fewer_images_are_kept_apart(self, trained, cli):
        before = (trained / "run" / "evaluation.json").read_bytes()
        name = next(iter(RunFolder(trained / "run").record.parts["test"]))
        (trained / "d" / name).unlink()
        code, out, _ = cli("evaluate", trained / "run", "--attack", "pgd-2", "--device", "cpu")
        assert code == 0
        assert f"is gone ({name})" in out
        left = len(RunFolder(trained / "run").record.parts["test"]) - 1
        assert (trained / "run" / f"evaluation-{left}.json").exists()
        assert (trained / "run" / "evaluation.json").read_bytes() == before

    def test_new_images_are_tested_on_where_asked(self, trained, cli):
        classes(trained / "d", "ant", "bee", n=5, start=200)
        classes(trained / "d", "cat", n=2)
        code, out, _ = cli("evaluate", trained / "run", "--new-images", "--device", "cpu")
        assert code == 0
        assert "2 new images are of no class that this run knows, and left out (cat/cat0.png, cat/cat1.png)" in out
        assert json.loads((trained / "run" / "evaluation-new.json").read_text())["results"]["clean"]["total"] == [5, 5]
        assert "--new-images" in cli("evaluate", trained / "run", "--new-images", "--images", 2)[2]

    def test_published_data_have_no_new_images(self, cli, tmp_path):
        assert cli("train", *quick(model="linear"), "--device", "cpu", "--out", tmp_path / "r")[0] == 0
        assert "does not change: there are no new images" in cli("evaluate", tmp_path / "r", "--new-images")[2]
