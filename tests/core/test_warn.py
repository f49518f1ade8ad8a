"""Every warning points at the line of the user's that has caused it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import srat

DOORS = """
import warnings
import torch
from torch import nn
import srat
from srat.attacks import PGD

images, labels = torch.rand(3, 1, 4, 4), torch.arange(3)
net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
softmax = nn.Sequential(net, nn.Softmax(1))


def wrapped(module):
    return srat.models.wrap(module, mean=[0.5], std=[0.5])


class Lost(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :3] + torch.inf


def deeper(model):
    return srat.evaluate(model, images, labels)  # deeper


lost, asked, within = Lost(), wrapped(softmax), nn.Sequential(wrapped(softmax))
wide = PGD(epsilon=0.6, step_size=0.1)
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    srat.evaluate(softmax, images, labels)  # the model returns probabilities
    deeper(softmax)
    srat.evaluate(lost, images, labels)  # the model returns NaN or infinity
    srat.evaluate(net, images.round().byte(), labels)  # no value is above 1 of 255
    srat.evaluate(net, images, labels, attack=PGD(steps=2, step_size=0.001))  # pgd-2: 2 steps of 0.001
    wide(lambda x: x.flatten(1).sum(1), images, generator=torch.Generator())  # pgd-10: within a radius
    asked(images)  # the model returns probabilities
    with torch.inference_mode():
        within(images)  # the model returns probabilities
for each in found:
    print(each.filename, each.lineno, each.category.__name__, str(each.message), sep="|")
"""


def test_each_door_that_warns_points_at_its_caller(tmp_path):
    script = tmp_path / "doors.py"
    script.write_text(DOORS)
    # In a process of its own: the checks of types that tests run with put frames of theirs in between.
    paths = os.pathsep.join(filter(None, (str(Path(srat.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths}
    )
    lines = DOORS.splitlines()
    said = [line.split("|") for line in done.stdout.splitlines()]
    assert len(said) == 8
    for file, number, category, message in said:
        assert (file, category) == (str(script), "UserWarning")
        comment = lines[int(number) - 1].partition("  # ")[2]
        assert message.startswith("the model returns prob" if comment == "deeper" else comment)
        assert comment


def test_no_module_counts_frames():
    found = [
        path.name
        for path in Path(srat.__file__).parent.rglob("*.py")
        if re.search(r"warnings\.warn\(", path.read_text())
    ]
    assert found == ["warn.py"]
