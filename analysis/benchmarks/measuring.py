"""What the benchmark scripts share: interleaved timing, ratios of one run, limits, the result file.

A script ends with status 1 if a number is beyond its limit; the result file says which. Torch loads
only where it is timed: worker processes of the control plane measure their own memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

RESULTS = Path(__file__).parent / "results"
Step = Callable[[], object]


def arguments(doc: str | None, *, seconds: float | None = None) -> argparse.ArgumentParser:
    """``--quick`` and ``--out``; with ``seconds``, in all, ``--seconds`` and ``--threads`` too."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="time to measure in all")
        parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="show that it works; no result file")
    parser.add_argument("--out", type=Path, help="result file [default: results/SCRIPT.json]")
    return parser


def begin(options: argparse.Namespace) -> torch.device:
    """Set the threads; the CUDA device if there is one, else the CPU."""
    import torch

    torch.set_num_threads(options.threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Limit:
    """A number of the result that must not be beyond a bound."""

    name: str
    value: float
    at_most: float = math.inf
    at_least: float = -math.inf

    @property
    def bound(self) -> str:
        """As it is printed."""
        above = f">= {self.at_least}" if math.isfinite(self.at_least) else ""
        return above or f"<= {self.at_most}"

    @property
    def holds(self) -> bool:
        """Whether it is kept; a number that is none keeps no limit."""
        return self.at_least <= self.value <= self.at_most


def at_most(results: Mapping[str, Any], limits: Mapping[str, float]) -> Iterator[Limit]:
    """A limit for each number of a nested result whose own name has a bound."""
    for name, value in results.items():
        if isinstance(value, dict):
            for limit in at_most(value, limits):
                yield replace(limit, name=f"{name}.{limit.name}")
        elif name in limits:
            yield Limit(name, value, limits[name])


def machine() -> dict[str, Any]:
    """Processor, load and Python: the head of a result that no tensor is in."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def surroundings(device: torch.device, packages: Sequence[str] = ("torch", "numpy")) -> Any:
    """Device, load and versions: the head of a result."""
    import torch

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    here = machine()
    cpu = here.pop("cpu")
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    threads = torch.get_num_threads()
    return {"machine": {"device": device_name, "threads": threads, **here, "versions": found}}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def interleaved(
    steps: Mapping[str, Step], device: torch.device, seconds: float, *, before: Step | None = None
) -> dict[str, dict[str, list[float]]]:
    """Wall-clock and CPU milliseconds of every step, in rounds that run each once.

    The order changes from round to round, so that a disturbance from outside hits all alike; what
    the first three rounds take (caches, allocators) does not count.

    Args:
        before: called ahead of every step, not timed.
    """
    times: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in steps}
    order, shuffled = list(steps), random.Random(1)
    end, rounds = time.monotonic() + seconds, 0
    while rounds < 4 or time.monotonic() < end:
        shuffled.shuffle(order)
        for name in order:
            if before is not None:
                before()
            wall, cpu = timed(steps[name], device)
            if rounds >= 3:
                times[name]["wall"].append(wall)
                times[name]["cpu"].append(cpu)
        rounds += 1
    return times


def timed(step: Step, device: torch.device) -> tuple[float, float]:
    """Wall-clock and CPU milliseconds of one step, the device's work included."""
    import torch

    synchronise = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    synchronise()
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    synchronise()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def compared(times: dict[str, dict[str, list[float]]], reference: str) -> dict[str, Any]:
    """Minimum and median of every variant, and their ratios to those of the reference."""
    rows = {}
    for name, clocks in times.items():
        row: dict[str, Any] = {"rounds": len(clocks["wall"])}
        for clock, values in clocks.items():
            base = times[reference][clock]
            row |= {
                f"{clock}_min_ms": round(min(values), 4),
                f"{clock}_median_ms": round(statistics.median(values), 4),
                f"{clock}_ratio_of_min": round(min(values) / max(min(base), 1e-9), 3),
                f"{clock}_ratio_of_median": round(
                    statistics.median(values) / max(statistics.median(base), 1e-9), 3
                ),
            }
        rows[name] = row
    return rows


def since(begin: float) -> float:
    """Seconds since a reading of `time.perf_counter`."""
    return round(time.perf_counter() - begin, 3)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, median and greatest of rates, with their number."""
    return {
        "n": len(values),
        "min": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
    }


def finish(
    options: argparse.Namespace, script: str, result: dict[str, Any], limits: Sequence[Limit]
) -> None:
    """Print the result and end the script; a quick run is not written and may exceed any limit."""
    result["limits"] = {limit.name: limit.bound for limit in limits}
    result["exceeded"] = [
        f"{limit.name}: {limit.value}, not {limit.bound}" for limit in limits if not limit.holds
    ]
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if options.quick:
        return
    path = options.out or RESULTS / f"{Path(script).stem}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    sys.exit(bool(result["exceeded"]))
