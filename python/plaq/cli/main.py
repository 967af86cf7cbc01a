"""The command line: `plaq info | convert | demo | new | run | report`."""

import argparse
import itertools
import signal
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import plaq.datasets as datasets
import plaq.observables as observables
from plaq._plaq import PlaqError, __version__
from plaq.chains.chain import Chain, merge
from plaq.cli import build, config, jobs, new, page, report
from plaq.fields.files import read_gauge, read_header
from plaq.ground.files import check_writable, replacing
from plaq.ground.progress import lines_in_logs

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """SIGTERM, as batch systems send it before the time is over; ``.chain`` holds what was drawn, if anything was."""

    chain: Chain | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0: done; 2: bad input, with one line on stderr; 130, 143: ended by Ctrl-C, by SIGTERM (what was drawn is saved).
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except (PlaqError, ValueError, TypeError, LookupError, OSError, ImportError) as error:
        if options.traceback:
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"plaq: {_of_the_shell(' '.join(str(text).split()))}", file=sys.stderr)
        return BAD_INPUT


def _of_the_shell(text: str) -> str:
    """A message about arguments of Python in terms of this command."""
    for ours, theirs in (
        ("start anew with resume=False (replaces the file)", "remove the file to start anew"),
        ("start anew with resume=False", "remove the file to start anew"),
        ("give format=", "give --format"),
    ):
        text = text.replace(ours, theirs)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plaq", description="Lattice field theory with learned maps.")
    parser.add_argument("--version", action="version", version=f"plaq {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="what a configuration or chain file says of itself")
    info.add_argument("file", type=_file, help="a file, or the name of a configuration that comes with plaq")
    info.add_argument("--measure", action="store_true", help="read the links and measure them too")
    _add_layout(info)
    info.set_defaults(command=_info)

    convert = commands.add_parser("convert", help="write a configuration in another format")
    convert.add_argument("source", type=_file, help="a file, or the name of a configuration that comes with plaq")
    convert.add_argument("target", type=Path)
    convert.add_argument("--format", help="format of the target; by default from its name")
    convert.add_argument("--precision", type=int, choices=(32, 64), default=64)
    convert.add_argument("--rows", type=int, choices=(2, 3), help="rows of a matrix stored (NERSC)")
    convert.add_argument("--force", action="store_true", help="replace an existing target")
    _add_layout(convert)
    convert.set_defaults(command=_convert)

    demo = commands.add_parser("demo", help="show what plaq does (gauge by default)")
    demo.add_argument("name", nargs="?", default="gauge")
    demo.add_argument("--list", action="store_true", help="list the demonstrations")
    demo.set_defaults(command=_demo)

    run = commands.add_parser("run", help="sample the chains that a TOML file describes, training first what it names")
    run.add_argument("config", type=Path)
    run.add_argument("--quiet", action="store_true", help="no progress display")
    run.add_argument("--force", action="store_true", help="replace an existing output, or a claim on a run of a scan")
    run.add_argument("--index", type=int, help="of a scan only the run of this number, from 0: for job arrays")
    run.set_defaults(command=_run)

    fresh = commands.add_parser("new", help="write a commented run file from a few answers")
    fresh.add_argument("target", type=Path, nargs="?", default=Path("run.toml"), help="run.toml by default")
    fresh.description = "Write a commented run file from a few answers; what is left out is asked for on a terminal."
    for question in new.QUESTIONS:
        fresh.add_argument(f"--{question.name}", help=new.help_of(question).replace("%", "%%"))
    fresh.add_argument("--force", action="store_true", help="replace an existing file")
    fresh.set_defaults(command=_new)

    made = commands.add_parser("report", help="one HTML page about a finished run or a scan")
    made.add_argument("source", type=Path, help="a chain file, or the run file that made it")
    made.add_argument("--output", type=Path, help="by default the name of the source with .html")
    made.add_argument("--force", action="store_true", help="replace an existing page")
    made.set_defaults(command=_report)
    return parser


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", type=_shape, help="lattice of a file that does not say it, as in 4,4,4,8")
    parser.add_argument("--group", help='gauge group of a file that does not say it, as in "SU(3)"')


def _file(text: str) -> Path:
    """The file of that name, else the one that comes with the package."""
    path = Path(text)
    return datasets.path(text) if text in datasets.configurations() and not path.exists() else path


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.replace("x", ",").split(","))


