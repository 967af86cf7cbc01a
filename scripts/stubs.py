"""Write python/plaq/_plaq.pyi: names, parameters and defaults from the built module, types from the Rust sources.

The module says what is there (`inspect.signature` reads pyo3's text signatures); `src/py/*.rs` says of which Rust type.
A Rust type that `NAMES` and `CONTAINERS` do not know is an error that names it: add one row.
"""

import argparse
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
STUB = ROOT / "python" / "plaq" / "_plaq.pyi"


def core() -> ModuleType:
    """The built module by its file: the package refuses one that does not fit the stub, which is written here."""
    built = [path for path in STUB.parent.glob("_plaq*") if path.suffix in (".so", ".pyd")]
    if not built:
        raise SystemExit(f"no compiled module in {STUB.parent}; make demo builds it")
    spec = spec_from_file_location("plaq._plaq", built[0])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_plaq = core()
SOURCES = sorted((ROOT / "src" / "py").glob("*.rs"))

WRITTEN = "written by scripts/stubs.py (`make stubs`), compared by `make lint`"
HEADER = f'''"""The compiled module of plaq {_plaq.__version__}; {WRITTEN}."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
'''
NAMES = {
    **dict.fromkeys(["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "isize"], "int"),
    **dict.fromkeys(["f32", "f64"], "float"),
    **dict.fromkeys(["str", "String", "PyString"], "str"),
    "bool": "bool",
    "()": "None",
    "Complex64": "complex",
    "PyAny": "Any",
    "PyDict": "dict[str, Any]",
    "PyBytes": "bytes",
    "PyList": "list[Any]",
    "PyTuple": "tuple[Any, ...]",
    "PathBuf": "str | PathLike[str]",
}
ELEMENTS = {"Complex64": "complex128", "f64": "float64", "f32": "float32", "bool": "bool_"}
TRANSPARENT = {"PyResult", "Result", "Bound", "Py", "Box", "Arc", "PyRef", "PyRefMut"}
PUB = r"(?:pub(?:\([^)]*\))? )?"
ATTRIBUTES = {"ConvergenceError": {"history": "list[float]"}}
"""What is set on instances, where no signature can say it."""


def matching(text: str, start: int) -> int:
    """Index of the bracket that closes the one at `start`."""
    pairs = {"(": ")", "[": "]", "{": "}", "<": ">"}
    opening, closing, depth = text[start], pairs[text[start]], 0
    for index in range(start, len(text)):
        arrow = text[index] == ">" and text[index - 1] in "-="
        depth += (text[index] == opening) - (text[index] == closing and not arrow)
        if depth == 0:
            return index
    raise ValueError(f"no bracket closes {text[start : start + 40]!r}")


def split(text: str) -> list[str]:
    """The parts between the commas that stand in no bracket."""
    parts, depth = [""], 0
    for index, letter in enumerate(text):
        depth += (letter in "<([{") - (letter in ">)]}" and not (letter == ">" and text[index - 1] in "-="))
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


class Rust:
    """What the sources of the binding say: functions, methods, fields and types by their names."""

    def __init__(self) -> None:
        text = "\n".join(re.sub(r"(?m)^\s*//.*$|\s//\s.*$", "", path.read_text()) for path in SOURCES)
        core = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.rs")))
        self.aliases = dict(re.findall(rf"(?m)^\s*{PUB}type (\w+)(?:<[^=]*>)? = ([^;]+);", core))
        self.unions = self._unions(text)
        self.classes = set(re.findall(rf"#\[pyclass[^\n]*\n(?:\s*#\[[^\n]*\n)*\s*{PUB}\w+ (\w+)", text))
        self.fields = dict(re.findall(rf"#\[pyo3\([^)]*\bget\b[^)]*\)\]\s*{PUB}(\w+): ([^\n]+),\n", text))
        self.functions = {name: each for name, *each in self._functions(text, "#[pyfunction]")}
        self.methods: dict[str, dict[str, list[str]]] = {}
        for block in re.finditer(r"#\[pymethods\]\s*impl (\w+) \{", text):
            body = text[block.end() : matching(text, block.end() - 1)]
            known = self.methods.setdefault(block[1], {})
            known.update({name: each for name, *each in self._functions(body, None)})

    @staticmethod
    def _unions(text: str) -> dict[str, list[str]]:
        unions = {}
        for found in re.finditer(rf"#\[derive\([^)]*FromPyObject[^)]*\)\]\s*{PUB}enum (\w+)[^{{]*\{{", text):
            body = text[found.end() : matching(text, found.end() - 1)]
            fields = [part[part.index("(") + 1 : -1] for part in split(body)]
            unions[found[1]] = [each if len(split(each)) == 1 else "PyTuple" for each in fields]
        return unions

    @staticmethod
    def _functions(text: str, attribute: str | None) -> Iterator[tuple[str, str, str]]:
        """Name, parameters and result of each function, or of each one that carries the attribute."""
        for found in re.finditer(rf"((?:[ \t]*#\[[^\n]*\n)*)[ \t]*{PUB}fn (\w+)\s*(?=[<(])", text):
            if attribute and attribute not in found[1]:
                continue
            start = found.end()
            if text[start] == "<":
                start = matching(text, start) + 1
            end = matching(text, start)
            result = re.match(r"\s*(?:->\s*([^{]*?))?\s*(?:where[^{]*)?\{", text[end + 1 :])
            renamed = re.search(r'name = "(\w+)"', found[1])
            name = "__init__" if "#[new]" in found[1] else renamed[1] if renamed else found[2]
            yield name, text[start + 1 : end], (result[1] if result else None) or "()"

    def python(self, rust: str, owner: str, given: bool) -> str:
        """The Python type of a Rust type; `given`: of an argument, where any sequence will do."""
        rust = re.sub(r"&\s*('\w+ )?(mut )?|'\w+,?\s*|\w+::", "", rust.strip()).replace("<>", "").strip()
        if rust == "Self":
            return owner
        if rust in NAMES:
            return NAMES[rust]
        if rust in self.classes:
            return rust
        if rust in self.unions:
            each = [self.python(part, owner, given) for part in self.unions[rust]]
            return "Any" if "Any" in each else " | ".join(dict.fromkeys(each))
        if rust.startswith("("):
            parts = [self.python(part, owner, given) for part in split(rust[1:-1])]
            return f"tuple[{', '.join(parts)}]"
        if rust.startswith("["):
            return self._sequence(re.split(r";", rust[1:-1])[0], owner, given)
        name, _, inner = rust.partition("<")
        parts = split(inner[:-1]) if inner else []
        if re.fullmatch(r"Py(Readonly|Readwrite)?Array(\d|Dyn)?", name):
            if len(parts[0]) == 1:  # a type parameter, f32 or f64
                return "NDArray[Any]"
            return f"NDArray[np.{ELEMENTS.get(parts[0], parts[0].replace('u', 'uint').replace('i', 'int', 1))}]"
        if name == "Option":
            return f"{self.python(parts[0], owner, given)} | None"
        if name == "Vec":
            return self._sequence(parts[0], owner, given)
        if name in ("HashMap", "BTreeMap"):
            key, value = (self.python(part, owner, given) for part in parts)
            return f"{'Mapping' if given else 'dict'}[{key}, {value}]"
        if name in TRANSPARENT:
            return self.python(parts[0], owner, given)
        if name in self.aliases:
            return self.python(self.aliases[name], owner, given)
        raise SystemExit(f"scripts/stubs.py does not know the Rust type {rust!r}; add a row to NAMES")

    def _sequence(self, element: str, owner: str, given: bool) -> str:
        return f"{'Sequence' if given else 'list'}[{self.python(element, owner, given)}]"


def declaration(rust: Rust, name: str, obj: object, source: list[str], owner: str = "", static: bool = False) -> str:
    """A `def` line: parameters as the module has them, types as Rust has them."""
    written, result = source
    pairs = [part.removeprefix("mut ").split(":", 1) for part in split(written) if ":" in part]
    types = {pair[0].strip().lstrip("_"): pair[1] for pair in pairs}
    parts = []
    for parameter in inspect.signature(obj).parameters.values():  # type: ignore[arg-type]
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{parameter.name}: {rust.python(types[parameter.name.lstrip('_')], owner, True)}{default}")
    returned = "None" if name == "__init__" else rust.python(result, owner, False)
    head = ["self"] if owner and not static else []
    decorator = "@staticmethod\n" if static else ""
    return f"{decorator}def {name}({', '.join(head + parts)}) -> {returned}: ..."


def members(rust: Rust, cls: type) -> Iterator[str]:
    """The lines of a class."""
    sources = rust.methods.get(cls.__name__, {})
    if "__init__" in sources:
        yield declaration(rust, "__init__", cls, sources["__init__"], cls.__name__)
    for name, value in sorted(vars(cls).items()):
        if name.startswith("__"):
            continue
        if type(value).__name__ == "getset_descriptor":
            result = sources[name][1] if name in sources else rust.fields[name]
            kind = rust.python(result, cls.__name__, False)
            writable = f"set_{name}" in sources
            yield f"{name}: {kind}" if writable else f"@property\ndef {name}(self) -> {kind}: ..."
        elif name in sources:
            static = isinstance(value, staticmethod)
            yield declaration(rust, name, getattr(cls, name), sources[name], cls.__name__, static)


def constant(value: object) -> str:
    """The type of a constant."""
    if isinstance(value, list):
        return f"list[{' | '.join(sorted({constant(each) for each in value}))}]"
    if isinstance(value, tuple):
        return f"tuple[{', '.join(map(constant, value))}]"
    return type(value).__name__


def stub(module: ModuleType) -> str:
    """The text of the stub."""
    rust = Rust()
    constants, classes, functions = [], [], []
    for name, obj in sorted(vars(module).items()):
        if isinstance(obj, type):
            base = f"({obj.__base__.__name__})" if issubclass(obj, BaseException) and obj.__base__ else ""
            fields = [f"{key}: {kind}" for key, kind in ATTRIBUTES.get(name, {}).items()]
            lines = "\n".join([*fields, *members(rust, obj)] or ["..."])
            classes.append((len(obj.__mro__), f"class {name}{base}:\n" + "    " + lines.replace("\n", "\n    ")))
        elif callable(obj):
            functions.append(declaration(rust, name, obj, rust.functions[name]))
        elif name == "__version__" or not name.startswith("__"):
            constants.append(f"{name}: {constant(obj)}")
    ordered = [text for _, text in sorted(classes, key=lambda each: each[0])]
    return "\n".join([HEADER, *constants, *ordered, *functions]) + "\n"


def formatted(text: str) -> str:
    """The text without unused imports, as ruff writes it."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--quiet", "--fix-only", "--select", "F401,I"], ["format", "--quiet"]):
        call = [*ruff, *command, "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(call, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main() -> int:
    """Write the stub, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if they differ")
    check = parser.parse_args().check
    text = formatted(stub(_plaq))
    if not check:
        STUB.write_text(text)
    elif not STUB.is_file() or STUB.read_text() != text:
        print(f"{STUB.relative_to(ROOT)} does not fit the compiled module; run `make stubs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
