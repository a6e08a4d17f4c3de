"""Functions for all programs of the project: options for a config, and errors in one line."""

import argparse
import contextlib
import functools
import io
import os
import sys
from typing import Callable, Collection

# exit codes: of a wrong command line, as argparse has it, and after Ctrl-C, as shells have it
WRONG_USAGE, INTERRUPTED = 2, 130


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line in one line, without the usage."""

    def error(self, message: str):
        self.exit(WRONG_USAGE, f"error: {message}\n")


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser that prints ``description``, the docstring of a module, as it is written. A wrong
    command line ends the program with one line, ``error: ...``, and exit code 2."""
    return _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_config_options(parser: argparse.ArgumentParser, **config_file) -> None:
    """Add the option ``--config-file`` and the positional ``opts``, the KEY VALUE pairs at the end
    of a command line. ``config_file`` are arguments of ``add_argument``, such as
    ``required=True``."""
    options = {"metavar": "FILE", "help": "config: a yaml file, or a name in configs/"}
    parser.add_argument("--config-file", **{**options, **config_file})
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides of the config")


def first_few(items: Collection, count: int = 5) -> str:
    """The first items for a message in one line: "a, b, c", or "a, b and 5 more"."""
    more = f" and {len(items) - count} more" if len(items) > count else ""
    return ", ".join(map(str, list(items)[:count])) + more


class _PipeEnd(io.FileIO):
    """A stream of this process. Text that is written after its reader has gone is dropped."""

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def keep_streams() -> None:
    """Make writing to stdout and stderr safe: a stream that somebody has closed does not end the
    run or change its exit code, and letters that a stream cannot show are written as codes. Call
    this before logging starts."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed before the start
            setattr(sys, name, open(os.devnull, "w"))
        elif stream is getattr(sys, f"__{name}__") and stream.fileno() == number:
            stream.flush()
            file = io.BufferedWriter(_PipeEnd(number, "w", closefd=False))
            lines = stream.line_buffering
            new = io.TextIOWrapper(file, stream.encoding, "backslashreplace", line_buffering=lines)
            setattr(sys, name, new)
            setattr(sys, f"__{name}__", new)
        elif isinstance(stream, io.TextIOWrapper) and not stream.closed:
            # the stream belongs to another program that runs this one
            stream.reconfigure(errors="backslashreplace")


def print_error(error) -> None:
    """Print ``error: ...`` in one line to stderr, if stderr is open."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        error = f"{error.filename}: {error.strerror}"
    with contextlib.suppress(OSError, ValueError):  # a closed stderr is no reason to fail
        print("error:", *str(error).split(), file=sys.stderr, flush=True)


def one_line_errors(code: int = 1) -> Callable:
    """A decorator for the ``main`` of a program, which returns its exit code. Bad input (OSError or
    ValueError) or a missing package becomes one line and the exit code ``code``. After Ctrl-C the
    exit code is 130."""

    def decorate(main):
        @functools.wraps(main)
        def wrapper(*args, **kwargs):
            keep_streams()
            try:
                return main(*args, **kwargs)
            except (OSError, ValueError, ImportError) as error:
                print_error(error)
                return code
            except KeyboardInterrupt:
                print_error("interrupted")
                return INTERRUPTED

        return wrapper

    return decorate
