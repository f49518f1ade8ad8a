"""Groups of images stay in one part, whichever part is drawn and whenever they come."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from folders import classes, put, refused, table
from hypothesis import given
from hypothesis import strategies as st
from takes import tracks

import srat
from srat.config.serialization import identity
from srat.core.errors import UserError
from srat.data import Dataset, Holdout, Parts, prepare
from srat.data.group_draw import drawn_groups, unmet
from srat.data.imbalance import NoImbalance
from srat.data.sources.folder import Folder
from srat.evaluation.observer import Observer
from srat.models.backbones.small_cnn import SmallCNN
from srat.runs.folder import RunFolder
from srat.training.fitting import fit

TRACK = r"^(\d+)_"


def named(folder, kinds, tracks_each, length):
    """Put images of noise, called after tracks, into a folder for each class."""
    for kind in kinds:
        for track in range(tracks_each):
            for frame in range(length):
                put(folder / kind / f"{track:05d}_{frame:05d}.png")
    return folder


def groups_of(dataset):
    """Return the track of each image of a data set of files."""
    return [(path.parent.name, path.name.split("_")[0]) for path in dataset.images.paths]


def config(folder, **fields):
    base = srat.compose(method="ce", data="folder", epochs=1, batch_size=16)
    data = Folder(dir=folder, workers=1, group=TRACK, **fields)
    return replace(base, data=data, model=SmallCNN(width=2), attack=replace(base.attack, steps=1))


class TestTheDraw:
    """By loops: what is taken makes Σ ((held − wanted) / n)² smaller, group by group."""

    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=40), st.floats(0.05, 0.5))
    def test_is_greedy_in_the_order_and_leaves_what_it_must(self, images, share):
        total = Counter(label for _, label in images)
        wanted = {label: max(1, round(share * n)) for label, n in total.items()}
        most = {label: n - 1 for label, n in total.items()}
        order = sorted({group for group, _ in images}, key=lambda group: group * 7 % 5 + group / 100)
        drawn = drawn_groups(images, order, wanted, most)

        def held(groups):
            return {label: sum(group in groups and each == label for group, each in images) for label in total}

        def far(groups):
            return sum(((held(groups)[label] - wanted[label]) / n) ** 2 for label, n in total.items())

        def fits(groups):
            return all(held(groups)[label] <= most[label] for label in total)

        taken = set()
        for group in order:
            if fits({*taken, group}) and far({*taken, group}) < far(taken) - 1e-12:
                taken.add(group)
        assert taken <= drawn
        assert fits(drawn)
        for label in total:
            alone = [group for group in order if held({group})[label] and fits({*drawn, group})]
            assert held(drawn)[label] or not alone
        assert all(any(not held(taken)[label] and held({group})[label] for label in total) for group in drawn - taken)

    def test_of_equal_groups_comes_as_near_as_it_can(self):
        images = [(group, 0) for group in range(10) for _ in range(30)]
        assert drawn_groups(images, range(10), {0: 60}, {0: 299}) == {0, 1}
        assert drawn_groups(images, range(10), {0: 20}, {0: 299}) == {0}
        assert len(drawn_groups(images, range(10), {0: 74}, {0: 299})) == 2

    def test_a_class_of_large_groups_gets_its_smallest(self):
        images = [("a", 0)] * 50 + [("b", 0)] * 30 + [("c", 0)] * 40
        assert drawn_groups(images, "abc", {0: 5}, {0: 119}) == {"b"}
        assert drawn_groups(images, "abc", {0: 5}, {0: 29}) == set()

    def test_shares_that_are_far_off_are_said(self):
        assert unmet(["a", "b"], [30, 20], [90, 100], [18, 20]) == "a 33.3 % instead of 20.0 %"


class TestHeldOutImages:
    @given(st.integers(0, 50), st.floats(0.05, 0.5))
    def test_follow_groups(self, seed, fraction):
        rng = torch.Generator().manual_seed(seed)
        groups = torch.randint(0, 12, (120,), generator=rng)
        labels = groups % 3
        train, held = Holdout(fraction=fraction).split(labels, seed=seed, groups=groups)
        assert torch.cat((train, held)).sort().values.tolist() == list(range(120))
        assert not {*groups[train].tolist()} & {*groups[held].tolist()}
        for label in range(3):
            there = len({*groups[labels == label].tolist()})
            count = int((labels == label).sum())
            assert int((labels[held] == label).sum()) <= count // 2
            assert there < 3 or label in labels[held]

    def test_are_of_the_seed(self):
        groups = torch.arange(200) // 5
        labels = groups % 2
        first, again, other = (Holdout().split(labels, seed=seed, groups=groups)[1] for seed in (0, 0, 1))
        assert first.equal(again)
        assert not first.equal(other)

    def test_are_as_before_without_groups(self):
        labels = torch.arange(60) % 3
        train, held = Holdout().split(labels, seed=0)
        assert [*map(len, (train, held))] == [45, 15]

    def test_of_a_data_set_keep_its_groups_whole(self):
        labels, groups = torch.arange(120) % 2, torch.arange(120) // 6
        data = Dataset(torch.rand(120, 1, 4, 4), labels, ("a", "b"), groups)
        made = prepare(Parts(read=lambda part: data), NoImbalance(), Holdout(fraction=0.2), seed=3)
        assert made.held_out is not None
        assert not {*groups[made.train_indices].tolist()} & {*groups[made.held_out_indices].tolist()}
        assert made.train.groups.equal(groups[made.train_indices])

    def test_groups_of_another_number_are_refused(self):
        for groups in (torch.rand(6), torch.arange(5)):
            with pytest.raises(UserError, match="groups: expected 6 integers, got"):
                Dataset(torch.rand(6, 1, 4, 4), torch.arange(6) % 2, ("a", "b"), groups)


class TestAPattern:
    def test_keeps_tracks_in_one_part_and_classes_in_proportion(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 20, 3)
        parts = Folder(dir=tmp_path, group=TRACK, workers=1).parts()
        train, test = parts.train(), parts.test()
        assert not {*groups_of(train)} & {*groups_of(test)}
        assert test.counts == (12, 12)
        assert train.counts == (48, 48)
        # Numbers begin anew in each class: which of them are drawn in one says nothing of another.
        of_class = defaultdict(set)
        for kind, track in groups_of(test):
            of_class[kind].add(track)
        assert of_class["ant"] != of_class["bee"]

    def test_says_what_it_did(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 10, 3)
        notes = Folder(dir=tmp_path, group=TRACK).parts().notes
        assert rf"`data.group` '{TRACK}' makes 20 groups of 60 images" in notes
        assert "12 of 60 images are the test, drawn as 4 whole groups" in notes

    def test_says_which_shares_cannot_be_met(self, tmp_path):
        named(tmp_path, ("ant",), 10, 6)
        named(tmp_path, ("bee",), 3, 6)
        notes = " | ".join(Folder(dir=tmp_path, group=TRACK).parts().notes)
        assert "`data.test_fraction` 0.2 cannot be met in each class, as groups stay whole: bee 33.3 % instead" in notes
        assert "ant" not in notes.rpartition("whole: ")[2]

    @pytest.mark.parametrize(
        ("names", "pattern", "groups"),
        [
            (
                ["1/a.png", "1/b.png", "2/c.png", "2/d.png"],
                "^([^/]+)/",
                [{"1/a.png", "1/b.png"}, {"2/c.png", "2/d.png"}],
            ),
            (["xa.png", "ya.png", "xb.png", "yb.png"], "[ab]", [{"xa.png", "ya.png"}, {"xb.png", "yb.png"}]),
            (["1_a.png", "1_b.png", "c.png", "d.png"], "^(\\d)_|.+", [{"1_a.png", "1_b.png"}, {"c.png"}, {"d.png"}]),
            (["é1.png", "é1.jpg.png", "u.png", "v.png"], "^(.)", None),
        ],
    )
    def test_is_searched_in_the_name_below_the_class(self, tmp_path, names, pattern, groups):
        for kind in ("ant", "bee"):
            for name in names:
                put(tmp_path / kind / name)
        found = Folder(dir=tmp_path, group=pattern, test_fraction=0.4, layout="classes").found(tmp_path)
        by_group = defaultdict(set)
        for path, group in found.groups.items():
            by_group[group].add(path.relative_to(tmp_path).as_posix())
        wanted = groups or [{"é1.png", "é1.jpg.png"}, {"u.png"}, {"v.png"}]
        expected = [{f"{kind}/{name}" for name in group} for kind in ("ant", "bee") for group in wanted]
        assert sorted(by_group.values(), key=sorted) == sorted(expected, key=sorted)

    def test_that_leaves_names_out_is_refused_with_count_and_example(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 4, 3)
        put(tmp_path / "ant" / "loose.png")
        refused(tmp_path, r"1 of 25 names is not matched \(loose.png\)", group=TRACK)
        refused(tmp_path, r"'\^\(\\d\+\)_\|\.\+' makes each of them a group of its own", group=TRACK)
        Folder(dir=tmp_path, group=TRACK + "|.+").parts()

    @pytest.mark.parametrize("pattern", ["(", "", "column:", "*", "(?P<x>a)(?P<x>b)"])
    def test_that_is_none_is_refused(self, pattern):
        with pytest.raises(
            UserError, match="`data.group`: expected a regular expression on images' names, column:NAME"
        ):
            Folder(group=pattern)

    def test_of_one_group_for_all_is_refused_where_a_test_is_drawn(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 4, 3)
        refused(tmp_path, "no test can be drawn: `data.group` makes one group of each class", group="^0")

    def test_that_parts_each_image_is_told_of(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 4, 3)
        assert any(
            "a group of its own: it changes nothing" in note for note in Folder(dir=tmp_path, group=".+").parts().notes
        )

    def test_is_not_asked_of_a_test_of_the_folders_own(self, tmp_path):
        named(tmp_path / "train", ("ant", "bee"), 4, 3)
        classes(tmp_path / "test", "ant", "bee", n=3)
        parts = Folder(dir=tmp_path, group=TRACK).parts()
        assert parts.train().groups.tolist() == [group for group in range(8) for _ in range(3)]
        assert parts.test().groups is None

    def test_tells_of_groups_that_a_test_of_the_folders_own_shares(self, tmp_path):
        named(tmp_path / "train", ("ant", "bee"), 4, 3)
        named(tmp_path / "test", ("ant", "bee"), 1, 2)
        notes = " | ".join(Folder(dir=tmp_path, group=TRACK).parts().notes)
        assert "2 groups have images both in training and in the folder's own test (ant/00000, bee/00000)" in notes

    def test_a_group_that_comes_moves_few(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 20, 2)
        before = {*groups_of(Folder(dir=tmp_path, group=TRACK).parts().test())}
        for frame in range(2):
            put(tmp_path / "ant" / f"00099_{frame}.png")
        after = {*groups_of(Folder(dir=tmp_path, group=TRACK).parts().test())}
        assert len((before ^ after) - {("ant", "00099")}) <= 1


class TestAColumn:
    def patients(self, folder):
        """Put images of twelve patients, who have images of both classes, beside a table."""
        rows = ["file,label,patient"]
        for number in range(48):
            put(folder / f"{number}.png")
            rows.append(f"{number}.png,{'ant' if number % 2 else 'bee'},p{number // 4}")
        table(folder / "labels.csv", *rows)
        return folder

    def test_keeps_a_patient_in_one_part_whatever_the_class(self, tmp_path):
        parts = Folder(dir=self.patients(tmp_path), group="column:patient", test_fraction=0.25).parts()
        train, test = ({int(path.stem) // 4 for path in parts.read(part).images.paths} for part in ("train", "test"))
        assert not train & test
        assert parts.test().counts == (6, 6)

    def test_that_is_not_there_is_refused_with_those_that_are(self, tmp_path):
        refused(self.patients(tmp_path), "no column 'person'; there are: file, label, patient", group="column:person")

    def test_of_folders_is_refused(self, tmp_path):
        refused(classes(tmp_path, "ant", "bee", n=4), "folders say the classes here, and a column", group="column:x")

    @pytest.mark.parametrize("row", ["99.png,ant,", "0.png,bee,p7"])
    def test_with_no_value_or_several_is_refused(self, tmp_path, row):
        self.patients(tmp_path)
        put(tmp_path / "99.png")
        path = tmp_path / "labels.csv"
        path.write_text(f"{path.read_text()}\n{row}")
        refused(tmp_path, r"has no value in that column, or several \((0|99).png\)", group="column:patient")


class TestFoundTracks:
    def test_keeps_near_twins_together(self, tmp_path):
        tracks(tmp_path, {"ant": 8, "bee": 5})
        parts = Folder(dir=tmp_path, group="found", workers=1, test_fraction=0.3).parts()
        assert not {*groups_of(parts.train())} & {*groups_of(parts.test())}
        assert "`data.group` 'found' makes 13 groups of 78 images" in parts.notes


class TestTheRecord:
    @pytest.fixture
    def run(self, tmp_path):
        photos = named(tmp_path / "photos", ("ant", "bee"), 8, 3)
        fit(config(photos), out=tmp_path / "run")
        return RunFolder(tmp_path / "run"), photos

    def test_has_the_group_of_each_image(self, run):
        folder, photos = run
        content = json.loads(folder.split.read_text())
        for part in ("train", "test"):
            assert content[part]
            assert all(entry[3] == name.split("_")[0] for name, entry in content[part].items())
        record = Folder(dir=photos, group=TRACK).parts().record()
        folder.split.write_text(record.to_json())
        assert folder.record == record

    def test_draws_the_same_held_out_images_again_whatever_the_pattern_says_now(self, run):
        folder, photos = run
        indices = json.loads(folder.indices.read_text())
        for group in (TRACK, None, "^.*(.)\\.png$"):
            data = replace(config(photos).data, group=group)
            again = prepare(data.parts(folder.record), NoImbalance(), Holdout(), seed=0)
            assert again.held_out_indices.tolist() == indices["held_out"]
        named_images = list(folder.record.parts["train"])
        held = {named_images[index].split("_")[0] for index in indices["held_out"]}
        assert held
        assert not held & {named_images[index].split("_")[0] for index in indices["train"]}

    def test_new_images_of_a_group_that_was_learned_from_are_no_test(self, run):
        folder, photos = run
        learned = next(iter(folder.record.groups_of("train")))
        tested = next(iter(folder.record.groups_of("test")))
        for group in (learned, tested, "bee/00077"):
            put(photos / f"{group}_00050.png")
        told = []
        parts = config(photos).data.parts(folder.record)
        new = {path.relative_to(photos).as_posix() for path in parts.unrecorded(told.append).images.paths}
        assert new == {f"{tested}_00050.png", "bee/00077_00050.png"}
        assert told == [f"1 new image is of groups that this run has learned from, and left out ({learned}_00050.png)"]

    def test_so_even_if_the_images_that_it_learned_from_are_gone(self, run):
        folder, photos = run
        learned = next(iter(folder.record.groups_of("train")))
        for path in photos.glob(f"{learned}_*.png"):
            path.unlink()
        put(photos / f"{learned}_00050.png")
        put(photos / "bee" / "00077_00050.png")
        parts = config(photos).data.parts(folder.record)
        assert [path.name for path in parts.unrecorded().images.paths] == ["00077_00050.png"]

    def test_without_groups_is_written_as_ever(self, tmp_path):
        named(tmp_path, ("ant", "bee"), 8, 3)
        content = json.loads(Folder(dir=tmp_path).parts().record().to_json())
        assert {len(entry) for entry in content["train"].values()} == {3}


def test_a_run_without_groups_keeps_its_id():
    assert "group" not in identity(Folder(dir=Path("x")))
    assert identity(Folder(dir=Path("x"), group=TRACK))["group"] == TRACK


def test_which_shares_cannot_be_held_out_is_said(tmp_path):
    named(tmp_path, ("ant", "bee"), 4, 8)
    said = []

    class Told(Observer):
        def notice(self, text):
            said.append(text)

    fit(config(tmp_path), observer=Told())
    assert any(
        "`holdout.fraction` cannot be met in each class, as groups stay whole: ant 33.3 %" in each for each in said
    )
