"""`plaq report`: one HTML page, without other files, about a run or a scan."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import __version__
from plaq.chains.chain import Chain
from plaq.ground.html import escaped, table
from plaq.plot.figure import axes
from plaq.plot.style import name_of
from plaq.statistics import MINIMUM_DRAWS, Estimate, StatisticsWarning
from plaq.training.history import History

__all__ = ["page_of_run", "page_of_scan", "verdict"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd;
  font-variant-numeric: tabular-nums; }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; font-size: .85rem; }
img { max-width: 100%; } .doubt { color: #a33; }
"""

MEANING = {
    "accepted": "all draws are there, and nothing is said against an estimate",
    "rejected": "an estimate is in doubt",
    "incomplete": "draws are missing",
}
"""What the outcome of a run stands for; the Metropolis test of single proposals is another matter."""

Rows = list[Sequence[object]]


def verdict(chain: Chain, draws: int | None = None) -> tuple[str, list[str]]:
    """``"incomplete"``, ``"rejected"`` (an estimate is in doubt) or ``"accepted"``, and why."""
    if chain.incomplete or len(chain) < (MINIMUM_DRAWS if draws is None else draws):
        wanted = "" if draws is None else f" of {draws}"
        return "incomplete", [f"{len(chain)}{wanted} draws"]
    doubts = [f"{name}: {doubt}" for name, _, found in _estimates(chain) for doubt in found]
    return ("rejected" if doubts else "accepted"), doubts


def _estimates(chain: Chain) -> Iterator[tuple[str, Estimate, list[str]]]:
    """Estimates of the observables with one number per draw, and what is said against them."""
    for name in chain.names:
        values = chain[name]
        if values.ndim > 1:
            continue
        parts: dict[str, Any] = {"": None}
        if np.iscomplexobj(values):
            parts = {"Re ": np.real, "Im ": np.imag}
            # The trace of an SU(2) loop is real up to rounding.
            if np.abs(values.imag).max(initial=0.0) <= 1e-12 * np.abs(values).max(initial=0.0):
                del parts["Im "]
        for prefix, function in parts.items():
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always", StatisticsWarning)
                try:
                    estimate = chain.estimate(name, function)
                except ValueError:
                    continue
            yield prefix + name, estimate, [str(each.message) for each in found]


def page_of_run(title: str, chain: Chain, *, history: History | None = None, source: str = "", about: str = "") -> str:
    """The page about a run.

    Parameters
    ----------
    title : str
    chain : Chain
    history : History, optional
        Of its training.
    source : str
        The text of its run file.
    about : str
        A line about what was trained.
    """
    result, doubts = verdict(chain)
    parts = [
        f"<p>{escaped(chain._headline())}. Outcome: <b>{result}</b> ({MEANING[result]}).</p>",
        *(f'<p class="doubt">{escaped(doubt)}</p>' for doubt in doubts),
        "<h2>Results</h2>",
        table(_result_rows(chain), header=("observable", "mean(error)", "tau (draws)", "draws")),
        _picture(chain.plot, "histories, autocorrelations and distributions of the observables"),
        "<h2>Sampler</h2>",
        table(_info_rows(chain), header=("of each draw", "mean", "least", "most")),
    ]
    if history is not None:
        parts += [
            "<h2>Training</h2>",
            f"<p>{escaped(about)}</p>" if about else "",
            history._repr_html_(),
            _picture(history.plot, "records of the training"),
        ]
    parts += ["<h2>Input</h2>", *_input(chain, source)]
    return _page(title, parts)


def page_of_scan(title: str, rows: list[tuple[Any, Chain | None, str]], *, source: str) -> str:
    """The page about a scan: rows of a point, its merged chain (if there is one) and its outcome."""
    names = list(dict.fromkeys(name for _, chain, _ in rows if chain is not None for name, _, _ in _estimates(chain)))
    keys = list(rows[0][0]) if rows else []
    lines: Rows = []
    curves: dict[str, list[tuple[float, Estimate]]] = {name: [] for name in names}
    for values, chain, outcome in rows:
        found = {} if chain is None else {name: estimate for name, estimate, _ in _estimates(chain)}
        for name, estimate in found.items():
            curves[name].append((values[keys[0]] if keys else math.nan, estimate))
        numbers = [str(found.get(name, "")) for name in names]
        lines.append([*values.values(), 0 if chain is None else len(chain), *numbers, outcome])
    single = len(keys) == 1 and all(isinstance(values[keys[0]], int | float) for values, _, _ in rows)
    figures = [
        _picture(lambda name=name: _curve(keys[0], name, curves[name]), name)
        for name in names
        if single and len(curves[name]) > 1
    ]
    parts = [table(lines, header=(*keys, "draws", *names, "outcome")), *figures, "<h2>Input</h2>", *_source(source)]
    return _page(title, parts)


