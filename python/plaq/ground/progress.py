"""The progress display of long runs: a panel in notebooks, tqdm or one line on a terminal, lines in logs."""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from plaq.ground.html import escaped, table

__all__ = ["Progress", "in_notebook", "lines_in_logs", "said_when_long"]

REFRESH_SECONDS = 0.1
LONG_SECONDS, WATCH_SECONDS = 20.0, 1.0
"""What runs without a display speaks after so long."""
LOG_SECONDS, LOG_PART, LOG_LEAST = 60.0, 0.1, 5.0
"""A line goes to a log once a minute, or after a tenth of the steps, but not within 5 seconds after another."""

_logs: list[TextIO] = []
"""Files that get lines; the command line puts its outputs here."""


class Progress:
    """Counts `total` steps and shows them with a short text at most every 0.1 s.

    Parameters
    ----------
    total : int
        Number of steps.
    label : str
        What the steps are.
    text : callable
        Called without arguments when the display is refreshed; returns what to show behind the counter.
    enabled : bool
        False shows nothing. True shows something in notebooks and on terminals, and lines in the files of
        :func:`lines_in_logs`; else log files stay clean.
    """

    def __init__(self, total: int, label: str, text: Callable[[], str], *, enabled: bool = True) -> None:
        self._text, self._shown = text, 0
        self._displays: list[Any] = []
        if enabled:
            self._displays += [_display(total, label)] if _is_watched() else []
            self._displays += [_Log(total, label, file) for file in _logs]
        self._next = time.perf_counter() + REFRESH_SECONDS if self._displays else float("inf")

    def update(self, done: int) -> None:
        """Show that `done` steps are done, if the display is due."""
        if time.perf_counter() >= self._next:
            self._refresh(done)
            self._next = time.perf_counter() + REFRESH_SECONDS

    def _refresh(self, done: int) -> None:
        text = self._text() if self._displays else ""
        for display in self._displays:
            display.set_postfix_str(text, refresh=False)
            display.update(done - self._shown)
        self._shown = done

    def close(self, done: int) -> None:
        """Show the final count and leave the line."""
        self._refresh(done)
        while self._displays:
            self._displays.pop().close()


class _Line:
    """The three methods of tqdm that are used, on one line of a terminal."""

    def __init__(self, total: int, label: str) -> None:
        self._total, self._label, self._done, self._postfix = total, label, 0, ""
        self._start = time.perf_counter()

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self._postfix = text

    def update(self, steps: int) -> None:
        self._done += steps
        rate = self._done / max(time.perf_counter() - self._start, 1e-9)
        sys.stderr.write(f"\r{self._label}: {self._done}/{self._total}, {rate:.3g}/s, {self._postfix}\033[K")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")
        sys.stderr.flush()


class _Log:
    """The same three methods in a file: lines that stay, few of them."""

    def __init__(self, total: int, label: str, file: TextIO) -> None:
        self._total, self._label, self._file, self._done, self._postfix = total, label, file, 0, ""
        self._start = self._last = time.perf_counter()
        self._said = 0

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self._postfix = text

    def update(self, steps: int) -> None:
        self._done += steps
        waited = time.perf_counter() - self._last
        if waited >= LOG_SECONDS or (waited >= LOG_LEAST and self._done - self._said >= LOG_PART * self._total):
            self._say()

    def _say(self) -> None:
        now = time.perf_counter()
        seconds = max(now - self._start, 1e-9)
        parts = [f"{self._label}: {self._done}/{self._total}", f"{seconds:.0f} s", f"{self._done / seconds:.3g}/s"]
        self._file.write(", ".join([*parts, self._postfix] if self._postfix else parts) + "\n")
        self._file.flush()
        self._last, self._said = now, self._done

    def close(self) -> None:
        if self._done != self._said and time.perf_counter() - self._start >= LOG_LEAST:
            self._say()


class _Watch:
    """One thread for all that may be long: to begin and to end costs a microsecond, however busy the cores are."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[float, float, Callable[[float], str]]] = {}
        self._next, self._process = 0, 0

    def begin(self, text: Callable[[float], str]) -> int:
        """Take a block in; its number."""
        if self._process != os.getpid():  # the first one, also of a forked child, which has no threads
            self._blocks, self._process = {}, os.getpid()
            threading.Thread(target=self._watch, daemon=True, name="plaq-watch").start()
        self._next += 1
        self._blocks[self._next] = (time.monotonic(), LONG_SECONDS, text)
        return self._next

    def end(self, number: int) -> None:
        """Forget a block."""
        self._blocks.pop(number, None)

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            for number, (start, due, text) in list(self._blocks.items()):
                spent = time.monotonic() - start
                if spent >= due and self._blocks.pop(number, None) is not None:
                    self._blocks[number] = (start, 2 * spent, text)
                    if sys.stderr is not None:
                        print(text(spent), file=sys.stderr, flush=True)


_watch = _Watch()


@contextmanager
def said_when_long(text: Callable[[float], str]) -> Iterator[None]:
    """A line on standard error if the block takes longer than `LONG_SECONDS`, and again after each doubling.

    For work in the core that cannot say how far it is: silence is worse than a line.

    Parameters
    ----------
    text : callable
        From the seconds so far to the line.
    """
    number = _watch.begin(text)
    try:
        yield
    finally:
        _watch.end(number)


@contextmanager
def lines_in_logs() -> Iterator[None]:
    """Within the block progress is also written, in lines, to standard output if that is no terminal; else to standard
    error if that is none.
    """
    logs = [file for file in (sys.stdout, sys.stderr) if file is not None and not file.isatty()][:1]
    _logs.extend(logs)
    try:
        yield
    finally:
        del _logs[len(_logs) - len(logs) :]


class _Panel:
    """The same three methods in a notebook: one output that is replaced, without ipywidgets or a script."""

    def __init__(self, total: int, label: str) -> None:
        self._total, self._label, self._done, self._postfix = total, label, 0, ""
        self._start = time.perf_counter()
        self._tools = importlib.import_module("IPython.display")
        self._handle = self._tools.display(self._tools.HTML(self._shown()), display_id=True)

    def _shown(self) -> str:
        seconds = max(time.perf_counter() - self._start, 1e-9)
        left = (self._total - self._done) * seconds / self._done if self._done else 0.0
        times = f"{seconds:.0f} s, {left:.0f} s left" if left else f"{seconds:.0f} s"
        row = (f"{self._done} of {self._total}", f"{self._done / seconds:.3g}/s", times, self._postfix)
        bar = f'<progress value="{self._done}" max="{max(self._total, 1)}" style="width:20em"></progress>'
        return f"<div>{escaped(self._label)} {bar}{table([row])}</div>"

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self._postfix = text

    def update(self, steps: int) -> None:
        self._done += steps
        if self._handle is not None:
            self._handle.update(self._tools.HTML(self._shown()))

    def close(self) -> None:
        pass


def _display(total: int, label: str) -> Any:
    if in_notebook():
        return _Panel(total, label)
    try:
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        return _Line(total, label)
    return tqdm(total=total, desc=label, leave=True)


def in_notebook() -> bool:
    """Whether what is displayed goes to a front end."""
    if "ipykernel" not in sys.modules:
        return False
    shell = importlib.import_module("IPython").get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _is_watched() -> bool:
    return in_notebook() or bool(sys.stderr and sys.stderr.isatty())
