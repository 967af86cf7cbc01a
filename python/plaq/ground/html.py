"""What notebooks and reports show: tables in HTML, with every text escaped."""

import html
from collections.abc import Iterable, Sequence

__all__ = ["box", "escaped", "table"]

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
