"""Made-up data, for which the rules make plans."""

from srat.planning.facts import Facts


def facts(images=13_500, classes=43, *, rarest=90, side=32, **others):
    """Return facts of uneven data: all classes but the rarest have as many images."""
    others.setdefault("test", images // 3)
    common, more = divmod(images - rarest, classes - 1)
    counts = (*[common + 1] * more, *[common] * (classes - 1 - more), rarest)
    return Facts(counts=counts, height=side, width=side, **others)
