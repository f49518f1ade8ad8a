"""Classes as people call them: by name, or by label."""

from collections import Counter
from collections.abc import Sequence

from srat.core.errors import nearest, require_field
from srat.core.words import few

ClassWord = int | str
"""A class's name, or its label; where the names are numbers, a number is a name."""


def labels_of(words: Sequence[ClassWord], class_names: Sequence[str]) -> tuple[int, ...]:
    """Return the labels of the classes that are called for.

    Args:
        words: names or labels; of names that are numbers, 7 is 07 too.
        class_names: of all classes, in the order of their labels.

    Raises:
        UserError: if there is no such class, or one is called for twice.
    """
    found = [_label_of(word, class_names) for word in words]
    odd = tuple(word for word, label in zip(words, found, strict=True) if label is None)
    twice = {label for label, times in Counter(found).items() if times > 1}
    again = tuple(word for word, label in zip(words, found, strict=True) if label in twice)
    close = next((hint for word in odd if (hint := nearest(str(word), class_names))), "").removeprefix(", ")
    require_field(not odd, "data.classes", _there(class_names), odd, advice=close)
    require_field(not again, "data.classes", "each class once", again)
    return tuple(label for label in found if label is not None)


def _label_of(word: ClassWord, class_names: Sequence[str]) -> int | None:
    """Return the label of a class; None if there is no such class."""
    if (name := str(word)) in class_names:
        return class_names.index(name)
    numbers = {label: int(each) for label, each in enumerate(class_names) if _is_number(each)}
    alike = [label for label, number in numbers.items() if _is_number(name) and number == int(name)]
    if len(alike) == 1:
        return alike[0]
    is_label = isinstance(word, int) and 0 <= word < len(class_names) and len(numbers) < len(class_names)
    return int(word) if is_label else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _there(class_names: Sequence[str]) -> str:
    labels = "" if all(map(_is_number, class_names)) else f", or labels from 0 to {len(class_names) - 1}"
    return f"names of classes ({few(class_names)}){labels}"
