"""Writing run files: sections in their order, a line of explanation beside each key."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from plaq.cli import config

__all__ = ["written"]

STRANGE = {"links": "components", "scalar": "group"}
"""The key of [field] that a system does not have."""

LEFT_OUT = ".."
"""Stands for the value of a key without a default."""
COLUMN = 36
"""Where explanations begin."""


def written(table: Mapping[str, Mapping[str, Any]], title: str = "") -> str:
    """The text of a run file; keys that are left out stand there as comments with their defaults, ``..`` if they have
    none.

    Parameters
    ----------
    table : mapping
        Values by section and key, as `config.parse` takes them.
    title : str
        First line of the file.

    Examples
    --------
    >>> text = written({"run": {"draws": 10, "seed": 1}})
    >>> text.splitlines()[1]
    'draws = 10                          # draws to keep'
    """
    lines = [f"# {line}" for line in title.splitlines()]
    for section in config.SECTIONS:
        if section in table:
            lines += ["", *_section(section, table)] if lines else _section(section, table)
    return "\n".join(lines) + "\n"


def kind_of(section: str, table: Mapping[str, Mapping[str, Any]]) -> type[Any]:
    """The dataclass of a section."""
    found = config.SECTIONS[section]
    if not isinstance(found, dict):
        return found
    name = str(table[section].get(config.DECIDES.get(section, "name")))
    if section == "training":
        name = str(table.get("network", table["sampler"])["name"])
    return found[name]


def system_of(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Which row of `config.SYSTEMS` a file belongs to."""
    if "model" in table:
        return str(table["model"]["name"])
    return "scalar" if table.get("action", {}).get("name") == "Scalar" else "links"


def _section(section: str, table: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    system, given = system_of(table), table[section]
    yield f"[{section}]"
    for spec in fields(kind_of(section, table)):
        if spec.name in given:
            yield _line(f"{spec.name} = {value(given[spec.name])}", _explained(section, spec, system))
        elif spec.name != STRANGE.get(system):
            default = default_of(spec)
            shown = LEFT_OUT if default is None else value(default)
            yield _line(f"# {spec.name} = {shown}", _explained(section, spec, system))


def default_of(spec: "Field[Any]") -> Any:
    """The default of a key, None if it has none."""
    if spec.default_factory is not MISSING:
        return spec.default_factory()
    return None if spec.default is MISSING else spec.default


def _explained(section: str, spec: "Field[Any]", system: str) -> str:
    if spec.name == "name":
        known = config.SECTIONS[section]
        assert isinstance(known, dict)
        words = {"sampler": config.SYSTEMS[system].samplers, "network": config.SYSTEMS[system].networks}
        scalar = [name for name in config.ACTIONS if (name == "Scalar") == (system == "scalar")]
        return ", ".join(scalar if section == "action" else words.get(section, known))
    choices = spec.metadata["choices"]
    return str(spec.metadata["text"]) + (f": {', '.join(choices)}" if choices else "")


def _line(text: str, comment: str) -> str:
    return f"{text:<{COLUMN - 1}} # {comment}"


def value(given: Any) -> str:
    """A value as TOML."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str):
        return json.dumps(given, ensure_ascii=False)
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(value, given))}]"
    if isinstance(given, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {value(item)}" for key, item in given.items()) + " }"
    return repr(given)
