"""The feature separation loss against the plain way of computing it: time, memory, and how exact each is.

The plain way has the whole matrix of similarities and leaves the gradient to autograd. Both take the same features
of 512 dimensions in ten classes, in fp32. Time and memory are of loss and gradient; memory is what is held at the
most beside features and labels. Errors are the largest distances from the plain way in float64.

usage: python benchmarks/separation.py [--device cuda]
"""

from collections.abc import Callable

import torch
from measuring import Spread, heading, interleaved, parser, set_threads, table
from torch import Tensor
from torch.nn import functional as F

from srat.core.keyed_random import generator
from srat.feature_losses.separation_loss import separation
from srat.runtime.precision import tensor_float
from srat.training.memory_estimate import Footprint

Loss = Callable[[Tensor, Tensor], Tensor]
DIMENSIONS, CLASSES, TEMPERATURE = 512, 10, 0.1


def plain_separation(features: Tensor, labels: Tensor) -> Tensor:
    """Return each anchor's loss from the full matrix of similarities."""
    z = F.normalize(features, dim=1)
    similarity = z @ z.T / TEMPERATURE
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    positive = (labels[:, None] == labels) & ~itself
    log_sums = similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    return -(positive * (similarity - log_sums)).sum(dim=1) / positive.sum(dim=1).clamp(min=1)


LOSSES: dict[str, Loss] = {"ours": lambda z, labels: separation(z, labels, TEMPERATURE), "plain": plain_separation}


def drawn(batch: int, device: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return random features, which want a gradient, and labels."""
    features = torch.randn(batch, DIMENSIONS, generator=generator(0, "features")).to(device, dtype)
    labels = torch.randint(CLASSES, (batch,), generator=generator(0, "labels")).to(device)
    return features.requires_grad_(), labels


def forward_and_backward(loss: Loss, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses, and the gradient of their sum."""
    losses = loss(features, labels)
    (gradient,) = torch.autograd.grad(losses.sum(), features)
    return losses.detach(), gradient


def peak(loss: Loss, features: Tensor, labels: Tensor) -> int:
    """Return the most bytes that are held beside features and labels."""
    if features.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        forward_and_backward(loss, features, labels)
        return torch.cuda.max_memory_allocated() - before
    with Footprint() as footprint:
        footprint.count((features, labels))
        before = footprint.live
        forward_and_backward(loss, features, labels)
    return footprint.peak - before


def cost(batch: int, device: str, rounds: int) -> list[tuple[str, ...]]:
    """Return time and memory of each way."""
    features, labels = drawn(batch, device)
    calls = {name: lambda loss=loss: forward_and_backward(loss, features, labels) for name, loss in LOSSES.items()}
    repeats = max(1, 3_276_800 // batch**2)  # of what is short, many
    taken = interleaved(calls, rounds=rounds, device=device, repeats=repeats, warm_up=1)
    rows = []
    for name, loss in LOSSES.items():
        time = Spread.of([1e3 * seconds for seconds in taken[name]])
        span = f"{time.median:.2f} ({time.low:.2f}–{time.high:.2f})"
        rows.append((f"{name}, {batch:,} × {DIMENSIONS}", span, f"{peak(loss, features, labels) / 1e6:.1f}"))
    return rows


def errors(batch: int, device: str) -> list[tuple[str, ...]]:
    """Return the largest distances of each way's losses and gradients from float64's."""
    exact = forward_and_backward(plain_separation, *drawn(batch, device, torch.float64))
    largest = [f"{tensor.abs().max().item():.3g}" for tensor in exact]
    rows = [("largest in float64", *largest)]
    for name, loss in LOSSES.items():
        found = forward_and_backward(loss, *drawn(batch, device))
        distances = [(mine - true).abs().max().item() for mine, true in zip(found, exact, strict=True)]
        rows.append((f"{name}, largest error", *(f"{distance:.2g}" for distance in distances)))
    return rows


def main() -> None:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--batches", type=int, nargs="+", default=[128, 8192], help="to measure time and memory at")
    made.add_argument("--errors-at", type=int, default=1024, metavar="BATCH")
    options = made.parse_args()
    set_threads(options)
    print(heading(options.device, dimensions=DIMENSIONS, classes=CLASSES, temperature=TEMPERATURE))
    with tensor_float(False):
        rows = [row for batch in options.batches for row in cost(batch, options.device, options.rounds)]
        print(table([("", "ms (min–max)", "peak MB"), *rows]), end="\n\n")
        print(
            table([(f"batch {options.errors_at:,}", "losses", "gradients"), *errors(options.errors_at, options.device)])
        )


if __name__ == "__main__":
    main()
