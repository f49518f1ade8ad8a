"""A part without an image says why: recorded images are spoken of only where a run has recorded some."""

from dataclasses import replace

import pytest
from folders import classes, put

from srat.core.errors import UserError
from srat.data.sources.folder import Folder


@pytest.fixture
def photos(tmp_path):
    for part in ("train", "test"):
        classes(tmp_path / part, "ant", "bee", n=2)
    return tmp_path


def why(read):
    with pytest.raises(UserError) as error:
        read()
    return str(error.value)


@pytest.mark.parametrize(("part", "called"), [("test", "test"), ("train", "training")])
@pytest.mark.parametrize("changed", [False, True])
def test_recorded_images_that_are_lost_are_named(photos, part, called, changed):
    record = Folder(dir=photos).parts().record()
    for path in (photos / part).rglob("*.png"):
        path.unlink()
        if changed:
            put(path, b"another")
    read = getattr(Folder(dir=photos).parts(record), part)
    assert f"{photos}: there is nothing to read: 4 recorded {called} images are gone or changed ({part}/ant/" in why(
        read
    )


def test_a_part_of_which_none_was_recorded(photos):
    record = Folder(dir=photos).parts().record()
    nothing = {"parts": {}, "labels": (), "pixels": ()}
    empty = replace(record, **{name: {**getattr(record, name), "test": none} for name, none in nothing.items()})
    assert why(Folder(dir=photos).parts(empty).test) == f"{photos}: there are no test images"


def test_new_images_where_there_are_none(photos):
    parts = Folder(dir=photos).parts(Folder(dir=photos).parts().record())
    assert why(parts.unrecorded) == f"{photos}: there are no new images"
