"""Results of two runs side by side."""

import json
from pathlib import Path
from typing import Dict, Iterator, Tuple

SPEED = {"track": "fps", "train": "pairs_per_second", "data": "pairs_per_second_and_core"}
# keys that say what was measured
WHAT = ("task", "config", "tracker", "engine", "targets", "data", "clip")
CONDITIONS = ("machine", "threads", "versions", "device", "opts", "seed", "frames", "size")


def compare(before: str, after: str) -> Iterator[dict]:
    """For each result that two files have in common: its speed in both, how many times as fast it
    is in the second, and the conditions that were not the same.

    Raises:
        OSError, ValueError: a file cannot be read, is not one of results, or has none in common
            with the other.
    """
    first, second = read_results(before), read_results(after)
    common = [key for key in first if key in second]
    if not common:
        raise ValueError(f"{before} and {after} have no measurement in common")
    for key in common:
        a, b = first[key], second[key]
        speed = SPEED[a["task"]]
        yield {
            **{name: a[name] for name in WHAT if name in a},
            speed: [a[speed], b[speed]],
            "times_as_fast": round(b[speed] / a[speed], 3),
            "differs": [c for c in CONDITIONS if _fixed(a.get(c)) != _fixed(b.get(c))],
        }


def read_results(path: str) -> Dict[Tuple, dict]:
    """The results in a file of JSON lines, by what was measured: the values of the keys WHAT."""
    results = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            result = json.loads(line)
            key = tuple(str(result.get(name)) for name in WHAT)
            result[SPEED[result["task"]]] + 0
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(f"{path} line {number}: not a result of tools/benchmark.py") from None
        results[key] = result
    return results


def _fixed(condition):
    """A condition without the load of the machine, which changes all the time."""
    if isinstance(condition, dict):
        return {name: value for name, value in condition.items() if name != "load"}
    return condition
