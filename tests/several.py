"""Functions run in several connected processes."""

import os

import torch
import torch.multiprocessing as mp

from srat.runtime.fabric import make_fabric
from srat.runtime.processes import join


def free_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def worker(rank, count, port, function, queue):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=port,
    )
    torch.set_num_threads(1)
    make_fabric("cpu")
    queue.put((rank, function(join())))
    join().wait()


def in_processes(count, function):
    """Run ``function(processes)`` in several processes, and return what each gives back."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(
        ["srat.training.fitting"]
    )  # which takes seconds to import: once, not for each of them
    queue, arguments = context.SimpleQueue(), (count, free_port(), function)
    started = mp.start_processes(worker, (*arguments, queue), nprocs=count, join=False, start_method="forkserver")
    results = {}
    while len(results) < count:
        if queue.empty():
            started.join(0.05)  # raises what has ended one of them
        else:
            results.update([queue.get()])
    while not started.join(30):
        pass
    return [results[rank] for rank in range(count)]
