"""Which images of a folder are meant: by patterns, and without those that are damaged."""

import numpy as np
import pytest
import torch
from folders import classes, counts, encoded, put, refused, table
from PIL import Image

from refusals import refusing
from srat import compose, evaluate_run, fit
from srat.core.errors import UserError
from srat.data.apart import images_apart
from srat.data.image_folder.patterns import fits, side_notes
from srat.data.sources.folder import Folder
from srat.models.backbones.linear import Linear
from srat.runs.folder import RunFolder


def notes(folder, **how):
    return Folder(dir=folder, **how).parts().notes


def tiny(source):
    """Return a run of one epoch of natural training."""
    return compose(method="natural", data=source, model=Linear(), epochs=1, batch_size=4)


@pytest.fixture
def masked(tmp_path):
    """A photograph and its mask, of each of two classes, in parts."""
    for part, n in (("train", 6), ("test", 3)):
        for name in ("ant", "bee"):
            for i in range(n):
                put(tmp_path / part / name / f"{name}{i}.jpg", encoded(i, "JPEG"))
                put(tmp_path / part / name / f"{name}{i}.png")
    return tmp_path


class TestPatterns:
    @pytest.mark.parametrize(
        ("name", "pattern", "fit"),
        [
            ("ant/1.jpg", "*.jpg", True),
            ("ant/1.JPG", "*.jpg", True),
            ("ant/1.jpg", "*.JPG", True),
            ("ant/1.jpeg", "*.jpg", False),
            ("ant/1_mask.png", "*_mask.*", True),
            ("ant_mask.x/1.png", "*_mask.*", False),  # of the name alone
            ("train/ant/1.png", "train/*", True),
            ("train/ant/1.png", "ant/*", False),  # of the whole path
            ("train/ant/1.png", "*/ant/*.png", True),
            ("a/[1].png", "[[]1].png", True),
            ("a/3.png", "[0-4].png", True),
        ],
    )
    def test_they_are_those_of_a_shell(self, name, pattern, fit):
        assert fits(name, pattern) is fit

    def test_those_that_are_meant_are_read_and_the_others_named(self, masked):
        assert counts(masked, include=("*.jpg",))["train"] == {"ant": 6, "bee": 6}
        (said,) = notes(masked, include=("*.jpg",))
        assert "18 of 36 files are not read: not *.jpg: 18 (" in said
        assert counts(masked, exclude=("*.png",)) == counts(masked, include=("*.JPG",))
        assert "excluded by *.png: 18 (" in notes(masked, exclude=("*.png",))[0]

    def test_several_are_joined_and_exclusion_comes_first(self, masked):
        found = counts(masked, include=("ant0.*", "bee1.*"), exclude=("*.png",))
        assert found["train"] == {"ant": 1, "bee": 1}

    def test_one_with_a_slash_fits_paths(self, masked):
        assert counts(masked, exclude=("train/*/*0.*", "train/*/*1.*"))["train"] == {"ant": 8, "bee": 8}
        assert counts(masked, exclude=("train/*/*0.*",))["test"] == {"ant": 6, "bee": 6}

    def test_where_no_image_is_left_what_there_is_is_said(self, masked):
        refused(masked, r"no image is left by `data.include` \*.jgp; there are: 18 .jpg, 18 .png", include=("*.jgp",))
        refused(
            masked,
            r"`data.include` \*.jpg and `data.exclude` \*nt\* \*ee\*;",
            include=("*.jpg",),
            exclude=("*nt*", "*ee*"),
        )

    def test_one_that_fits_nothing_is_said(self, masked):
        assert "no image fits `data.exclude` *_msk.*" in notes(masked, exclude=("*.png", "*_msk.*"))
        assert "no image fits `data.include` *.tif" in notes(masked, include=("*.jpg", "*.tif"))
        assert not any("no image fits" in note for note in notes(masked, include=("*.jpg",)))

    def test_an_image_that_a_table_names_may_be_excluded(self, tmp_path):
        for i in range(8):
            put(tmp_path / f"{i}.png")
        table(tmp_path / "labels.csv", "file,label", *(f"{i}.png,{'ab'[i % 2]}" for i in range(8)))
        assert sum(counts(tmp_path, exclude=("0.png",))["train"].values()) < 8
        assert any("0.png" in note and "excluded by" in note for note in notes(tmp_path, exclude=("0.png",)))

    def test_they_change_the_run_and_nothing_else(self, tmp_path):
        plain = compose(data=Folder(dir=tmp_path))
        assert compose(data=Folder(dir=tmp_path, include=("*.jpg",))).id != plain.id
        assert compose(data=Folder(dir=tmp_path, exclude=("*.jpg",))).id != plain.id


