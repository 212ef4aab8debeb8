"""Processes that help this one with a large report; a small one is made here alone.

A worker is a fresh interpreter that knows nothing of the main script: unlike those of
`multiprocessing` it is safe in a script without a ``__main__`` guard, and unlike a fork it holds no
other thread's locks. A call gives the same result in either process, so that a report's bytes do
not hang on where it was made.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")

MANY_ROWS = 500
"""Outcomes from which on workers are worth their start, two seconds each."""
LARGE = 2**16
"""Bytes of outcome tables that hold about as many."""
_MOST = 3


class Mapper(Protocol):
    """As the builtin ``map`` of one sequence: results in the order of the items."""

    def __call__(self, function: Callable[[A], B], items: Sequence[A], /) -> Iterable[B]:
        """``[function(item) for item in items]``; all of it can be pickled."""
        ...


class Workers:
    """A context that starts processes when they are first worth it, and ends them with its block.

    One for each core but the one that this process works on, three at most. Within the block no
    cycles are searched: imports make many objects, and figures are given up where they are drawn.
    """

    def __init__(self) -> None:
        self._collecting = gc.isenabled()
        self._running: list[subprocess.Popen[bytes]] = []
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        if self._collecting:
            gc.enable()
        if self._threads is not None:
            self._threads.shutdown()
        for worker in self._running:
            for pipe in (worker.stdin, worker.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):  # of one that was killed
                    pipe.close()
            worker.wait()

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [worker.pid for worker in self._running]

    def expect(self, inputs: Sequence[Path]) -> None:
        """Start already if these runs or tables are large: imports then go on side by side."""
        files = (
            file
            for path in inputs
            for file in (path.glob("parts/outcomes/*") if path.is_dir() else [path])
        )
        with suppress(OSError):  # who reads them says what is wrong
            if sum(file.stat().st_size for file in files) >= LARGE:
                self._ready()

    def mapper(self, rows: int) -> Mapper:
        """What maps over parts of so many outcomes."""
        if rows < MANY_ROWS or (threads := self._ready()) is None:
            return map
        return _mapped(self._running, threads)

    def _ready(self) -> ThreadPoolExecutor | None:
        """A thread for each worker, started if they were not; None where there is no core."""
        count = min((os.cpu_count() or 1) - 1, _MOST)
        if self._threads is None and count > 0:
            self._threads = ThreadPoolExecutor(count)
            self._running = [_start() for _ in range(count)]
        return self._threads


def _start() -> subprocess.Popen[bytes]:
    # One thread each: BLAS threads of several processes would fight for the same cores.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # The path of this process: with -c a file of the user's working directory would come first.
    program = (
        f"import gc, sys; gc.disable(); sys.path[:] = {sys.path!r}; "
        "from lars_sweep.report.workers import serve; serve()"
    )
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _mapped(workers: Sequence[subprocess.Popen[bytes]], threads: ThreadPoolExecutor) -> Mapper:
    def over(function: Callable[[A], B], items: Sequence[A], /) -> Iterable[B]:
        left: SimpleQueue[tuple[int, A] | None] = SimpleQueue()
        for numbered in enumerate(items):
            left.put(numbered)
        found: dict[int, B] = {}

        def work(call: Callable[[A], B]) -> None:
            with suppress(Empty):
                while (one := left.get_nowait()) is not None:
                    found[one[0]] = call(one[1])

        def help_with(worker: subprocess.Popen[bytes]) -> None:
            # Once for all items: what the function carries with it may be the whole report's data.
            _asked(worker, "function", function)
            work(partial(_asked, worker, "item"))

        helping = [threads.submit(help_with, worker) for worker in workers]
        work(function)
        for one in helping:
            one.result()
        return [found[i] for i in range(len(items))]

    return over


def _asked(worker: subprocess.Popen[bytes], what: str, content: object) -> Any:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        # as bytes: one that cannot be unpickled is then read whole, and answered with an error
        packed = pickle.dumps((what, content), protocol=pickle.HIGHEST_PROTOCOL)
        pickle.dump(packed, worker.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        worker.stdin.flush()
        good, result = pickle.load(worker.stdout)
    except (EOFError, OSError) as error:
        raise RuntimeError(
            f"a process that helps to make the report ended with status {worker.wait()}; is there "
            "enough memory?"
        ) from error
    if not good:
        raise result
    return result


def serve() -> None:
    """A worker's loop: a function and then items, pickled, from stdin; to stdout what it makes.

    What the work prints goes to stderr.
    """
    # Loads while the first task is prepared; seaborn too, which takes half a second of a figure.
    import seaborn  # noqa: F401

    import lars_sweep.report.render  # noqa: F401

    answers: IO[bytes] = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    function: Callable[[Any], object] = id
    while True:
        try:
            what, content = pickle.loads(pickle.load(sys.stdin.buffer))
            made: object = None
            if what == "function":
                function = content
            else:
                made = function(content)
            answer: tuple[bool, object] = (True, made)
        except EOFError:
            sys.stdout.flush()
            os._exit(0)  # to give a report's objects back one by one takes as long as a figure
        except Exception as error:
            answer = (False, error)
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
