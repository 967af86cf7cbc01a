"""The command line: `plaq info | convert | demo | run`."""

import argparse
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import plaq.actions as actions
import plaq.datasets as datasets
import plaq.observables as observables
from plaq._plaq import PlaqError, __version__
from plaq.chains.chain import Chain
from plaq.cli import config, report
from plaq.dirac import Staggered
from plaq.dirac import Wilson as WilsonDirac
from plaq.fields.files import read_gauge, read_header
from plaq.fields.gauge import GaugeField
from plaq.ground.files import check_writable
from plaq.samplers.heatbath import Heatbath
from plaq.samplers.hmc import HMC
from plaq.samplers.self_learning import SelfLearningHMC
from plaq.smear.layers import StoutLayer
from plaq.smear.network import CovariantNet
from plaq.training.optimizers import Adam, Cosine

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

    run = commands.add_parser("run", help="sample the chain that a TOML file describes")
    run.add_argument("config", type=Path)
    run.add_argument("--quiet", action="store_true", help="no progress display")
    run.add_argument("--force", action="store_true", help="replace an existing output")
    run.set_defaults(command=_run)
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
    check_writable(output, "output")
    if run.checkpoint is not None and Path(run.checkpoint) == output:
        raise ValueError("[run] output and checkpoint are the same file; give two names")
    resumed = run.checkpoint is not None and Path(run.checkpoint).exists()
    if output.exists() and not (replace or resumed):
        raise ValueError(f"[run] output = {run.output} exists; choose another name or give --force")


def build(settings: config.Config) -> Callable[..., Chain]:
    """The run that a configuration describes, as a function of `progress`."""
    start, sampler, run = _start(settings), _sampler(settings), settings.run

    def sample(progress: bool) -> Chain:
        made = sampler()
        chain: Chain = made.run(
            _trained(settings, made, start, progress),
            run.draws,
            warmup=run.warmup,
            thin=run.thin,
            observables={name: _observable(name) for name in settings.observables.names},
            rng=run.seed,
            progress=progress,
            checkpoint=run.checkpoint,
            checkpoint_every=run.checkpoint_every,
            max_seconds=run.max_seconds,
        )
        return chain

    return sample


def _start(settings: config.Config) -> Any:
    chosen = settings.field
    if chosen.start == "cold":
        return GaugeField.cold(tuple(chosen.shape or ()), chosen.group)
    if chosen.start == "hot":
        return GaugeField.hot(tuple(chosen.shape or ()), chosen.group, rng=settings.run.seed)
    known: dict[str, Any] = {} if chosen.shape is None else {"shape": tuple(chosen.shape), "group": chosen.group}
    return read_gauge(chosen.start, **known)


def _action(settings: config.BetaConfig | config.LoopsConfig) -> Any:
    kind = getattr(actions, settings.name)
    return kind(settings.terms if isinstance(settings, config.LoopsConfig) else settings.beta)


def _quarks(settings: config.QuarksConfig, mass: float) -> Any:
    operator = {"staggered": Staggered, "wilson": WilsonDirac}[settings.dirac]
    return actions.Pseudofermion(operator(mass=mass), n_flavors=settings.n_flavors)


def _sampler(settings: config.Config) -> Callable[[], Any]:
    chosen, action = settings.sampler, _action(settings.action)
    if isinstance(chosen, config.HeatbathConfig):
        return lambda: Heatbath(action, overrelaxation=chosen.overrelaxation)
    options: dict[str, Any] = {"length": chosen.length, "steps": chosen.steps, "integrator": chosen.integrator}
    if settings.quarks is None:
        return lambda: HMC(action, **options)
    target = action + _quarks(settings.quarks, settings.quarks.mass)
    if settings.proposal is None:
        return lambda: HMC(target, **options)
    proposal = _quarks(settings.quarks, settings.proposal.mass)
    if settings.proposal.loops:
        layers = [StoutLayer(settings.proposal.loops)] * settings.proposal.layers
        proposal = actions.Mapped(proposal, CovariantNet(layers))
    if settings.proposal.factor:
        proposal = actions.Scaled(proposal)
    return lambda: SelfLearningHMC(target, action + proposal, **options)


def _trained(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Any:
    """The start of the chain; the last field of a training, if there is one."""
    training = settings.training
    if training is None:
        return start
    checkpoint = None if settings.run.checkpoint is None else f"{settings.run.checkpoint}.training"
    hmc = HMC(sampler.target, length=sampler.length, steps=sampler.steps, integrator=sampler.integrator)
    seeds = np.random.SeedSequence(settings.run.seed).spawn(2)
    start = hmc.run(start, 1, warmup=settings.run.warmup, rng=seeds[0], progress=progress).state
    history = sampler.train(
        start,
        loss=training.loss,
        steps=training.steps,
        batch=training.batch,
        optimizer=Adam(training.learning_rate, schedule=Cosine(training.steps)),
        checkpoint=checkpoint,
        progress=progress,
        rng=seeds[1],
    )
    if history.interrupted:
        raise KeyboardInterrupt
    last = f"loss {history.loss[-1]:.3g}, acceptance {history.acceptance[-len(history.loss) // 5 :].mean():.2f}"
    print(f"trained: {last}; coefficients {sampler.parameters.round(5).tolist()}")
    return sampler.trained


def _observable(name: str) -> Callable[[Any], Any]:
    function: Callable[..., Any] = getattr(observables, name.split(":")[0])
    if ":" not in name:
        return function
    definition = name.split(":", 1)[1]
    return lambda links: function(links, definition=definition)
