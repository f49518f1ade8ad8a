"""All randomness is derived from what it is for, so there is no generator state to keep or to lose."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def derive_seed(seed: int, purpose: str, *, epoch: int = 0, step: int = 0, rank: int = 0) -> int:
    """Return a 63-bit seed that depends on every argument: the first bytes of BLAKE2b over all of them.

    Args:
        seed: the run's seed, any integer.
        purpose: what the numbers are for ("attack", "augment", …); different purposes never share a stream.
        epoch: epoch, counted from 0.
        step: step within the epoch, counted from 0.
        rank: process, counted from 0.
    """
    key = f"{seed}/{purpose}/{epoch}/{step}/{rank}".encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest()) >> 1


@contextmanager
def kept_streams() -> Iterator[None]:
    """Have torch's global generators as they were before, on all devices: whichever of them are seeded within."""
    # Where CUDA is not in use, to ask for its generators would start it.
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if started else ()
    with torch.random.fork_rng(devices=devices):
        yield


def seed_streams(seed: int, device: torch.device) -> None:
    """Seed the global generators that a model on ``device`` draws from."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # to turn to all devices that may be there takes a millisecond
    else:
        torch.manual_seed(seed)


def generator(
    seed: int,
    purpose: str,
    *,
    epoch: int = 0,
    step: int = 0,
    rank: int = 0,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """Return a fresh generator on ``device``, seeded by `derive_seed`."""
    derived = derive_seed(seed, purpose, epoch=epoch, step=step, rank=rank)
    return torch.Generator(device=device).manual_seed(derived)
