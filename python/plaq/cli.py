"""The command line: `plaq info | convert | demo | run`."""

import argparse
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from plaq import config, report
from plaq._plaq import PlaqError, __version__
from plaq.chain import Chain

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0: done; 2: bad input, with one line on stderr; 130: ended by Ctrl-C (what was drawn is saved).
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
        print(f"plaq: {' '.join(str(text).split())}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plaq", description="Lattice field theory with learned maps.")
    parser.add_argument("--version", action="version", version=f"plaq {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="what a configuration or chain file says of itself")
    info.add_argument("file", type=Path)
    info.add_argument("--measure", action="store_true", help="read the links and measure them too")
    _add_layout(info)
    info.set_defaults(command=_info)

    convert = commands.add_parser("convert", help="write a configuration in another format")
    convert.add_argument("source", type=Path)
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

    run = commands.add_parser("run", help="sample the chain that a TOML file describes")
    run.add_argument("config", type=Path)
    run.add_argument("--quiet", action="store_true", help="no progress display")
    run.add_argument("--force", action="store_true", help="replace an existing output")
    run.set_defaults(command=_run)
    return parser


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", type=_shape, help="lattice of a file that does not say it, as in 4,4,4,8")
    parser.add_argument("--group", help='gauge group of a file that does not say it, as in "SU(3)"')


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.replace("x", ",").split(","))


def _plaq() -> Any:
    """The package as users import it; it depends on this module's neighbours, so it is imported when needed."""
    return import_module("plaq")


def _info(options: argparse.Namespace) -> int:
    if _is_chain(options.file):
        print(Chain.load(options.file))
        return 0
    for line in report.header_lines(_plaq().read_header(options.file, **_layout(options))):
        print(line)
    if options.measure:
        print()
        for line in report.measured_lines(_plaq().observables, _read(options.file, options)):
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
    return _plaq().read_gauge(path, **_layout(options))


def _convert(options: argparse.Namespace) -> int:
    if options.target.exists() and not options.force:
        raise ValueError(f"{options.target} exists; choose another name or give --force")
    given = {key: getattr(options, key) for key in ("format", "rows") if getattr(options, key) is not None}
    links = _read(options.source, options)
    links.write(options.target, precision=options.precision, **given)
    print(f"{options.source} -> {options.target}: {links!r}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from plaq import demo

    if options.list:
        for name, each in demo.DEMOS.items():
            print(f"{name}: {(each.__doc__ or '').splitlines()[0]}")
        return 0
    demo.get(options.name)(print)
    return 0


def _run(options: argparse.Namespace) -> int:
    settings = config.load(options.config)
    _check_output(settings.run, replace=options.force)
    chain = build(settings)(progress=not options.quiet)
    chain.save(settings.run.output)
    print(chain)
    print(f"saved in {settings.run.output}")
    return INTERRUPTED if chain.interrupted else 0


def _check_output(run: config.RunConfig, *, replace: bool) -> None:
    output = Path(run.output)
    if output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"[run] output = {run.output}: a file in an existing folder is needed")
    if run.checkpoint is not None and Path(run.checkpoint) == output:
        raise ValueError("[run] output and checkpoint are the same file; give two names")
    resumed = run.checkpoint is not None and Path(run.checkpoint).exists()
    if output.exists() and not (replace or resumed):
        raise ValueError(f"[run] output = {run.output} exists; choose another name or give --force")


def build(settings: config.Config) -> Callable[..., Chain]:
    """The run that a configuration describes, as a function of `progress`."""
    start, action, sampler = _start(settings), _action(settings.action), _sampler(settings)
    run = settings.run

    def sample(progress: bool) -> Chain:
        chain: Chain = sampler(action).run(
            start,
            run.draws,
            warmup=run.warmup,
            thin=run.thin,
            observables={name: _observable(name) for name in settings.observables.names},
            rng=run.seed,
            progress=progress,
            checkpoint=run.checkpoint,
            checkpoint_every=run.checkpoint_every,
        )
        return chain

    return sample


def _start(settings: config.Config) -> Any:
    plaq, chosen = _plaq(), settings.field
    if chosen.start == "cold":
        return plaq.GaugeField.cold(tuple(chosen.shape or ()), chosen.group)
    if chosen.start == "hot":
        return plaq.GaugeField.hot(tuple(chosen.shape or ()), chosen.group, rng=settings.run.seed)
    known = {} if chosen.shape is None else {"shape": tuple(chosen.shape), "group": chosen.group}
    return plaq.read_gauge(chosen.start, **known)


def _action(settings: config.BetaConfig | config.LoopsConfig) -> Any:
    kind = getattr(_plaq().actions, settings.name)
    return kind(settings.terms if isinstance(settings, config.LoopsConfig) else settings.beta)


def _sampler(settings: config.Config) -> Callable[[Any], Any]:
    chosen = settings.sampler
    if isinstance(chosen, config.HeatbathConfig):
        return lambda action: _plaq().Heatbath(action, overrelaxation=chosen.overrelaxation)
    return lambda action: _plaq().HMC(action, length=chosen.length, steps=chosen.steps, integrator=chosen.integrator)


def _observable(name: str) -> Callable[[Any], Any]:
    function: Callable[..., Any] = getattr(_plaq().observables, name.split(":")[0])
    if ":" not in name:
        return function
    definition = name.split(":", 1)[1]
    return lambda links: function(links, definition=definition)


if __name__ == "__main__":
    sys.exit(main())
