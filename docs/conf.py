"""Sphinx: pages in Markdown, tutorials from the notebooks, the reference from the docstrings of everything public."""

import inspect
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import plaq
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

HERE = Path(__file__).parent
BASES = ("Sampler", "Loss")
FOR_SUBCLASSES = "advance, facts, learn, tuned"
"""What only those call who write a sampler or a loss of their own: on the pages of the bases."""
NOTEBOOKS = HERE.parent / "notebooks"
TUTORIALS = HERE / "tutorials"
API = HERE / "_api"
logger = logging.getLogger(__name__)

project = "plaq"
author = "the plaq developers"
copyright = author
version = release = plaq.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"plaq {release}"
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"  # no script and no network: browsers draw MathML themselves

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are stored with their outputs; the tests execute them
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "DTypeLike", "Rng")}
autodoc_use_legacy_class_based = False
# The words of a type such as "array_like, shape (n, 3)" are prose, not references.
nitpick_ignore_regex = [("py:class", ".*")]
suppress_warnings = ["ref.python"]
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def write_tutorials() -> None:
    """Copy the notebooks and list them."""
    shutil.rmtree(TUTORIALS, ignore_errors=True)
    TUTORIALS.mkdir()
    names = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    for name in names:
        shutil.copy(NOTEBOOKS / f"{name}.ipynb", TUTORIALS)
    entries = "\n".join(names)
    listing = f"```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n" if names else ""
    text = "# Tutorials\n\nNotebooks of the folder `notebooks/`; the tests execute each in under a minute.\n\n"
    (TUTORIALS / "index.md").write_text(text + listing)


def write_api() -> None:
    """One page for the package and one for each of its public modules."""
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir()
    modules = [name for name in plaq.__all__ if isinstance(getattr(plaq, name), ModuleType)]
    objects = [name for name in plaq.__all__ if name not in modules and name != "__version__"]
    (API / "plaq.md").write_text(_page("plaq", "plaq", objects))
    for name in modules:
        module = getattr(plaq, name)
        own = [each for each in module.__all__ if getattr(plaq, each, None) is not getattr(module, each)]
        (API / f"{name}.md").write_text(_page(f"plaq.{name}", module.__name__, own))
    entries = "\n".join(["plaq", *modules])
    text = "# Reference\n\nEverything that `import plaq as pq` offers.\n\n"
    (API / "index.md").write_text(f"{text}```{{toctree}}\n:maxdepth: 2\n\n{entries}\n```\n")


def _page(title: str, module: str, names: list[str]) -> str:
    holder = __import__(module, fromlist=["_"])
    found = {name: obj for name in names if not isinstance(obj := getattr(holder, name), ModuleType)}
    rows = "".join(f"| [`{name}`](#{name.lower()}) | {_first_paragraph(obj)} |\n" for name, obj in found.items())
    parts = [f"# {title}\n\n{_first_paragraph(holder)}\n\n| name | |\n|---|---|\n{rows}"]
    for name, obj in found.items():
        kind = "autoexception" if _is_error(obj) else "autoclass" if isinstance(obj, type) else "autofunction"
        kind = kind if callable(obj) else "autodata"
        options = ":members:\n:inherited-members: Exception\n" if kind == "autoclass" else ""
        if kind == "autoclass" and name not in BASES:
            options += f":exclude-members: {FOR_SUBCLASSES}\n"
        parts.append(f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: {module}.{name}\n{_indented(options)}```\n")
    return "\n".join(parts)


def _first_paragraph(obj: object) -> str:
    """The first paragraph of the docstring, in Markdown."""
    plain = obj if isinstance(obj, ModuleType) or callable(obj) else None
    line = (inspect.getdoc(plain) or "").partition("\n\n")[0].replace("\n", " ") if plain is not None else ""
    line = re.sub(r":math:`([^`]+)`", r"$\1$", re.sub(r"``([^`]+)``", r"`\1`", line))
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line).replace("|", r"\|")


def _indented(options: str) -> str:
    return "".join(f"   {line}\n" for line in options.splitlines())


def _is_error(obj: object) -> bool:
    return isinstance(obj, type) and issubclass(obj, BaseException)


def _mathml(display: str) -> Any:
    """A visitor that writes a formula as MathML; a command that is not known is a warning."""

    def visit(translator: Any, node: Any) -> None:
        formula = node.astext()
        markup = convert(formula, display=display)
        left = re.search(r">(\\\\[A-Za-z]+)<", markup)
        if left:
            logger.warning("no MathML for %s in %s", left[1], formula, location=node)
        scrolls = '<div style="overflow-x: auto; padding: 0.4em 0">'
        translator.body.append(markup if display == "inline" else f"{scrolls}{markup}</div>")
        raise nodes.SkipNode

    return visit


def _short(app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returned: str) -> Any:
    """Arrays by the names they have in the code; what else of numpy's insides is left is a warning."""
    found = []
    for text in (signature, returned):
        text = ARRAY.sub(r"NDArray[\1]", text) if text else text
        if text and re.search(r"_Supports|_Nested|dtype\[", text):
            logger.warning("a long type in the signature of %s: %s", name, text)
        found.append(text)
    return tuple(found)


ARRAY = re.compile(r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[(.+?)\]\]")
"""What is shown of NDArray[...]."""


def _one_by_one(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Attributes that share a description, each with it: napoleon takes several names for a name and its type."""
    written: list[str] = []
    section, names, kind, described = "", [""], "", list[str]()

    def finish() -> None:
        for each in names:
            written.extend([each + kind, *described] if each else described)

    for number, line in enumerate(lines):
        if re.fullmatch("-{4,}", line):
            section = lines[number - 1]
        starts = section == "Attributes" and re.fullmatch(r"(\w+(?:, \w+)+)( : .*)?", line)
        if starts or not line.startswith(" "):
            finish()
            names, kind, described = (starts[1].split(", "), starts[2] or "", []) if starts else ([""], "", [line])
        else:
            described.append(line)
    finish()
    lines[:] = written


def setup(app: Any) -> None:
    """Generated pages are written before Sphinx looks for pages."""
    app.connect("autodoc-process-signature", _short)
    app.connect("autodoc-process-docstring", _one_by_one, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (_mathml("inline"), None), (_mathml("block"), None))
    write_tutorials()
    write_api()
