"""The rooms of the Python package: who may import whom (docs/architecture.md), read from every import statement."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "plaq"

ROOMS = [
    *["ground", "statistics"],
    *["plot", "fields"],
    *["concepts", "chains", "training", "observables"],
    {"actions", "dirac", "nn", "smear", "lcnn"},
    *["flows", "transform", "losses", "samplers"],
    *["spin", "rbm", "flux", "ising"],
    *["bridges", {"torch", "jax"}],
    *["datasets", "cli"],
    {"optimizers", "train", "checkpoint", "sampler"},
    {"__init__", "__main__"},
]
"""From the top down; a room imports from rooms above it only. Those of a set are siblings, which do not know each
other. The last two rows are faces: short names of modules, the tour and the command, which nobody inside imports."""
LEVEL = {name: level for level, row in enumerate(ROOMS) for name in ([row] if isinstance(row, str) else row)}


def modules_of(folder):
    """Files of the package by the name of their module; a package is `room.__init__`."""
    return {".".join(path.relative_to(folder).with_suffix("").parts): path for path in sorted(folder.rglob("*.py"))}


def imports_of(path, module, known):
    """Line and imported module for each import: late ones, type-only ones and `import_module` count."""

    def found(name):
        return name if name in known else f"{name}.__init__" if f"{name}.__init__" in known else None

    folder = module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == "plaq"]
        elif isinstance(node, ast.ImportFrom):
            above = ["plaq", *folder][: len(folder) + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base.split(".")[0] == "plaq":
                each = [f"{base}.{alias.name}" for alias in node.names]
                names = [name if found(name[5:]) or name == "plaq._plaq" else base for name in each]
                if base == "plaq":
                    names = [name if name == "plaq._plaq" else base for name in names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            text = str(node.args[0].value)
            names = [text] if called in ("import_module", "__import__") and text.split(".")[0] == "plaq" else []
        for name in dict.fromkeys(names):
            known_as = {"plaq": "__init__", "plaq._plaq": name}.get(name) or found(name[5:])
            yield node.lineno, known_as or name


def violations(folder):
    """A sentence with file and line for each import that the table forbids, and for each circle of files."""
    known = modules_of(folder)
    graph = {module: {} for module in known}
    for module, path in known.items():
        room = module.split(".")[0]
        for line, target in imports_of(path, module, known):
            where = f"{path.relative_to(folder.parent)}:{line}"
            if target == "plaq._plaq" or (module == "__init__" and target == "__init__"):
                continue
            if target not in known:
                yield f"{where} imports {target}, which is no file of the package"
                continue
            if target == "__init__":
                yield f"{where} imports the package root; name the file, as in `from plaq.chains.chain import Chain`"
                continue
            graph[module].setdefault(target, where)
            other = target.split(".")[0]
            if room not in LEVEL or other not in LEVEL:
                yield f"{where}: the room {room if room not in LEVEL else other} is not in the table of test_imports.py"
            elif room != other and LEVEL[other] == LEVEL[room]:
                yield f"{where}: {room} and {other} are siblings, which meet in concepts; it imports {target}"
            elif room != other and LEVEL[other] > LEVEL[room]:
                yield f"{where}: {room} stands above {other} and must not import {target}"
            elif other in ("optimizers", "train", "checkpoint", "sampler") and room != "__init__":
                yield f"{where} imports the face {target}; name the file behind it"
    yield from circles(graph)


def circles(graph):
    """A sentence for each import that closes a circle of files (depth-first)."""
    done, open_path = set(), []

    def visit(module):
        open_path.append(module)
        for target, where in graph[module].items():
            if target in open_path:
                circle = " -> ".join([*open_path[open_path.index(target) :], target])
                yield f"{where} closes the circle {circle}"
            elif target not in done:
                yield from visit(target)
        done.add(open_path.pop())

    for module in graph:
        if module not in done:
            yield from visit(module)


def test_rooms_import_only_from_rooms_above_them():
    found = list(violations(PACKAGE))
    assert not found, "\n".join(["", *found])


FAULTS = {
    "upward": ("fields/gauge.py", "def f():\n    from plaq.smear.flow import x", "fields stands above smear"),
    "type only": ("plot/flow.py", "if TYPE_CHECKING:\n    from plaq.smear.flow import x", "plot stands above smear"),
    "sibling": ("actions/links.py", "import plaq.smear.flow as flow", "actions and smear are siblings"),
    "root": ("smear/flow.py", "import plaq", "imports the package root"),
    "root attribute": ("smear/flow.py", "from plaq import fields", "imports the package root"),
    "relative": ("smear/flow.py", "from .. import fields", "imports the package root"),
    "by name": ("smear/flow.py", "importlib.import_module('plaq')", "imports the package root"),
    "circle": ("smear/layers.py", "from plaq.smear.flow import x", "circle"),
    "relative circle": ("smear/layers.py", "from .flow import x", "circle"),
    "face": ("cli.py", "from plaq.train import x", "cli stands above train"),
    "unknown room": ("util/sums.py", "from plaq.smear.flow import x", "the room util is not in the table"),
    "no file": ("smear/layers.py", "from plaq.gone import x", "imports plaq.gone, which is no file"),
}


GOOD = {
    "__init__.py": "from plaq.smear.flow import x",
    "fields/__init__.py": "",
    "fields/gauge.py": "from plaq import _plaq\nfrom plaq._plaq import y",
    "plot/flow.py": "",
    "actions/links.py": "from plaq.fields.gauge import x",
    "smear/flow.py": "from plaq.fields.gauge import x\nfrom plaq.smear.layers import y",
    "smear/layers.py": "from ..fields.gauge import x",
    "train.py": "from plaq.smear.flow import x",
}


def written(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_good_tree_is_left_alone(tmp_path):
    assert not list(violations(written(tmp_path / "plaq", GOOD)))


@pytest.mark.parametrize(("file", "text", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_found_with_file_and_line(tmp_path, file, text, message):
    before = GOOD.get(file, "pass")
    line = before.count("\n") + text.count("\n") + 2
    found = list(violations(written(tmp_path / "plaq", {**GOOD, file: f"{before}\n{text}"})))
    assert any(sentence.startswith(f"plaq/{file}:{line}") and message in sentence for sentence in found), found
