"""AutoAttack and maps in a fraction of their time."""

from functools import partial


def shorten_reference(setting=setattr, steps=4):
    """Let AutoAttack's authors' code make a fraction of the steps and queries that it is asked for.

    Args:
        setting: what replaces an attribute of a class.
        steps: by how much their number is divided; that of queries is by twenty.
    """
    from pyautoattack.autopgd_base import APGDAttack
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    for kind, name, part in (
        (APGDAttack, "n_iter", steps),
        (FABAttack_PT, "n_iter", steps),
        (SquareAttack, "n_queries", 20),
    ):

        def made(self, *args, real=kind.__init__, name=name, part=part, **settings):
            real(self, *args, **{**settings, name: settings[name] // part})

        setting(kind, "__init__", made)


def shorten_autoattack(setting=setattr, steps=4):
    """Let its attacks make a fraction of the steps and queries that they are asked for, whoever asks for them.

    Args:
        setting: what replaces an attribute of a class.
        steps: by how much their number is divided.
    """
    shorten_reference(setting, steps)
    from srat.attacks.apgd import AutoPGD
    from srat.attacks.fab import Boundary
    from srat.attacks.square import RandomSearch

    for kind, name, part in ((AutoPGD, "steps", steps), (Boundary, "steps", steps), (RandomSearch, "queries", 20)):

        def shorter(self, *args, real=kind.__init__, name=name, part=part, **settings):
            real(self, *args, **settings)
            object.__setattr__(self, name, getattr(self, name) // part)

        setting(kind, "__init__", shorter)


def shorten_maps(setting=setattr):
    """Let t-SNE make a quarter of its steps, as few as it ever makes.

    Args:
        setting: what replaces an attribute of a module.
    """
    from sklearn import manifold

    setting(manifold, "TSNE", partial(manifold.TSNE, max_iter=250))
