"""Every kind of pixel keeps its content on its way to eight bits, or is refused by name."""

import re
from typing import ClassVar

import numpy as np
import pytest
import torch
from folders import classes, deep_png, deep_ppm, deep_sgi, deep_tiff, encoded, put
from PIL import Image

from quick import quick
from refusals import refusing
from srat.cli import main
from srat.core.errors import UserError
from srat.data import Dataset, survey
from srat.data.constant import constant_notes, is_constant
from srat.data.image_folder import levels
from srat.data.reading import decoding, formats
from srat.data.reading.decoding import opened, read_header, shown
from srat.data.reading.image_files import ImageFiles
from srat.data.sources.folder import Folder

RNG = np.random.default_rng(0)
HEIC = b"\0\0\0\x18ftypheic" + b"\0" * 40


def decoded(path, **how):
    with opened(path) as image:
        return np.asarray(shown(image, **how))


class TestFloats:
    @pytest.mark.parametrize("compression", [None, "tiff_lzw"])
    def test_in_the_unit_interval_are_scaled(self, tmp_path, compression):
        levels = RNG.random((9, 7), dtype=np.float32)
        levels[0, :2] = 0, 1
        Image.fromarray(levels).save(tmp_path / "x.tif", compression=compression)
        expected = [[round(float(level) * 255) for level in row] for row in levels]
        assert decoded(tmp_path / "x.tif").tolist() == expected

    def test_just_beyond_it_are_not_rounded_into_it(self, tmp_path):
        Image.fromarray(np.full((4, 4), 1.0000001, np.float32)).save(tmp_path / "x.tif")
        with pytest.raises(UserError, match=r"values from 1.0000001 to 1.0000001, expected 0 to 1"):
            decoded(tmp_path / "x.tif")

    @pytest.mark.parametrize("wrong", [-0.01, 1.01, 255.0, np.nan, np.inf])
    def test_beyond_it_are_refused_by_name(self, tmp_path, wrong):
        levels = RNG.random((9, 7), dtype=np.float32)
        levels[3, 3] = wrong
        Image.fromarray(levels).save(tmp_path / "x.tif")
        with pytest.raises(UserError, match=r"x.tif: floating point values from .* expected 0 to 1"):
            decoded(tmp_path / "x.tif")

    def test_train_among_others(self, tmp_path):
        classes(tmp_path, "ant", "bee", n=20)
        for i in range(20):
            Image.fromarray(RNG.random((8, 8), dtype=np.float32)).save(tmp_path / "bee" / f"bee{i}.tif")
            (tmp_path / "bee" / f"bee{i}.png").unlink()
        train = Folder(dir=tmp_path).train()
        bees = train.images[:][train.labels == 1].float()
        assert bees.std() > 60


