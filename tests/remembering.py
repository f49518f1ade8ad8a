"""What tyro reads of classes, remembered: a process of tests parses a thousand command lines, that of a user one."""

from functools import cache

from tyro import _docstrings, _resolver


def remember_classes():
    """Let tyro read each class's source and types once in a process; it forgets them before each command line."""
    hints_of = cache(_resolver.get_type_hints)

    def hints(kind, localns=None, include_extras=False):
        return dict(hints_of(kind, include_extras=include_extras)) if localns is None else plain(kind, None, localns)

    plain, _resolver.get_type_hints = _resolver.get_type_hints, hints
    _docstrings._ClassTokenization.make = staticmethod(cache(_docstrings._ClassTokenization.make))
    for name in ("get_class_tokenization_with_field", "parse_docstring_from_object"):
        setattr(_docstrings, name, cache(getattr(_docstrings, name)))
