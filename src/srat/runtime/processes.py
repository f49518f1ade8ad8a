"""Several processes that train one model: who has which images, and what is gathered, summed and agreed upon."""

import atexit
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from srat.core.errors import LostPeerError, require

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Processes:
    """The processes of a run, seen from one of them; by default it is alone.

    Args:
        rank: this one's number, counted from 0.
        count: how many there are.
        control: the group for decisions, on the CPU whatever the device, so that none waits for it.
    """

    rank: int = 0
    count: int = 1
    control: Any = None

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return which of a batch's ``n`` examples are this process's: one run of ⌊n / count⌋ or one more."""
        return self._share(n, self.rank)

    def gather(self, own: Float[Tensor, "own width"], n: int) -> Float[Tensor, "batch width"]:
        """Return the rows of all processes, in the order of the batch; those of this process keep their gradient.

        A loss of the whole batch, which every process computes alike, so has in each of them the part of the gradient
        that goes through its own rows. The sum over processes is the gradient that one process alone would have.

        Args:
            own: (own, width), of the examples in ``share(n)``.
            n: examples in the whole batch.
        """
        if self.count == 1:
            return own
        shares = [self._share(n, rank) for rank in range(self.count)]
        longest = max(share.stop - share.start for share in shares)
        padded = own.new_zeros(longest, own.shape[1])
        padded[: len(own)] = own.detach()
        rows = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(rows, padded)
        parts = [part[: share.stop - share.start] for part, share in zip(rows, shares, strict=True)]
        parts[self.rank] = own
        return torch.cat(parts)

    def shared(self, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return a number that every process computes alike, with this one's share of the gradient.

        The sum over processes is the gradient that one process alone would have.
        """
        return value if self.count == 1 else value.detach() + (value - value.detach()) / self.count

    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        tensors = list(tensors)
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        means = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over the processes."""
        if self.count > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """Return the largest of each number over the processes: how they agree upon what only one of them knows."""
        if self.count == 1:
            return numbers
        agreed = torch.tensor(numbers)
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX, group=self.control)
        return tuple(agreed.tolist())

    def told(self, value: T) -> T:
        """Return the value that the first process has."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, group=self.control)
        return box[0]

    def require_alike(self, message: str, *numbers: int) -> None:
        """Raise ``UserError(message)`` in every process unless all have the same numbers."""
        ends = self.largest(*numbers, *(-number for number in numbers))
        require(list(ends[: len(numbers)]) == [-end for end in ends[len(numbers) :]], message)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier(group=self.control)

    @contextmanager
    def telling_of_lost_peers(self) -> Iterator[None]:
        """Turn the failure of a connection between the processes into a ``LostPeerError``."""
        try:
            yield
        except RuntimeError as error:
            known = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
            if self.count == 1 or not (isinstance(error, dist.DistError) or any(word in str(error) for word in known)):
                raise
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            why = re.sub(r"^\[[^]]*\] ", "", first).split(". ")[0]  # without the place in gloo's code, and its advice
            raise LostPeerError(f"another process of this job has ended, or cannot be reached ({why})") from error

    def _share(self, n: int, rank: int) -> slice:
        quotient, rest = divmod(n, self.count)
        start = rank * quotient + min(rank, rest)
        return slice(start, start + quotient + (rank < rest))


ALONE = Processes()


def world_size() -> int:
    """Return how many processes torchrun, or the command line, has started for this job; 1 if none has."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_first() -> bool:
    """Return whether this process is the one of its job that speaks, which is known before they are connected."""
    return world_size() == 1 or os.environ["RANK"] == "0"


def join() -> Processes:
    """Return the processes of the job that this one belongs to, once Fabric has connected them."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return ALONE
    return Processes(dist.get_rank(), dist.get_world_size(), _control_group())


@cache
def _control_group() -> Any:
    atexit.register(dist.destroy_process_group)
    # One process may read all of a large data set while the others wait. A process that dies is noticed at once all the
    # same; a machine that falls silent only after this.
    return dist.new_group(backend="gloo", timeout=timedelta(hours=2))