class TestSixteenBits:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_are_scaled_by_their_range(self, tmp_path, suffix):
        levels = RNG.integers(0, 65_536, (9, 7), dtype=np.uint16)
        Image.fromarray(levels).save(tmp_path / f"x.{suffix}")
        expected = [[int(level) * 255 // 65_535 for level in row] for row in levels]
        assert decoded(tmp_path / f"x.{suffix}").tolist() == expected

    def test_by_a_level_that_is_white(self, tmp_path):
        levels = RNG.integers(0, 4_096, (9, 7), dtype=np.uint16)
        Image.fromarray(levels).save(tmp_path / "x.png")
        expected = [[int(level) * 255 // 4_095 for level in row] for row in levels]
        assert decoded(tmp_path / "x.png", white_level=4_095).tolist() == expected

    def test_above_that_level_are_refused(self, tmp_path):
        Image.fromarray(np.full((4, 4), 5_000, np.uint16)).save(tmp_path / "x.png")
        with pytest.raises(UserError, match=r"x.png: a grey level of 5,000, above `data.white_level` 4095"):
            decoded(tmp_path / "x.png", white_level=4_095)

    @pytest.mark.parametrize(("most", "dark"), [(4_095, True), (32_000, True), (40_000, False), (65_535, False)])
    def test_that_use_few_levels_are_said_to_be_dark(self, tmp_path, cli, most, dark):
        classes(tmp_path, "ant", n=10)
        for i in range(10):
            levels = RNG.integers(0, most, (8, 8), dtype=np.uint16)
            levels[0, 0] = most
            (tmp_path / "bee").mkdir(exist_ok=True)
            Image.fromarray(levels).save(tmp_path / "bee" / f"{i}.png")
        said = f"10 images of more than 8 bits use only levels up to {most:,} of 65,535, so they would be dark: "
        assert any(said in note for note in Folder(dir=tmp_path).parts().notes) == dark
        assert (said in cli("data", "folder", tmp_path)[1]) == dark
        assert not any("dark" in note for note in Folder(dir=tmp_path, white_level=most).parts().notes)


def test_sixteen_bits_of_few_levels_are_said_beside_a_bright_one(tmp_path):
    classes(tmp_path, "ant", n=10)
    for i, most in enumerate([4_095] * 9 + [65_535]):
        (tmp_path / "bee").mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), most, np.uint16)).save(tmp_path / "bee" / f"{i}.png")
    said = "9 of 10 images of more than 8 bits use only levels up to 4,095 of 65,535"
    assert any(said in note for note in Folder(dir=tmp_path).parts().notes)


@pytest.mark.parametrize("wide", [False, True])
def test_whole_numbers_of_32_bits_are_not_called_16(tmp_path, wide):
    classes(tmp_path, "ant", "bee", n=10)
    image = Image.fromarray(np.full((8, 8), 70_000 if wide else 300, np.int32))
    image.save(tmp_path / "ant" / "wide.tif")
    notes = Folder(dir=tmp_path).parts().notes
    assert any("1 image of more than 8 bits uses only levels up to 300 of 65,535" in note for note in notes) != wide
    assert not any("16" in note for note in notes)
    if wide:
        with pytest.raises(UserError, match=r"wide.tif: grey levels from 70,000 to 70,000, expected 0 to 65,535"):
            decoded(tmp_path / "ant" / "wide.tif")


class TestTheLookForDarkImages:
    @pytest.fixture
    def deep(self, tmp_path):
        for i in range(40):
            path = tmp_path / ("ant", "bee")[i % 2] / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 8), 4_000 + i, np.uint16)).save(path)
        return tmp_path

    def test_is_at_few_of_them_evenly_spread(self, deep, monkeypatch):
        looked_at = []
        real = levels.largest_level
        monkeypatch.setattr(levels, "largest_level", lambda path: looked_at.append(path) or real(path))
        monkeypatch.setattr(levels, "LOOKED_AT", 10)
        source = Folder(dir=deep, workers=1)
        notes = source.parts().notes
        assert looked_at == source.found(deep).paths[::4]
        said = (
            "10 images of more than 8 bits use only levels up to 4,0.. of 65,535 .40 are there, and 10 were looked at."
        )
        assert any(re.match(said, note) for note in notes)

    def test_by_the_survey_is_the_one_that_it_takes_anyway(self, deep, monkeypatch):
        count = []
        real = decoding.opened
        monkeypatch.setattr(survey, "opened", lambda path: count.append(path) or real(path))
        monkeypatch.setattr(decoding, "opened", lambda path: pytest.fail(f"{path} is opened once more"))
        notes = survey.survey(Folder(dir=deep)).notes
        assert len(count) == 40
        assert any(note.startswith("40 images of more than 8 bits use only levels up to 4,039 of") for note in notes)


def test_black_images_of_sixteen_bits_are_not_said_to_be_dark(tmp_path):
    classes(tmp_path, "ant", n=10)
    for i, most in enumerate([0] * 4 + [4_000] * 2 + [65_535] * 3):
        put(tmp_path / "bee" / f"{i}.png", deep_png(np.full((8, 8, 1), most), 0))
    [said] = [note for note in Folder(dir=tmp_path, test_fraction=0.5).parts().notes if "more than 8 bits" in note]
    assert said.startswith("6 of 9 images of more than 8 bits use only levels up to 4,000 of 65,535")
    for i in range(9):
        put(tmp_path / "bee" / f"{i}.png", deep_png(np.zeros((8, 8, 1)), 0))
    notes = Folder(dir=tmp_path, test_fraction=0.5).parts().notes
    assert not any("dark" in note or "white" in note for note in notes)


