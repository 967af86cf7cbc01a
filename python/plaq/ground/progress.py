"""The progress display of long runs: a panel in notebooks, else tqdm if installed, else one line on a terminal."""

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from plaq.ground.html import escaped, table

__all__ = ["Progress", "in_notebook"]

REFRESH_SECONDS = 0.1


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
        False shows nothing. True shows something only in notebooks and on terminals, so that log files stay clean.
    """

    def __init__(self, total: int, label: str, text: Callable[[], str], *, enabled: bool = True) -> None:
        self._text, self._shown = text, 0
        self._next = time.perf_counter() + REFRESH_SECONDS if enabled and _is_watched() else float("inf")
        self._display: Any = _display(total, label) if enabled and _is_watched() else None

    def update(self, done: int) -> None:
        """Show that `done` steps are done, if the display is due."""
        if time.perf_counter() >= self._next:
            self._refresh(done)
            self._next = time.perf_counter() + REFRESH_SECONDS

    def _refresh(self, done: int) -> None:
        if self._display is not None:
            self._display.set_postfix_str(self._text(), refresh=False)
            self._display.update(done - self._shown)
            self._shown = done

    def close(self, done: int) -> None:
        """Show the final count and leave the line."""
        self._refresh(done)
        if self._display is not None:
            self._display.close()
            self._display = None


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
