"""Near twins across parts are found before a training, with the pairs, and with what would keep them together."""

import csv
import shlex
import shutil

import pytest
import torch
from folders import classes, put, table
from PIL import Image
from takes import frames, tracks

from quick import quick
from srat.cli.commands.train import read_arguments
from srat.core.errors import UserError
from srat.data import Dataset
from srat.data.leaks import dependence_notes
from srat.data.looks import Looks, looks_of, looks_of_thumbnails, thumbnail
from srat.data.near_twins import mutual_twins, takes
from srat.data.sources.folder import Folder
from srat.data.survey import survey
from srat.report.terminal.survey import remarks

TRACK = r"^(\d+)_"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Recordings of two classes, of which srat draws the test."""
    return tracks(tmp_path_factory.mktemp("photos"), {"ant": 12, "bee": 6})


def texts(found):
    return [text for text, _ in remarks(found)]


def commanded(out):
    """Return the configuration of the command that was printed."""
    [line] = [line for line in out.splitlines() if line.startswith("To train on it: srat train")]
    _, config = read_arguments(shlex.split(line.partition("srat train ")[2]))
    return config


class TestNearTwinsOfAClass:
    def test_are_frames_of_one_recording(self):
        images = [thumbnail(image) for seed in range(10) for image in frames(seed, 5)]
        track = torch.arange(50) // 5
        pairs = mutual_twins(looks_of_thumbnails(images), torch.zeros(50).long())
        assert (track[pairs[:, 0]] == track[pairs[:, 1]]).all()
        assert takes(50, pairs) == track.tolist()

    def test_are_not_looked_for_in_other_classes(self):
        images = [thumbnail(image) for image in frames(0, 4)]
        assert len(mutual_twins(looks_of_thumbnails(images), torch.arange(4))) == 0
        assert takes(4, mutual_twins(looks_of_thumbnails(images), torch.arange(4))) == [0, 1, 2, 3]

    def test_have_to_find_each_other(self):
        away = torch.eye(8)[1:8] * torch.tensor([0.17] * 6 + [0.42])[:, None]
        vectors = torch.nn.functional.normalize(torch.eye(8)[0] + away, dim=1)  # the last finds the others near
        assert 0.9 < float(vectors[6] @ vectors[0]) < float(vectors[1] @ vectors[0]) < 0.99
        pairs = mutual_twins(Looks(vectors, torch.ones(7, 64)), torch.zeros(7).long())
        assert len(pairs)
        assert 6 not in pairs

    def test_of_many_copies_are_joined_all(self):
        image = thumbnail(next(frames(0, 1)))
        others = [thumbnail(next(frames(seed, 1))) for seed in range(1, 30)]
        numbers = takes(49, mutual_twins(looks_of_thumbnails([*[image] * 20, *others]), torch.zeros(49).long()))
        assert len({*numbers[:20]}) == 1
        assert len({*numbers}) == 30

    def test_a_thumbnail_looks_as_the_image_does(self):
        images = [image for seed in range(6) for image in frames(seed, 1)]
        tensors = torch.stack(
            [torch.frombuffer(bytearray(i.tobytes()), dtype=torch.uint8).view(32, 32, 3) for i in images]
        )
        whole = looks_of(Dataset(tensors.permute(0, 3, 1, 2), torch.arange(6) % 2, ("a", "b")))
        small = looks_of_thumbnails([thumbnail(image) for image in images])
        assert (whole.vectors * small.vectors).sum(dim=1).min() > 0.95


class TestTheSurvey:
    def test_counts_test_images_with_a_twin_and_proposes_the_pattern_that_they_share(self, photos):
        found = survey(Folder(dir=photos, workers=1))
        [leak] = found.leaks.by_part
        files = found.readable
        own = [file.path.name.split("_")[0] for file in files]
        assert leak.part == "test"
        assert len(leak.pairs) > 0.5 * leak.total
        assert all(own[pair.image] == own[pair.twin] for pair in leak.pairs)
        assert all((files[p.image].part, files[p.twin].part) == ("test", "train") for p in leak.pairs)
        assert [p.correlation for p in leak.pairs] == sorted((p.correlation for p in leak.pairs), reverse=True)
        assert found.leaks.advice.group == TRACK
        said = (
            f"{len(leak.pairs)} of {leak.total} test images have a near twin in training: the test is not independent"
        )
        assert any(text.startswith(said) for text in texts(found))
        assert any(rf"`data.group` '{TRACK}' keeps 100.0 % of such pairs in one part" in text for text in texts(found))

    def test_finds_none_once_they_are_grouped(self, photos):
        found = survey(Folder(dir=photos, workers=1, group=TRACK))
        assert not found.leaks.by_part
        assert found.leaks.advice is None

    def test_is_silent_of_images_that_have_nothing_in_common(self, tmp_path):
        found = survey(Folder(dir=classes(tmp_path, "ant", "bee", n=30), workers=1))
        assert not found.leaks.by_part
        assert found.leaks.advice is None

    @pytest.mark.parametrize(
        ("name", "pattern"),
        [
            ("{track:02d}-{frame}.png", r"^(\d+)-"),
            ("walk{track}/{frame}.png", r"^([^/]+)/"),
            ("site_{track}_take.{frame:02d}.png", r"^(.*\D)\d+\."),
            ("{track:02d}x_{frame}z.png", r"^([^_/]+)_"),
        ],
    )
    def test_finds_the_pattern(self, tmp_path, name, pattern):
        source = Folder(dir=tracks(tmp_path, {"ant": 8, "bee": 8}, name=name), layout="classes", workers=1)
        assert survey(source).leaks.advice.group == pattern

    def test_finds_a_column(self, tmp_path):
        rows = ["file,label,camera,scene"]
        for label in ("ant", "bee"):
            for scene in range(8):
                for frame, image in enumerate(frames(hash((label, scene)) % 10_000, 5)):
                    name = f"{abs(hash((label, scene, frame))):x}.png"
                    image.save(put(tmp_path / name), "PNG")
                    rows.append(f"{name},{label},one,{label}{scene}")
        table(tmp_path / "labels.csv", *rows)
        assert survey(Folder(dir=tmp_path, workers=1)).leaks.advice.group == "column:scene"

    def test_proposes_twins_where_no_name_says_anything(self, tmp_path):
        name = "{kind}-{track:02d}{frame:02d}.png"
        found = survey(Folder(dir=tracks(tmp_path, {"ant": 8, "bee": 8}, name=name), workers=1))
        assert found.leaks.advice.group == "found"
        again = survey(Folder(dir=tmp_path, workers=1, group="found"))
        assert not any(leak.many for leak in again.leaks.by_part)

    def test_proposes_groups_for_held_out_images_where_the_test_is_the_folders_own(self, photos, tmp_path):
        shutil.copytree(photos, tmp_path / "train")
        classes(tmp_path / "test", "ant", "bee", n=5)
        found = survey(Folder(dir=tmp_path, workers=1))
        assert not found.leaks.by_part
        assert found.leaks.advice.group == TRACK


class TestTheCommand:
    def test_lists_draws_and_recommends(self, cli, photos, tmp_path, monkeypatch):
        monkeypatch.setattr("srat.planning.planning.MEASURING", 0.0)  # of networks, the first alone is measured
        code, out, _ = cli(
            *("data", "folder", photos, "--twins", tmp_path / "t.csv", "--twins-picture", tmp_path / "t.png")
        )
        assert code == 0
        [leak] = survey(Folder(dir=photos, workers=1)).leaks.by_part
        rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
        assert len(rows) == len(leak.pairs)
        assert f"{len(rows)} pairs of near twins written to" in out
        for row in rows:
            assert (row["part"], row["twin_part"]) == ("test", "train")
            assert row["class"] == row["twin_class"] == row["image"].split("/")[-2]
            assert 0.9 <= float(row["correlation"]) <= 1
        with Image.open(tmp_path / "t.png") as picture:
            assert picture.width > 600
            assert len(picture.convert("L").getcolors()) > 50
        assert commanded(out).data.group == TRACK
        code, out, _ = cli("data", "folder", photos, "--data.group", TRACK, "--twins-picture", tmp_path / "none.png")
        assert code == 0
        assert "near twin" not in out.replace("no near twins across parts", "")
        assert not (tmp_path / "none.png").exists()
        assert commanded(out).data.group == TRACK

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("folder", "{photos}", "--twins", "t.txt"), "--twins: expected a file ending in .csv, got 't.txt'"),
            (("folder", "{photos}", "--twins", "no/t.csv"), "--twins: there is no folder 'no'"),
            (("folder", "{photos}", "--twins-picture", "t.jpg"), "--twins-picture: expected a file ending in .png"),
            (("digits", "--twins", "t.csv"), "--twins: expected a folder of images of your own, got digits"),
            (
                ("folder", "{photos}", "--data.group", "("),
                "--data.group: expected a regular expression on images' names",
            ),
        ],
    )
    def test_refuses_what_it_cannot_do(self, cli, photos, words, said):
        code, out, err = cli("data", *(word.format(photos=photos) for word in words))
        assert code == 2
        assert said in out + err


class TestTraining:
    def test_says_that_the_test_is_not_independent(self, photos):
        parts = Folder(dir=photos, workers=1).parts()
        [note] = dependence_notes(parts.train(), parts.test())
        assert note.startswith("the test is not independent: ")
        assert " test images looked at have a near twin in training; 'srat data' lists them" in note

    def test_says_nothing_where_it_is(self, photos):
        parts = Folder(dir=photos, workers=1, group=TRACK).parts()
        assert list(dependence_notes(parts.train(), parts.test())) == []

    def test_does_not_look_where_that_takes_long(self, photos, monkeypatch):
        parts = Folder(dir=photos, workers=1).parts()
        train, test = parts.train(), parts.test()
        for name, most in (("MOST_IMAGES", min(train.counts) - 1), ("MOST_BYTES", 100)):
            with monkeypatch.context() as patch:
                patch.setattr(f"srat.data.leaks.{name}", most)
                assert list(dependence_notes(train, test)) == []

    def test_looks_at_the_smallest_classes_of_many_images(self, photos, monkeypatch):
        parts = Folder(dir=photos, workers=1).parts()
        train, test = parts.train(), parts.test()
        monkeypatch.setattr("srat.data.leaks.MOST_IMAGES", sum(train.counts) - 1)
        [note] = dependence_notes(train, test)
        assert f" of {test.counts[1]} test images looked at" in note

    def test_once_through_the_command_line(self, cli, photos, tmp_path):
        words = ("train", "--data", "folder", "--data-dir", photos, *quick(), "--out", tmp_path / "run")
        code, out, _ = cli(*words)
        assert code == 0
        assert out.count("the test is not independent") == 1
        code, out, _ = cli(*words, "--data.group", TRACK, "--out", tmp_path / "grouped")
        assert code == 0
        assert "the test is not independent" not in out
        assert "makes 18 groups of 108 images" in out


def test_a_look_at_nothing_is_refused():
    with pytest.raises(UserError, match="images: expected at least one, got none"):
        looks_of_thumbnails([])