class TestSixteenBitsPerChannel:
    """Pillow reads the first eight of them."""

    LEVELS = RNG.integers(0, 4_096, (8, 8, 4), dtype=np.uint16)
    LEVELS[0, 0] = 4_095
    FILES: ClassVar = {
        "png": lambda levels: deep_png(levels[..., :3], 2),
        "alpha.png": lambda levels: deep_png(levels, 6),
        "grey.png": lambda levels: deep_png(levels[..., :2], 4),
        "tif": lambda levels: deep_tiff(levels[..., :3]),
        "alpha.tif": deep_tiff,
        "sgi": lambda levels: deep_sgi(levels[..., :3]),
        "ppm": lambda levels: deep_ppm(levels[..., :3]),
    }

    @pytest.mark.parametrize("upright", [True, False])
    @pytest.mark.parametrize("kind", FILES)
    def test_are_known_by_the_header(self, tmp_path, kind, upright):
        header = read_header(put(tmp_path / f"x.{kind}", self.FILES[kind](self.LEVELS)), upright=upright)
        assert header.wide
        assert not header.deep

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "GIF", "WEBP", "BMP", "PPM", "SGI"])
    def test_are_told_from_all_others(self, tmp_path, mode, kind):
        try:
            Image.new(mode, (8, 8)).save(tmp_path / "x", kind)
        except (OSError, ValueError, KeyError):
            return  # no such file can be made
        assert not read_header(tmp_path / "x").wide

    @pytest.mark.parametrize("kind", FILES)
    def test_are_said_with_how_dark_they_are(self, tmp_path, cli, kind):
        opaque = self.LEVELS.copy()
        opaque[..., 1 if kind == "grey.png" else 3] = 65_535
        for i in range(24):
            put(tmp_path / "ab"[i % 2] / f"{i}.{kind}", self.FILES[kind](opaque))
        wide = "24 colour images have 16 bits per channel, of which the first 8 are read ("
        most = 16 if kind == "ppm" else 15  # rounded there
        dark = f"no value is above {most} of 255, so the images are dark: scale the values in the files before they"
        notes = Folder(dir=tmp_path).parts().notes
        for said in (wide, dark):
            assert len([note for note in notes if note.startswith(said)]) == 1
        out = cli("data", "folder", tmp_path)[1]
        assert wide in out
        assert dark in out


class TestEightBits:
    def masks(self, folder, *, white=1):
        for i in range(24):
            pixels = RNG.integers(0, 2, (8, 8), dtype=np.uint8)
            put(folder / "ab"[i % 2] / f"{i}.png", b"")
            Image.fromarray(pixels * np.uint8(white if i == 23 else 1)).save(folder / "ab"[i % 2] / f"{i}.png")
        return Folder(dir=folder, workers=1)

    @pytest.mark.parametrize(("white", "dark"), [(1, True), (127, True), (128, False), (255, False)])
    def test_of_low_values_are_said_to_be_dark(self, tmp_path, cli, white, dark):
        said = f"no value is above {white} of 255, so the images are dark: scale the values in the files"
        assert any(note.startswith(said) for note in self.masks(tmp_path, white=white).parts().notes) == dark
        assert (said in cli("data", "folder", tmp_path)[1]) == dark

    def test_of_black_and_white_are_not(self, tmp_path):
        for i in range(24):
            put(tmp_path / "ab"[i % 2] / f"{i}.png", encoded(i, mode="1"))
        assert not any("dark" in note for note in Folder(dir=tmp_path).parts().notes)

    def test_are_looked_at_until_one_is_bright(self, tmp_path, monkeypatch):
        looked_at = []
        real = levels.largest_byte
        monkeypatch.setattr(levels, "largest_byte", lambda path, how: looked_at.append(path) or real(path, how))
        assert self.masks(tmp_path / "dark").parts().notes
        assert len(looked_at) == 24
        looked_at.clear()
        assert Folder(dir=classes(tmp_path / "bright", "ant", "bee", n=12)).parts().notes
        assert len(looked_at) == 1

    def test_are_looked_at_evenly_spread(self, tmp_path, monkeypatch):
        monkeypatch.setattr(levels, "LOOKED_AT", 6)
        said = "so the images are dark: .* \\(24 are there, and 6 were looked at\\)"
        assert any(re.search(said, note) for note in self.masks(tmp_path).parts().notes)


