"""What the command line says of a configuration file and of its links."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["header_lines", "measured_lines"]

WIDTH = 96
NAME = 20
HALF_DIGIT = 0.5e-12
RECORDED = (("plaquette", "plaquette"), ("link_trace", "trace"))


def header_lines(header: Mapping[str, Any]) -> Iterator[str]:
    """What a file states, one fact per line; what it does not state is left out."""
    rest = dict(header)
    shape, colors = rest.pop("shape", None), rest.pop("n_colors", None)
    yield _line("format", rest.pop("format", "unknown"))
    yield _line("lattice", "not stated; give --shape" if shape is None else _lattice(shape, colors))
    storage = _storage(rest.pop("precision", None), rest.pop("byte_order", None), rest.pop("rows", None))
    if storage:
        yield _line("numbers", storage)
    sums = ", ".join(f"{name} {value:08x}" for name, value in rest.pop("checksums", {}).items())
    if sums:
        yield _line("checksums", sums)
    yield from _pairs({f"recorded {name}": rest.pop(key, None) for key, name in RECORDED})
    records, warnings = rest.pop("records", []), rest.pop("warnings", [])
    yield from _pairs(rest.pop("metadata", {}))
    yield from _pairs(rest)
    yield from _list("records", [f"{name:26}{size:>10} bytes at {offset}" for name, offset, size in records])
    yield from _list("warnings", warnings)


def measured_lines(observables: Any, links: Any) -> Iterator[str]:
    """The observables that this lattice and group have."""
    ndim = len(links.shape)
    if ndim > 1:
        yield _line("plaquette", f"{observables.plaquette(links):.12f}")
    if links.boundary == "periodic":
        loop = complex(observables.polyakov(links))
        yield _line("polyakov", f"{loop.real:.12f} {'-' if loop.imag < -HALF_DIGIT else '+'} {abs(loop.imag):.12f} i")
    else:
        yield _line("boundary", f"{links.boundary} in time")
    if ndim == 4:
        yield _line("topological charge", f"{observables.topological_charge(links):.12f} (clover)")
    elif ndim == 2 and links.group == "U(1)":
        yield _line("topological charge", f"{round(observables.topological_charge(links, 'geometric'))} (geometric)")
    if ndim > 1:
        yield _line("energy density", f"{observables.energy_density(links):.12f} (clover)")


def _line(name: str, value: object) -> str:
    text = " ".join(str(value).split())
    return f"{name:{NAME - 1}} {text if len(text) <= WIDTH else text[: WIDTH - 3] + '...'}"


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    return (_line(name, value) for name, value in values.items() if value is not None)


def _list(name: str, entries: list[str]) -> Iterator[str]:
    return (f"{name if not k else '':{NAME}}{entry}" for k, entry in enumerate(entries))


def _lattice(shape: Any, colors: int | None) -> str:
    extents = " x ".join(map(str, shape))
    return extents if colors is None else f"{extents}, {'U(1)' if colors == 1 else f'SU({colors})'}"


def _storage(precision: int | None, order: str | None, rows: int | None) -> str:
    parts = [
        precision and f"{precision} bit",
        order and f"{order}-endian",
        rows and f"{rows} row{'s' if rows > 1 else ''} of each link",
    ]
    return ", ".join(part for part in parts if part) if precision else ""