class TestSideFiles:
    def test_masks_that_are_read_as_images_are_said(self, masked):
        said = "each .jpg has a .png of the same name beside it, and both are read"
        assert any(said in note and "`data.include` '*.jpg'" in note for note in notes(masked))

    def test_masks_by_the_end_of_their_names_are_said(self, tmp_path):
        for name in ("ant", "bee"):
            for i in range(5):
                put(tmp_path / name / f"{name}_{i}.png")
                put(tmp_path / name / f"{name}_{i}_mask.png")
        (said,) = (note for note in notes(tmp_path) if "beside it" in note)
        assert said.startswith("each image has another beside it whose name ends in _mask, and both are read")
        assert "`data.exclude` '*_mask.*'" in said
        assert not any("beside it" in note for note in notes(tmp_path, exclude=("*_mask.*",)))

    @pytest.mark.parametrize(
        "names",
        [
            ["1.jpg", "1.png", "2.jpg"],  # not each
            ["1.jpg", "2.png", "3.jpg", "4.png"],
            ["a_1.png", "a_2.png", "a.png"],  # numbers are no kind of picture
            ["1.jpg", "1.png"],  # one alone
            ["1.png", "2.png", "2_mask.png"],
        ],
    )
    def test_others_are_not(self, names, tmp_path):
        assert list(side_notes([tmp_path / name for name in names])) == []

    def test_the_same_names_in_other_folders_are_no_pairs(self, tmp_path):
        paths = [tmp_path / folder / f"{i}{end}" for i in range(4) for folder, end in (("a", ".jpg"), ("b", ".png"))]
        assert list(side_notes(paths)) == []