def _page(title: str, parts: Iterable[str]) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escaped(title)}</title>'
    body = "\n".join(part for part in parts if part)
    foot = f"<p>Made by plaq {escaped(__version__)}.</p>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n'
        f"<body><h1>{escaped(title)}</h1>\n{body}\n{foot}</body></html>\n"
    )


def _result_rows(chain: Chain) -> Rows:
    rows: Rows = [
        (name, str(found), repr(found).partition("tau = ")[2], len(chain)) for name, found, _ in _estimates(chain)
    ]
    rows += [(name, f"array {chain[name].shape[1:]}", "", len(chain)) for name in chain.names if chain[name].ndim > 1]
    return rows


def _info_rows(chain: Chain) -> Rows:
    rows: Rows = []
    terms = _terms_of(chain)
    for name, values in chain.info.items():
        if len(values) and values.ndim == 1:
            numbers = values.astype(float)
            rows.append((_with_term(name, numbers, terms), *(f"{f(numbers):.6g}" for f in (np.mean, np.min, np.max))))
    return rows


def _with_term(name: str, numbers: NDArray[np.float64], terms: list[str]) -> str:
    """The name of a force with the term of the action that it is of."""
    before, _, number = name.rpartition("force_")
    if not number.isdecimal() or int(number) >= len(terms):
        return name
    unused = "" if numbers.any() else ", in the Metropolis test alone"
    return f"{before}force_{number} ({terms[int(number)]}{unused})"


def _terms_of(chain: Chain) -> list[str]:
    """What the terms of HMC are called, by their numbers: of the target, then those of the proposal that it lacks."""
    facts = chain.fingerprint.get("sampler", {})
    target, proposal = (_flat(facts.get(name)) for name in ("action", "proposal"))
    return [_name_of_term(term) for term in [*target, *(term for term in proposal if term not in target)]]


def _flat(action: Any) -> list[dict[str, Any]]:
    if not isinstance(action, dict):
        return []
    return action["terms"] if action.get("kind") == "sum" else [action]


def _name_of_term(term: dict[str, Any]) -> str:
    dirac, inner = term.get("dirac"), term.get("action")
    if isinstance(inner, dict):
        return f"{term.get('kind')} {_name_of_term(inner)}"
    if isinstance(dirac, dict):
        return f"{dirac.get('kind')} quarks" + (f" of mass {dirac['mass']:g}" if "mass" in dirac else "")
    return str(term.get("name") or term.get("kind"))


def _input(chain: Chain, source: str) -> Iterator[str]:
    facts = json.dumps(chain.fingerprint, sort_keys=True, indent=1)
    yield from _source(source)
    digest = hashlib.sha256(facts.encode()).hexdigest()
    yield f"<p>Fingerprint of the physics input: <code>{digest[:16]}</code>, seed <code>{chain.seed}</code>.</p>"
    yield f"<details><summary>as the sampler states it</summary><pre>{escaped(facts)}</pre></details>"


def _source(source: str) -> Iterator[str]:
    if source:
        digest = hashlib.sha256(source.encode()).hexdigest()
        yield f"<p>Run file, SHA-256 <code>{digest}</code>:</p><pre>{escaped(source)}</pre>"


def _curve(key: str, name: str, points: list[tuple[float, Estimate]]) -> Any:
    ax = axes(None)
    x, found = zip(*points, strict=True)
    ax.errorbar(x, [each.mean for each in found], [each.error for each in found], fmt="o", capsize=3)
    ax.set_xlabel(key)
    ax.set_ylabel(name_of(name))
    return ax.figure


def _picture(draw: Any, caption: str) -> str:
    """A figure inside the page; a sentence where it cannot be drawn."""
    try:
        figure = draw()
    except (ImportError, ValueError) as error:
        return f"<p>No figure: {escaped(str(error))}</p>"
    content = BytesIO()
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "plaq"}):  # the same chain gives the same page
        figure.savefig(content, format="svg", metadata={"Date": None})
    data = base64.b64encode(content.getvalue()).decode()
    return f'<p><img alt="{escaped(caption)}" src="data:image/svg+xml;base64,{data}"></p>'


def load_history(path: Path) -> History | None:
    """The record of a training, if there is one."""
    return History.load(path) if path.exists() else None