def _info(options: argparse.Namespace) -> int:
    if _is_chain(options.file):
        print(Chain.load(options.file))
        return 0
    if options.file.suffix == ".toml" and options.file.is_file():
        raise ValueError(
            f"{options.file} looks like a run file, which `plaq run {options.file}` runs; info is for data"
        )
    for line in report.header_lines(read_header(options.file, **_layout(options))):
        print(line)
    if options.measure:
        print()
        for line in report.measured_lines(observables, _read(options.file, options)):
            print(line)
    return 0


def _is_chain(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "meta.npy" in archive.namelist()


def _layout(options: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(options, key) for key in ("shape", "group") if getattr(options, key) is not None}


def _read(path: Path, options: argparse.Namespace) -> Any:
    return read_gauge(path, **_layout(options))


def _convert(options: argparse.Namespace) -> int:
    if options.target.exists() and not options.force:
        raise ValueError(f"{options.target} exists; choose another name or give --force")
    given = {key: getattr(options, key) for key in ("format", "rows") if getattr(options, key) is not None}
    links = _read(options.source, options)
    links.write(options.target, precision=options.precision, **given)
    print(f"{options.source} -> {options.target}: {links!r}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from plaq.cli.demos import DEMOS, get

    if options.list:
        for name, each in DEMOS.items():
            print(f"{name}: {(each.__doc__ or '').splitlines()[0]}")
        return 0
    get(options.name)(print)
    return 0


def _run(options: argparse.Namespace) -> int:
    table = config.read(options.config)
    if "scan" in table:
        return _scan(options, _points(options.config, table))
    if options.index is not None:
        raise ValueError(f"--index is of run files with a section [scan]; {options.config} has none")
    settings = config.load(options.config)
    _check_output(settings.run, replace=options.force)
    return _sampled(settings, Path(settings.run.output), options.config.read_text(encoding="utf-8"), options.quiet)


def _sampled(settings: config.Config, output: Path, source: str, quiet: bool) -> int:
    """Run, write everything, say what came out."""
    try:
        with _ended_by_sigterm(), nullcontext() if quiet else lines_in_logs():
            outcome = build.run(settings, progress=not quiet)
    except Terminated as error:
        print(f"plaq: {_left(settings.run, output, error.chain)}", file=sys.stderr)
        return TERMINATED
    files = build.save(outcome, output)
    files.append(build.beside(output, "run.toml"))
    with replacing(files[-1]) as file:
        file.write(source.encode())
    if outcome.history is not None:
        print(outcome.history)
    print(outcome.chain)
    print(f"saved in {', '.join(map(str, files))}")
    return INTERRUPTED if outcome.chain.interrupted else 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within the block SIGTERM ends what runs like an error: locks are given back, checkpoints written."""
    if threading.current_thread() is not threading.main_thread():  # others cannot hear signals
        yield
        return

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the writing
        raise Terminated(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _left(run: config.RunConfig, output: Path, chain: Chain | None) -> str:
    """What a run that was ended leaves, and how to go on; without a checkpoint the draws go to the output."""
    done = "in the training" if chain is None else f"after {len(chain)} of {run.draws} draws"
    text = f"ended by SIGTERM {done}"
    if run.checkpoint is not None and Path(run.checkpoint).exists():
        return f"{text}; the checkpoint {run.checkpoint} holds everything so far: the same command goes on from it"
    kept = "; nothing is saved"
    if chain is not None and len(chain):
        chain.save(output)
        kept = f"; what was drawn is saved in {output}"
    hint = "" if run.checkpoint is not None else ": give [run] checkpoint = a file to go on from"
    return f"{text}{kept}, and the same command starts anew{hint}"


def _points(path: Path, table: dict[str, Any]) -> list[jobs.Point]:
    try:
        return jobs.points(table)
    except config.ConfigError as error:
        raise config.ConfigError(f"{path}: {error}") from error


def _scan(options: argparse.Namespace, found: list[jobs.Point]) -> int:
    """One run of a scan, or all that nobody else has done or claimed."""
    if options.index is None:
        results = []
        for point in found:
            try:
                results.append(_of_scan(point, options))
            except jobs.Claimed as error:
                print(f"{point}: {error}")
                continue
            if results[-1] in (INTERRUPTED, TERMINATED):
                break
        return max(results, default=0)
    if not 0 <= options.index < len(found):
        raise ValueError(f"--index {options.index}: the scan has runs 0 to {len(found) - 1}")
    return _of_scan(found[options.index], options)


def _of_scan(point: jobs.Point, options: argparse.Namespace) -> int:
    settings = point.prepare()
    with jobs.claim(point.folder, force=options.force):
        if point.output.exists():
            result, _ = page.verdict(Chain.load(point.output), settings.run.draws)
            if result != "incomplete":
                print(f"{point}: {result} already, in {point.folder}")
                return 0
        print(f"{point}, in {point.folder}")
        source = (point.folder / jobs.INPUT).read_text(encoding="utf-8")
        return _sampled(settings, point.output, source, options.quiet)


def _new(options: argparse.Namespace) -> int:
    target: Path = options.target
    if target.exists() and not options.force:
        raise ValueError(f"{target} exists; choose another name or give --force")
    check_writable(target, "run file")
    given = {question.name: getattr(options, question.name) for question in new.QUESTIONS}
    text = new.text_of(new.answered(given, input if sys.stdin.isatty() else None), target.stem)
    with replacing(target) as file:
        file.write(text.encode())
    print(f"{target} is written; next: plaq run {target}")
    return 0


def _report(options: argparse.Namespace) -> int:
    source: Path = options.source
    target: Path = options.output or source.with_suffix(".html")
    if target.exists() and not options.force:
        raise ValueError(f"{target} exists; choose another name or give --force")
    check_writable(target, "report")
    text = _page_of(source)
    with replacing(target) as file:
        file.write(text.encode())
    print(f"{source} -> {target}")
    return 0


def _page_of(source: Path) -> str:
    """The page about a chain, about the chain that a run file made, or about a scan."""
    if _is_chain(source):
        return _page_of_run(source.stem, source)
    table = config.read(source)
    if "scan" in table:
        return _page_of_scan(source, table)
    output = Path(config.load(source).run.output)
    if not output.exists():
        raise ValueError(f"[run] output = {output} does not exist yet; plaq run {source} makes it")
    return _page_of_run(source.stem, output)


def _page_of_run(title: str, output: Path) -> str:
    copy = build.beside(output, "run.toml")
    source = copy.read_text(encoding="utf-8") if copy.exists() else ""
    history = page.load_history(build.beside(output, "history.npz"))
    return page.page_of_run(title, Chain.load(output), history=history, source=source)


def _page_of_scan(source: Path, table: dict[str, Any]) -> str:
    found = _points(source, table)
    rows: list[tuple[dict[str, Any], Chain | None, str]] = []
    for values, group in itertools.groupby(found, key=lambda point: point.values):
        several = list(group)
        chains = [Chain.load(point.output) for point in several if point.output.exists()]
        outcomes = [page.verdict(chain, table["run"]["draws"])[0] for chain in chains]
        outcomes += ["incomplete"] * (len(several) - len(chains))
        counted = ", ".join(f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes))
        merged = merge(chains) if len(chains) > 1 else chains[0] if chains else None
        rows.append((values, merged, counted))
    return page.page_of_scan(source.stem, rows, source=source.read_text(encoding="utf-8"))


def _check_output(run: config.RunConfig, *, replace: bool) -> None:
    output = Path(run.output)
    if output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"[run] output = {run.output}: a file in an existing folder is needed")
    check_writable(output, "output")
    if run.checkpoint is not None and Path(run.checkpoint) == output:
        raise ValueError("[run] output and checkpoint are the same file; give two names")
    resumed = run.checkpoint is not None and Path(run.checkpoint).exists()
    if output.exists() and not (replace or resumed):
        raise ValueError(f"[run] output = {run.output} exists; choose another name or give --force")
