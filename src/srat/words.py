"""Words for people."""


def counted(count: int, one: str, several: str) -> str:
    """Return a number with what is counted: "1 image is", "3 images are".

    Args:
        count: the number.
        one: the words after 1.
        several: the words after any other number.
    """
    return f"{count:,} {one if count == 1 else several}"
