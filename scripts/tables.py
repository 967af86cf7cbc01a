"""Write what follows from other files: keys of run files, names of arguments, results that the package ships.

`--check` compares only. docs/command_line.md keeps what stands outside of the marks; docs/arguments.md is all new.
"""

import dataclasses
import inspect
import json
import re
import sys
from collections import defaultdict
from itertools import takewhile
from pathlib import Path
from types import ModuleType

import numpy as np
import plaq as pq
from plaq.cli import config
from plaq.cli.toml import default_of, value

ROOT = Path(__file__).parents[1]
DOCS, RUNS = ROOT / "docs", ROOT / "benches" / "physics"
START, END = "<!-- keys: written by scripts/tables.py -->", "<!-- end of keys -->"


def keys():
    """A table of sections and keys of run files."""
    lines = ["| section | key | default | meaning |", "|---|---|---|---|"]
    for section, found in config.SECTIONS.items():
        named = isinstance(found, dict)
        for kind in dict.fromkeys(found.values()) if named else [found]:
            names = [name for name, each in found.items() if each is kind] if named else []
            title = f"`[{section}]`"
            if names:
                key = config.DECIDES.get(section, "name")
                title += f" {'of' if section == 'training' else f'{key} ='} " + ", ".join(f"`{name}`" for name in names)
            for spec in dataclasses.fields(kind):
                if spec.name == config.DECIDES.get(section, "name"):
                    continue
                choices = spec.metadata["choices"]
                text = spec.metadata["text"] + (": " + ", ".join(f'`"{each}"`' for each in choices) if choices else "")
                default = "needed" if config.is_needed(spec) else default_of(spec)
                shown = "" if default is None else default if default == "needed" else f"`{value(default)}`"
                lines.append(f"| {title} | `{spec.name}` | {shown} | {text} |")
                title = ""
            if title and names:
                lines.append(f"| {title} | | | no keys |")
    return "\n".join(lines)


def public(module, prefix):
    """Names and objects that a module offers, those of its public submodules included."""
    for name in module.__all__:
        obj = getattr(module, name)
        if isinstance(obj, ModuleType):
            yield from public(obj, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", obj


def functions():
    """Everything public that takes arguments, by name."""
    seen = set()
    for name, obj in public(pq, "pq"):
        if not callable(obj) or id(obj) in seen or (isinstance(obj, type) and issubclass(obj, Exception)):
            continue
        seen.add(id(obj))
        yield name, obj
        if isinstance(obj, type):
            for key in dir(obj):
                if not key.startswith("_") and inspect.isroutine(inspect.getattr_static(obj, key, None) or 0):
                    yield f"{name}.{key}", getattr(obj, key)


def arguments():
    """Who takes an argument, by its name; methods that several classes have in common count once."""
    found = defaultdict(dict)
    for name, obj in functions():
        try:
            parameters = inspect.signature(obj).parameters.values()
        except (ValueError, TypeError):
            continue
        for each in parameters:
            if each.name in ("self", "cls") or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                continue
            if each.name.startswith("_"):
                continue
            default = "" if each.default is each.empty else _default(each.default)
            found[each.name].setdefault(getattr(obj, "__wrapped__", obj), (name, default))
    return found


def meaning(name, places):
    """What the first docstring that says it says of an argument: its first sentence."""
    for place in places:
        obj = pq
        for part in place.split(".")[1:]:
            obj = getattr(obj, part)
        text = (inspect.getdoc(obj) or "").partition("Parameters\n----------\n")[2]
        lines = re.split(r"\n\n\w+\n-{4,}\n", text)[0].splitlines()
        for k, line in enumerate(lines):
            names = re.fullmatch(r"(\w+(?:, \w+)*)(?: : .*)?", line)
            if not names or name not in names[1].split(", ") or k + 1 == len(lines) or lines[k + 1][:4] != "    ":
                continue
            text = " ".join(each.strip() for each in takewhile(lambda each: each[:4] == "    ", lines[k + 1 :]))
            sentence = re.split(r"(?<=[a-z0-9`)])[.:;](?= |$)", text)[0].rstrip(".")
            if not sentence.startswith(("As ", "See ")):
                return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", sentence).replace("|", "\\|")
    return ""


def _default(given):
    text = repr(given)
    return text if len(text) <= 24 and "0x" not in text else "..."


def page():
    """The page about the names of arguments."""
    table = arguments()
    shared = {name: list(places.values()) for name, places in table.items() if len(places) > 1}
    lines = [
        "# Names of arguments",
        "",
        "<!-- written by scripts/tables.py -->",
        "",
        "One thing has one name everywhere. The table has every argument that two or more public functions, classes or",
        f"methods take ({len(shared)} names), with the defaults it has there; a test keeps it true.",
        "",
        "| argument | meaning, of the first that says it | taken by | defaults |",
        "|---|---|---|---|",
    ]
    for name in sorted(shared, key=str.lower):
        places = sorted(place for place, _ in shared[name])
        some = ", ".join(f"`{place.removeprefix('pq.')}`" for place in places[:4])
        more = f" and {len(places) - 4} more" if len(places) > 4 else ""
        defaults = ", ".join(f"`{text}`" for text in dict.fromkeys(sorted(text for _, text in shared[name] if text)))
        lines.append(f"| `{name}` | {meaning(name, places)} | {some}{more} | {defaults} |")
    return "\n".join(lines) + "\n"


def results():
    """Results of long runs that notebooks show, in one file with eight digits a number."""
    names = ["dynamical_quarks", "dyson", "flux_equivariance", "lcnn_wilson_loops", "self_learning", "u1_tunnelling"]
    found = {name: json.loads((RUNS / f"{name}.json").read_text()) for name in names}
    with np.load(RUNS / "u1_critical_slowing_down.npz") as run:
        found["u1_critical_slowing_down"] = {name: run[name].tolist() for name in run.files}
    folder = RUNS / "spin_fermion"
    parts = ["acceptance", "acceptance_local", "acceptance_softmax", "evaluate", "reference", "sizes", "temperatures"]
    found["spin_fermion"] = {name: json.loads((folder / f"{name}.json").read_text()) for name in parts}
    network = pq.EquivariantAttention.load(folder / "attention_9_3.safetensors")
    found["spin_fermion"]["attention_9_3"] = {"parameters": network.parameters.tolist()}
    return json.dumps(_rounded(found), sort_keys=True, separators=(",", ":")) + "\n"


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def pages():
    """Text by file."""
    command_line = (DOCS / "command_line.md").read_text(encoding="utf-8")
    before, rest = command_line.split(START)
    after = rest.split(END)[1]
    return {
        DOCS / "command_line.md": f"{before}{START}\n\n{keys()}\n\n{END}{after}",
        DOCS / "arguments.md": page(),
        ROOT / "python" / "plaq" / "data" / "results.json": results(),
    }


def main():
    """Write or compare."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} does not follow from the code; run scripts/tables.py")
        return bool(stale)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
