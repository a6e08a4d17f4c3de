"""Training in several processes: starts them, lets them agree on errors, and ends them."""

import contextlib
import gc
import os
import signal
import sys
import tempfile
from datetime import timedelta
from typing import Callable, Optional

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm
from torch import nn

from ..utils.command_line import INTERRUPTED, print_error
from ..utils.signals import FirstSignal

MAX_TIMEOUT = 1e9  # seconds; clocks of torch.distributed overflow somewhere above


def launch(
    main_func: Callable,
    device: str,
    num_processes: int = 1,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
    args: tuple = (),
    timeout: float = 1800,
) -> None:
    """Run ``main_func(*args)`` in each process of a job, on "cpu", or on "cuda" with one GPU for
    each process. The function and its arguments must be picklable.

    Under torchrun, or another program that sets RANK, LOCAL_RANK and WORLD_SIZE, this process is
    one of the job. Otherwise this starts ``num_processes`` processes on each machine, as
    detectron2's launch does, which refuses a CPU in version 0.6. It passes SIGINT, SIGTERM and
    SIGHUP on to them and waits for their end. A second signal ends all of them at once. A process
    that waits for the others gives up after ``timeout`` seconds.

    Raises:
        ValueError: the arguments contradict each other, or do not fit this machine.
        ConnectionError: the processes do not find each other.
        SystemExit: a process was killed, or ended with an error that it has reported.
        torch.multiprocessing.ProcessRaisedException: a process had any other error.
    """
    if num_processes < 0 or num_machines < 1:
        raise ValueError(
            f"--num-gpus {num_processes} --num-machines {num_machines}: there is nothing to start"
        )
    if not 0 <= machine_rank < num_machines:
        raise ValueError(
            f"--machine-rank {machine_rank}: of {num_machines} machines the ranks are 0 to "
            f"{num_machines - 1} (--num-machines)"
        )
    if not 0 < timeout < MAX_TIMEOUT:
        raise ValueError(f"--timeout {timeout:g}: give seconds, above 0")
    use_gpus = torch.device(device).type == "cuda"
    world_size = num_processes * num_machines
    if {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys():
        if world_size > 1:
            raise ValueError("torchrun starts the processes: leave out --num-gpus, --num-machines")
        rank, local_rank, world_size = (
            int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")
        )
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
        _join(rank, local_rank, world_size, local_size, use_gpus, "env://", timeout)
        main_func(*args)
        _leave()
        return
    if world_size <= 1:
        main_func(*args)
        return
    if num_machines > 1 and dist_url == "auto":
        raise ValueError("--num-machines needs --dist-url tcp://HOST:PORT, with machine 0's HOST")
    with FirstSignal(_forward) as forwarded, tempfile.TemporaryDirectory() as folder:
        url = f"file://{folder}/rendezvous" if dist_url == "auto" else dist_url
        try:
            job = (world_size, num_processes, use_gpus, url, timeout)
            first_rank = machine_rank * num_processes
            mp.spawn(_process, args=(first_rank, job, main_func, args), nprocs=num_processes)
        except mp.ProcessExitedException as e:
            if forwarded.received and e.signal_name:
                sys.exit(128 + forwarded.received)
            # a process that ended by itself has reported the reason
            killed = f"error: process {e.error_index} was ended by {e.signal_name}"
            sys.exit(killed if e.signal_name else e.exit_code)
        except KeyboardInterrupt:  # the second signal
            for process in mp.active_children():
                process.kill()
            sys.exit(INTERRUPTED)


def _forward(number: int) -> None:
    for process in mp.active_children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _process(local_rank, first_rank, job, main_func, args) -> None:
    _, local_size, use_gpus, *_ = job
    if not use_gpus:
        torch.set_num_threads(max(1, torch.get_num_threads() // local_size))
    with one_line_errors():
        _join(first_rank + local_rank, local_rank, *job)
    main_func(*args)
    _leave()


def _join(rank, local_rank, world_size, local_size, use_gpus, url, timeout) -> None:
    """Let this process join the job as ``rank``."""
    if use_gpus:
        torch.cuda.set_device(local_rank)
    try:
        dist.init_process_group(
            "nccl" if use_gpus else "gloo",
            init_method=url,
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=timeout),
        )
    except RuntimeError as e:
        raise ConnectionError(
            f"rank {rank} did not find the other {world_size - 1} processes at {url}: {e}"
        ) from e
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local_size)
    else:  # detectron2 0.6 has no function for what its launch does here
        machines = [
            dist.new_group(list(range(first, first + local_size)))
            for first in range(0, world_size, local_size)
        ]
        comm._LOCAL_PROCESS_GROUP = machines[rank // local_size]


def _leave() -> None:
    """Leave the job, and end the threads that gloo has for it. A thread that still frees a tensor
    while Python exits would abort the process."""
    dist.destroy_process_group()
    # detectron2 keeps both groups, and their threads, for the life of the process
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    gc.collect()  # a wrapped model keeps them, too


def raise_on_all_ranks(error: Optional[Exception]) -> None:
    """Raise the error of one rank on all ranks, so that none waits for the others. If several ranks
    have an error, that of the first rank is raised. All ranks must call this; a rank without an
    error passes None."""
    errors = [e for e in comm.all_gather(error) if e is not None]
    if errors:
        errors[0].on_all_ranks = True
        raise errors[0]


@contextlib.contextmanager
def same_on_all_ranks():
    """For a ``with`` block in which the ranks do not communicate: an OSError or ValueError of one
    rank (for example a dataset that is missing on one machine) is raised on all ranks."""
    error = None
    try:
        yield
    except (OSError, ValueError) as e:
        error = e
    raise_on_all_ranks(error)


@contextlib.contextmanager
def one_line_errors():
    """For a ``with`` block around a program: bad input (OSError, ValueError) and infinite or NaN
    losses end it with exit code 1 and one line, ``error: ...``. There is only one line if all ranks
    have the same error. Ctrl-C ends it without a message."""
    try:
        yield
    except (FloatingPointError, OSError, ValueError) as e:
        shared = getattr(e, "on_all_ranks", False)
        if comm.is_main_process():
            print_error(e)
        elif not shared:
            print_error(f"rank {comm.get_rank()}: {e}")
        if shared:
            comm.synchronize()  # the first process that ends also ends the others
        sys.exit(1)
    except KeyboardInterrupt:
        if mp.parent_process():  # it may pass on a signal that the terminal has sent here, too
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(INTERRUPTED)


def broadcast_buffers(model: nn.Module) -> None:
    """Copy the buffers of the main rank to all ranks. The statistics of batch norms differ between
    ranks, because each has seen other pairs; those of the main rank are in the checkpoints."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
