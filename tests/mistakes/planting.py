"""The mistakes that this field makes: each check passes on our code, and fails once the mistake is planted in it.

The numbers are those of the project's list; from 22 on they are those of the field's methods, 42 and 43 of its losses
of features.

    data           11 17 38 41               models         4 37
    attacks        1 2 3 22 23 24 25 26 35   losses         13 15 16 18 28 29 34 39 42 43
    optimization   14 30 31                  evaluation     12 39
    training       8 9 10 20 26 27 32 33 40  guard          36

Each line is of ``test_mistakes_ROOM.py``. Elsewhere are logits of another scale (5) and masked gradients (6):
``audit/test_audit.py``; parts of AutoAttack under its name (7) and two or three classes (21):
``attacks/test_reference.py``; and several processes (19): ``test_processes.py``.
"""

from dataclasses import replace

from srat.config.composition import compose
from srat.models.backbones.small_cnn import SmallCNN


def tiny():
    config = compose(epochs=2, guard="none")
    one_step = {"attack": replace(config.attack, steps=1), "evaluation": replace(config.evaluation, steps=1)}
    return replace(config, model=SmallCNN(width=4), **one_step)