class TestSkipping:
    @pytest.fixture
    def damaged(self, tmp_path):
        """Two classes of 20, of which one image is cut short and another none at all."""
        classes(tmp_path, "ant", "bee")
        whole = encoded(1, size=(40, 40))
        put(tmp_path / "ant" / "cut.png", whole[: len(whole) // 2])
        put(tmp_path / "bee" / "none.png", b"words")
        return tmp_path

    def test_damaged_images_are_refused_with_what_helps(self, damaged):
        with pytest.raises(UserError, match="none.png.*`data.skip_unreadable` leaves such files out$"):
            Folder(dir=damaged, size=8).parts().train()

    def test_they_are_left_out_and_named(self, damaged):
        source = Folder(dir=damaged, size=8, skip_unreadable=True)
        parts = source.parts()
        assert len(parts.train()) + len(parts.test()) == 40
        assert any("image that is damaged: 2 (" in note and "cut.png" in note for note in parts.notes)

    def test_no_other_image_changes_its_part(self, damaged):
        found = Folder(dir=damaged, skip_unreadable=True).found(damaged)
        for name in ("ant/cut.png", "bee/none.png"):
            (damaged / name).unlink()
        assert Folder(dir=damaged).found(damaged).parts == found.parts

    def test_the_survey_of_groups_names_them_too(self, damaged, cli):
        code, out, _ = cli("data", "folder", damaged, "--data.size", "8", "--data.group", "found", "--time", "2m")
        assert code == 0
        assert "2 files cannot be read" in out
        assert "or leave them out (--data.skip-unreadable)" in out

    def test_groups_are_found_among_the_others(self, damaged):
        source = Folder(dir=damaged, size=8, skip_unreadable=True, group="found", test_fraction=0.5)
        parts = source.parts()
        assert len(parts.train()) + len(parts.test()) == 40
        assert parts.train().groups is not None

    def test_an_image_of_another_fault_is_not_skipped(self, damaged):
        Image.fromarray(np.full((8, 8), 300, np.uint16)).save(damaged / "ant" / "deep.png")
        source = Folder(dir=damaged, size=8, skip_unreadable=True, white_level=100)
        with pytest.raises(UserError, match="above `data.white_level` 100"):
            _ = source.parts().train().images[:], source.parts().test().images[:]

    def test_the_survey_shows_them_and_is_content(self, damaged, cli):
        code, out, _ = cli("data", "folder", damaged, "--data.size", "8", "--time", "2m")
        assert code == 0
        assert "or leave them out (--data.skip-unreadable)" in out
        code, out, _ = cli("data", "folder", damaged, "--data.size", "8", "--time", "2m", "--data.skip-unreadable")
        assert "image that is damaged: 2 (" in out
        assert "To train on it: srat train" in out
        assert "--data.skip-unreadable" in out.partition("To train on it")[2]


class TestRuns:
    def test_a_run_goes_on_with_the_images_that_were_meant(self, masked, tmp_path):
        config = tiny(Folder(dir=masked, include=("*.jpg",), size=8))
        run = fit(config, out=tmp_path / "run", device="cpu")
        put(masked / "train" / "ant" / "later.png")
        put(masked / "train" / "ant" / "later.jpg")
        parts = config.data.parts(RunFolder(run.folder).record)
        assert len(parts.train()) == 12
        assert any("1 image is new since this run began" in note and "later.jpg" in note for note in parts.notes)
        evaluate_run(tmp_path / "run", device="cpu")

    def test_a_later_test_set_is_read_by_the_same_patterns(self, masked):
        source = Folder(dir=masked, include=("*.jpg",))
        there = images_apart(masked / "test", source, ("ant", "bee"), channels=3, height=8, width=8)
        assert len(there) == 6
        plain = images_apart(masked / "test", Folder(dir=masked), ("ant", "bee"), channels=3, height=8, width=8)
        assert len(plain) == 12

    def test_a_later_test_set_leaves_damaged_images_out_where_training_did(self, masked):
        put(masked / "test" / "ant" / "none.jpg", b"words")
        shape = {"channels": 3, "height": 8, "width": 8}
        with pytest.raises(UserError, match="none.jpg"):
            images_apart(masked / "test", Folder(dir=masked, size=8), ("ant", "bee"), **shape)
        source = Folder(dir=masked, size=8, skip_unreadable=True)
        assert len(images_apart(masked / "test", source, ("ant", "bee"), **shape)) == 12


class TestShape:
    def test_a_width_makes_images_that_are_not_square(self, tmp_path):
        classes(tmp_path, "ant", "bee", n=8)
        train = Folder(dir=tmp_path, size=12, width=20).parts().train()
        assert tuple(train.images.shape[1:]) == (3, 12, 20)
        square = Folder(dir=tmp_path, size=12).parts().train()
        assert tuple(square.images.shape[1:]) == (3, 12, 12)

    def test_a_run_of_such_images_trains_and_is_evaluated(self, tmp_path):
        classes(tmp_path / "data", "ant", "bee", n=8)
        config = tiny(Folder(dir=tmp_path / "data", size=8, width=12))
        run = fit(config, out=tmp_path / "run", device="cpu")
        assert run.model(torch.zeros(1, 3, 8, 12)).logits.shape == (1, 2)
        evaluate_run(tmp_path / "run", device="cpu")

    @pytest.mark.parametrize("width", [2, 2000])
    def test_a_width_out_of_range_is_refused(self, width):
        with refusing("data.width", width):
            Folder(size=8, width=width)

    def test_a_width_alone_is_refused(self):
        with pytest.raises(UserError, match="`data.width` needs `data.size`"):
            Folder(width=8)
