"""Classes as people call them."""

import pytest

from refusals import refusing
from srat import compose
from srat.config.config import Config
from srat.core.errors import UserError
from srat.data.class_words import labels_of
from srat.data.sources.digits import Digits

PETS = ("cat", "dog", "fox")
SIGNS = ("00", "07", "14", "40")


@pytest.mark.parametrize(
    ("words", "names", "labels"),
    [
        ((), PETS, ()),
        (("fox", "cat"), PETS, (2, 0)),
        ((2, 0), PETS, (2, 0)),
        (("fox", 0), PETS, (2, 0)),
        ((7, 14), SIGNS, (1, 2)),  # as they are shown, not the eighth class
        (("07", "40"), SIGNS, (1, 3)),
        ((0, 1), ("1", "0"), (1, 0)),
        ((1, 2), ("1", "2", "3"), (0, 1)),
        (("sky", 7), ("07", "lawn", "sky"), (2, 0)),  # 07 of a command line
        ((1,), ("07", "lawn", "sky"), (1,)),
        (("1",), ("1", "01"), (0,)),  # by the letter first
        ((1,), ("a1", "1"), (1,)),
        ((1,), ("1a", "01", "001"), (1,)),  # not all of them are numbers: a label
    ],
)
def test_names_come_first_and_labels_where_names_are_no_numbers(words, names, labels):
    assert labels_of(words, names) == labels


@pytest.mark.parametrize(
    ("words", "names", "said"),
    [
        (
            ("foxx",),
            PETS,
            r"names of classes \(cat, dog, fox\), or labels from 0 to 2, got 'foxx'; did you mean 'fox'",
        ),
        ((3,), PETS, "or labels from 0 to 2, got 3$"),
        ((-1,), PETS, "or labels from 0 to 2, got -1$"),
        ((2,), SIGNS, r"expected names of classes \(00, 07, 14, …\), got 2$"),
        (("cat", 0), PETS, "expected each class once, got 'cat', 0"),
        ((1, 1), PETS, "expected each class once, got 1, 1"),
    ],
)
def test_others_are_refused_with_what_there_is(words, names, said):
    with pytest.raises(UserError, match=said):
        labels_of(words, names)


def test_two_names_of_one_number_need_the_letter():
    with refusing("data.classes", (1,)):
        labels_of((1,), ("01", "001"))


def test_a_source_keeps_the_classes_that_are_named():
    by_name, by_label = Digits(classes=("7", "3")).train(), Digits(classes=(7, 3)).train()
    assert by_name.class_names == by_label.class_names == ("7", "3")
    assert by_name.labels.equal(by_label.labels)


def test_names_survive_the_file_and_labels_keep_their_id():
    named = compose(data=Digits(classes=("7", 3)))
    assert Config.from_json(named.to_json()).data.classes == ("7", 3)
    assert compose(data=Digits(classes=(7, 3))).id != named.id


def test_the_command_line_takes_names(cli):
    code, out, _ = cli("data", "digits", "--data.classes", "7", "3")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines() if line.strip()[:2] in ("0 ", "1 ")] == ["7", "3"]
    code, out, err = cli("data", "digits", "--data.classes", "7", "threee")
    assert (code, out) == (2, "")
    assert "--data.classes: expected names of classes (0, 1, 2, …), got 'threee'" in err
