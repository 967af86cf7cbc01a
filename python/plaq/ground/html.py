"""What notebooks and reports show: tables in HTML, with every text escaped."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["box", "escaped", "layer_table", "number_table", "table"]

LEFT = ' style="text-align:left"'


def escaped(text: object) -> str:
    """Text that HTML shows as it is.

    Examples
    --------
    >>> escaped("a < b")
    'a &lt; b'
    """
    return html.escape(str(text))


def table(rows: Iterable[Sequence[object]], header: Sequence[object] = ()) -> str:
    """A table.

    Parameters
    ----------
    rows : iterable of sequences
        Cells, anything with a str.
    header : sequence, optional
        Names of the columns.

    Examples
    --------
    >>> table([("x", 1)])
    '<table><tr><td style="text-align:left">x</td><td style="text-align:left">1</td></tr></table>'
    """
    head = "".join(f"<th{LEFT}>{escaped(cell)}</th>" for cell in header)
    lines = ["".join(f"<td{LEFT}>{escaped(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in ([head] if head else []) + lines)}</table>"


def box(headline: object, rows: Iterable[Sequence[object]] = (), header: Sequence[object] = ()) -> str:
    """What an object shows in a notebook: a line and a table.

    Examples
    --------
    >>> box("<GaugeField>")
    '<div>&lt;GaugeField&gt;</div>'
    """
    lines = list(rows)
    return f"<div>{escaped(headline)}{table(lines, header) if lines else ''}</div>"


def layer_table(headline: object, layers: Sequence[object], named: Mapping[str, Any]) -> str:
    """A network: its layers in their order, and how many parameters each has.

    Parameters
    ----------
    headline : object
        What stands above.
    layers : sequence
        Layers.
    named : mapping
        Parameters by ``"layer.name"``.

    Examples
    --------
    >>> ">2</td>" in layer_table("net", ["Linear"], {"0.weight": [1.0, 2.0]})
    True
    """
    counts = dict.fromkeys(range(len(layers)), 0)
    for name, values in named.items():
        counts[int(name.partition(".")[0])] += np.size(values)
    rows = [(n, layer, counts[n] or "") for n, layer in enumerate(layers)]
    return box(headline, rows, ("", "layer", "parameters"))


def number_table(headline: object, named: Mapping[str, Any]) -> str:
    """Arrays by name: how many numbers, from which to which.

    Examples
    --------
    >>> "0.5 to 2" in number_table("machine", {"weights": [0.5, 2.0]})
    True
    """
    rows = []
    for name, values in named.items():
        size = np.size(values)
        least, most = (np.min(values), np.max(values)) if size else (0.0, 0.0)
        rows.append((name, size, f"{least:.4g}" if size == 1 else f"{least:.4g} to {most:.4g}"))
    return box(headline, rows, ("", "numbers", "values"))
