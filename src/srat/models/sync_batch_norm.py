"""BatchNorm over the images of all processes, on any device; PyTorch's own is for GPUs alone."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from typing_extensions import override


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm whose statistics in training are those of the whole batch: N processes compute what one would.

    In eval mode it is ``nn.BatchNorm2d``.
    """

    @override
    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            x = input.float()
            own = x.new_full((1,), x.numel() / x.shape[1])  # made on the device: nothing waits for it
            sums = _sum(torch.cat((own, x.sum(dim=(0, 2, 3)))))
            count, mean = sums[:1], sums[1:] / sums[:1]
            centered = x - mean[:, None, None]
            variance = _sum(centered.square().sum(dim=(0, 2, 3))) / count
            if self.track_running_stats:
                self._track(mean.detach(), variance.detach(), count.detach())
            factor = (variance + self.eps).rsqrt()
            normalized = centered * (factor if self.weight is None else factor * self.weight)[:, None, None]
            shifted = normalized if self.bias is None else normalized + self.bias[:, None, None]
        return shifted.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += share * (mean - self.running_mean)
        self.running_var += share * (variance * count / (count - 1) - self.running_var)


def _sum(tensor: Tensor) -> Tensor:
    total: Any = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return total  # type: ignore[no-any-return]


def synchronize(model: nn.Module) -> None:
    """Make every ``nn.BatchNorm2d`` of a model one that counts the images of all processes; the weights stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