class TestOrientation:
    """A camera held on its side turns what it has taken, of whatever depth."""

    @pytest.mark.parametrize("side", range(1, 9))
    @pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
    @pytest.mark.parametrize("how", [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
    def test_is_kept_at_every_depth(self, tmp_path, how, kind, side):
        if how[0] == "PNG" and kind == "f4":
            return  # there is no such file
        exif = Image.Exif()
        exif[0x0112] = side
        pixels = np.arange(24).reshape(4, 6) * (1 / 24 if kind == "f4" else 1 if kind == "u1" else 2_700)
        Image.fromarray(pixels.astype(kind)).save(tmp_path / "x", how[0], exif=exif, **how[1])
        turned = {
            1: lambda x: x,
            2: np.fliplr,
            3: lambda x: np.rot90(x, 2),
            4: np.flipud,
            5: np.transpose,
            6: lambda x: np.rot90(x, -1),
            7: lambda x: np.rot90(x, 2).T,
            8: np.rot90,
        }[side](np.arange(24).reshape(4, 6))
        found = decoded(tmp_path / "x")
        assert found.shape == turned.shape
        assert np.argsort(found.ravel()).tolist() == np.argsort(turned.ravel()).tolist()
        assert read_header(tmp_path / "x").size == found.shape[::-1]


class TestTransparency:
    @pytest.mark.parametrize(("background", "expected"), [("white", 255), ("black", 0), ("none", 50)])
    def test_of_one_level_of_sixteen_bits(self, tmp_path, background, expected):
        pixels = np.full((4, 4, 1), 65_535 // 5)
        pixels[0] = 65_535 // 5 + 1  # one level further, of the same eight bits
        put(tmp_path / "x.png", deep_png(pixels, 0, clear=(65_535 // 5,)))
        files = ImageFiles(
            paths=(tmp_path / "x.png",), mode="L", height=4, width=4, resize=False, background=background
        )
        assert read_header(tmp_path / "x.png").transparent
        assert files[:][0, 0, :, 0].tolist() == [51, *[expected + (background == "none")] * 3]

    @pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP")])
    @pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0), ("#808080", 128)])
    def test_shows_the_background(self, tmp_path, mode, kind, background, level):
        image = Image.new("RGBA", (8, 8), (10, 10, 10, 255))
        image.paste((200, 200, 200, 0), (0, 0, 4, 8))
        image.convert(mode).save(tmp_path / "x", kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
        assert read_header(tmp_path / "x").transparent
        pixels = decoded(tmp_path / "x", background=background)[..., 0]
        assert pixels[0, 0] == level
        assert pixels[0, 7] == 10

    def test_half_is_half(self, tmp_path):
        Image.new("RGBA", (2, 2), (0, 100, 200, 128)).save(tmp_path / "x.png")
        share = 128 / 255
        expected = [round(level * share + 255 * (1 - share)) for level in (0, 100, 200)]
        assert decoded(tmp_path / "x.png", background="white")[0, 0, :3].tolist() == pytest.approx(expected, abs=1)

    def test_of_a_palette_or_a_single_colour(self, tmp_path):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 50, 60, 70])
        image.save(tmp_path / "p.gif", transparency=1)
        Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "rgb.png", transparency=(1, 2, 3))
        for name in ("p.gif", "rgb.png"):
            assert read_header(tmp_path / name).transparent
            assert decoded(tmp_path / name, background="white")[0, 0, :3].tolist() == [255, 255, 255]

    def test_is_dropped_as_before_where_no_background_is_named(self, tmp_path):
        Image.new("RGBA", (2, 2), (1, 2, 3, 0)).save(tmp_path / "x.png")
        with opened(tmp_path / "x.png") as image:
            assert np.asarray(shown(image).convert("RGB"))[0, 0].tolist() == [1, 2, 3]

    @pytest.mark.parametrize(
        ("background", "said"), [("white", "laid on white"), ("none", "the transparency is dropped")]
    )
    def test_is_said(self, tmp_path, background, said):
        classes(tmp_path, "ant", "bee", n=10)
        put(tmp_path / "ant" / "clear.png", encoded(1, mode="RGBA"))
        notes = Folder(dir=tmp_path, background=background).parts().notes
        assert any(f"1 image with transparency: {said}" in note for note in notes)

    def test_grey_stays_grey(self, tmp_path):
        for name in ("ant", "bee"):
            for i in range(10):
                put(tmp_path / name / f"{i}.png", encoded(i, mode="LA"))
        assert Folder(dir=tmp_path).train().images.shape[1] == 1

    @pytest.mark.parametrize("wrong", ["whit", "", "#12", "rgba(1,2,3,4)"])
    def test_a_background_is_a_colour(self, wrong):
        with refusing("data.background", wrong):
            Folder(background=wrong)

    def test_another_background_is_another_content(self, tmp_path):
        put(tmp_path / "x.png", encoded(1, mode="RGBA"))
        files = [
            ImageFiles(paths=(tmp_path / "x.png",), mode="RGB", height=8, width=8, resize=False, **how)
            for how in ({}, {"background": "white"}, {"background": "black"}, {"white_level": 4095})
        ]
        assert len({each.hash_contents() for each in files}) == 4


def test_several_pages_are_said(tmp_path):
    classes(tmp_path, "ant", "bee", n=10)
    pages = [Image.new("L", (8, 8), level) for level in (1, 2)]
    pages[0].save(tmp_path / "ant" / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "ant" / "frames.gif", save_all=True, append_images=pages[1:])
    notes = Folder(dir=tmp_path).parts().notes
    assert any(
        "2 files have several pages or frames; the first is read (frames.gif, pages.tif)" in note for note in notes
    )


def test_all_unreadable_files_are_named_at_once(tmp_path, cli):
    classes(tmp_path, "ant", "bee", n=10)
    for i in range(12):
        put(tmp_path / "ant" / f"bad{i}.png", b"no image")
    told = (
        r"12 files cannot be read: (.*bad\d+.png: not a readable image; ){10}and 2 more \('srat data folder' lists all"
    )
    with pytest.raises(UserError, match=told):
        Folder(dir=tmp_path).parts()
    out = cli("data", "folder", tmp_path)[1]
    assert all(f"bad{i}.png" in out for i in range(12))


def test_all_truncated_files_are_named_at_once(tmp_path):
    classes(tmp_path, "ant", "bee", n=10)
    for i in (0, 1):
        whole = encoded(i, size=(64, 64))
        put(tmp_path / "ant" / f"cut{i}.png", whole[: len(whole) // 2])
    images = Folder(dir=tmp_path, size=8, workers=2).train().images
    with pytest.raises(UserError, match=r"2 files cannot be read: .*cut0.png.*; .*cut1.png"):
        images.loaded()


class TestConstants:
    def test_are_those_of_one_colour(self):
        images = torch.zeros(4, 3, 5, 5, dtype=torch.uint8)
        images[1, 2] = 9  # a colour
        images[2, 0, 0, 0] = 1
        images[3, :, 4, 4] = 255
        assert is_constant(images).tolist() == [True, True, False, False]

    def test_and_classes_of_them_are_said(self):
        images = torch.rand(9, 1, 4, 4)
        images[:3] = 0.5
        images[4] = 0
        dataset = Dataset(images, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]), ("ant", "bee", "cat"))
        assert list(constant_notes(dataset)) == [
            "4 of 9 training images have one colour in all pixels (ant: 3, bee: 1)",
            "every training image of class ant has one colour in all pixels",
        ]
        assert list(constant_notes(dataset.subset(torch.tensor([3, 5, 6])))) == []

    def test_of_the_test_part_alone_are_said(self, tmp_path, cli):
        for part in ("train", "test"):
            classes(tmp_path / part, "ant", "bee", n=6)
        for i in range(6):
            Image.new("RGB", (8, 8), (99, i, 0)).save(tmp_path / "test" / "bee" / f"bee{i}.png")
        said = [line for line in cli("data", "folder", tmp_path)[1].splitlines() if "one colour" in line]
        assert said == [
            "6 of 12 test images have one colour in all pixels (bee: 6)",
            "every test image of class bee has one colour in all pixels",
        ]

    def test_are_said_by_data_and_by_train(self, tmp_path, cli):
        classes(tmp_path / "d", "ant", n=20)
        for i in range(20):
            path = tmp_path / "d" / "bee" / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
        said = "every training image of class bee has one colour in all pixels"
        assert said in cli("data", "folder", tmp_path / "d")[1]
        words = quick()
        for streaming in ("always", "never"):
            data = ("--data", "folder", "--data-dir", tmp_path / "d", "--data.streaming", streaming)
            assert said in cli("train", *data, *words, "--evaluation.steps", 1, "--out", tmp_path / streaming)[1]


def test_predict_reads_files_as_the_training_did(tmp_path, cli):
    """A transparent image is taken for what its background makes of it."""
    for i in range(20):
        for name, level in (("dark", 0), ("light", 255)):
            noise = np.clip(RNG.normal(level, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            path = tmp_path / "d" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(path)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    words = ("--model", "linear", "--method", "natural", "--epochs", 4, "--device", "cpu", "--evaluation.steps", 1)
    quick = ("--attack", "natural", "--format", "csv")
    for background in ("white", "black"):
        data = ("--data", "folder", "--data-dir", tmp_path / "d", "--data.background", background)
        assert cli("train", *data, *words, "--out", tmp_path / background)[0] == 0
        code, out, err = cli("predict", tmp_path / background, tmp_path / "clear.png", *quick)
        assert code == 0
        assert f"1 image with transparency: laid on {background} (clear.png)" in err
        assert ("light" in out) == (background == "white")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on digits."""
    path = tmp_path_factory.mktemp("run") / "r"
    words = quick()
    assert main(["train", *words, "--out", str(path)]) == 0
    return path


class TestPredict:
    QUICK = ("--format", "csv", "--attack", "natural", "--device", "cpu")

    def test_reads_no_camera_file_by_its_preview(self, run, tmp_path, cli):
        put(tmp_path / "photo.DNG", encoded(1, "TIFF"))
        put(tmp_path / "good.png")
        code, out, err = cli("predict", run, tmp_path / "photo.DNG", tmp_path / "good.png", *self.QUICK)
        assert (code, out.count("\n")) == (2, 2)
        assert "photo.DNG: not read: camera raw (.dng)" in err

    @pytest.mark.parametrize(("name", "why"), [("x.mp4", "video (.mp4)"), ("x.txt", "not an image (.txt)")])
    def test_says_why_a_named_file_is_not_read(self, run, tmp_path, cli, name, why):
        code, _, err = cli("predict", run, put(tmp_path / name, b"words"), *self.QUICK)
        assert code == 2
        assert f"{name}: not read: {why}" in err

    def test_says_what_a_heic_file_needs(self, run, tmp_path, cli, monkeypatch):
        monkeypatch.setattr(formats, "reads_heif", lambda: False)
        put(tmp_path / "x.heic", HEIC)
        said = "x.heic: not read: HEIC, which needs pillow-heif (pip install 'srat[heic]')"
        assert said in cli("predict", run, tmp_path / "x.heic", *self.QUICK)[2]

    def test_says_that_files_are_dark(self, run, tmp_path, cli):
        put(tmp_path / "grey.png", deep_png(np.full((8, 8, 1), 4_095), 0))
        put(tmp_path / "colour.png", deep_png(np.full((8, 8, 3), 4_095), 2))
        put(tmp_path / "night.png", encoded(1))
        _, _, err = cli("predict", run, tmp_path / "grey.png", tmp_path / "colour.png", *self.QUICK)
        assert "1 image of more than 8 bits uses only levels up to 4,095 of 65,535, so they would be dark: scale" in err
        assert "1 colour image has 16 bits per channel, of which the first 8 are read (colour.png)" in err
        assert "no value is above 15 of 255, so the images are dark: scale them as the training images were" in err
        Image.new("L", (8, 8), 80).save(tmp_path / "night.png")
        assert "dark" not in cli("predict", run, tmp_path / "night.png", *self.QUICK)[2]


@pytest.mark.parametrize(("name", "content"), [("x.dng", encoded(1, "TIFF")), ("x.heic", HEIC)])
def test_what_is_not_read_is_not_read_by_anybody(tmp_path, monkeypatch, name, content):
    """A recorded image is read without another look at the folder."""
    monkeypatch.setattr(formats, "reads_heif", lambda: False)
    with pytest.raises(UserError, match=rf"{name}: not read: (camera raw|HEIC, which needs pillow-heif)"):
        read_header(put(tmp_path / name, content))


def test_predict_takes_folders_at_every_depth_and_names_what_it_passes_over(tmp_path, cli):
    assert (
        cli(
            "train",
            "--epochs",
            1,
            "--model.width",
            2,
            "--method",
            "srat-ldam",
            "--attack.steps",
            1,
            "--device",
            "cpu",
            "--out",
            tmp_path / "r",
        )[0]
        == 0
    )
    for name in ("a.png", "b/c/d.JPE", "b/e"):
        put(tmp_path / "x" / name)
    for name in ("notes.txt", "b/.hidden.png", "b/list.csv"):
        put(tmp_path / "x" / name, b"words")
    code, out, err = cli("predict", tmp_path / "r", tmp_path / "x", "--format", "csv", "--attack", "natural")
    assert code == 0
    assert out.count("\n") == 4
    assert "read 3 of 6 files; not read: " in err
    assert all(said in err for said in ("not an image (.txt): 1", "hidden: 1", "not an image (.csv): 1"))
    assert all(name in err for name in ("notes.txt", "b/.hidden.png", "b/list.csv"))
