"""Where a training step's time goes: its five largest costs by self time, before and after.

Before: "fp32-plain", uncompiled, nothing folded, in PyTorch's usual layout. After: the variant that --after names.
On the CPU a cost is an operator, on CUDA a kernel; shares are of all self time that the profiler sees.

usage: python benchmarks/profile_step.py [--after VARIANT] [--device cuda]
"""

from typing import Any

from measuring import (
    Function,
    Variant,
    Work,
    heading,
    one_batch,
    seconds,
    step_parser,
    stepper,
    table,
    variants_on,
    work_of,
)
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

LARGEST, LONGEST_NAME = 5, 48


def step_of(work: Work, variant: Variant) -> Function:
    """Return the step of a variant."""
    training = work.training(variant)
    return stepper(training, one_batch(training))


def costs(step: Function, device: str) -> list[tuple[str, float]]:
    """Return the names and self times, in milliseconds, of all that one step does, the largest first."""
    seconds(step, device, repeats=3)
    on_cuda = device.startswith("cuda")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities) as profiler:
        seconds(step, device)
    kind = DeviceType.CUDA if on_cuda else DeviceType.CPU
    events: list[Any] = [event for event in profiler.key_averages() if event.device_type == kind]
    if on_cuda:
        # Annotations span kernels, and would count them once more.
        found = [(event.key, event.self_device_time_total) for event in events if not event.is_user_annotation]
    else:
        found = [(event.key, event.self_cpu_time_total) for event in events]
    return sorted(((name, time / 1e3) for name, time in found), key=lambda cost: -cost[1])


def column(found: list[tuple[str, float]]) -> list[tuple[str, str, str]]:
    """Return the largest costs: name, milliseconds, share; then all together."""
    total = sum(time for _, time in found)
    rows = [(short(name), f"{time:.1f}", f"{time / total:.0%}") for name, time in found[:LARGEST]]
    rows += [("", "", "")] * (LARGEST - len(rows))
    return [*rows, ("all", f"{total:.1f}", "100%")]


def short(name: str) -> str:
    """Return a name that fits."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def main() -> None:
    """Profile both steps, and print them side by side."""
    parser = step_parser(__doc__)
    parser.add_argument("--after", default="fp32", metavar="VARIANT", help="one of those that step.py names")
    options = parser.parse_args()
    known = variants_on(options.device)
    if options.after not in known:
        parser.error(f"--after: there is no {options.after}; there are: {', '.join(known)}")
    work = work_of(options)
    named = {"before": "fp32-plain", f"after: {options.after}": options.after}
    steps = {title: step_of(work, known[name]) for title, name in named.items()}
    columns = [[(name, "ms", "share"), *column(costs(step, options.device))] for name, step in steps.items()]
    print(heading(options.device, model=work.config.model, batch=options.batch, method=options.method))
    print(
        table(
            [
                (left[0], *left[1:], "  ", right[0].ljust(LONGEST_NAME), *right[1:])
                for left, right in zip(*columns, strict=True)
            ]
        )
    )


if __name__ == "__main__":
    main()
