"""Typed TOML of `plaq run`: every key has a type, unknown keys are errors."""

import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from plaq.ground.arguments import unknown

__all__ = ["Config", "ConfigError", "load"]

OBSERVABLES = ("plaquette", "rectangle", "polyakov", "topological_charge", "energy_density")
T = TypeVar("T")


class ConfigError(ValueError):
    """The configuration file of a run is not valid; the message names the key."""


@dataclass(frozen=True)
class FieldConfig:
    """Section [field]: where the chain starts."""

    start: str = "cold"
    shape: list[int] | None = None
    group: str = "SU(3)"


@dataclass(frozen=True)
class BetaConfig:
    """Section [action] of the actions with one coupling."""

    name: str
    beta: float


@dataclass(frozen=True)
class LoopsConfig:
    """Section [action] of a list of terms, each `[coefficient, "loop"]`."""

    name: str
    terms: list[Any]


@dataclass(frozen=True)
class HeatbathConfig:
    """Section [sampler] of the heatbath."""

    name: str
    overrelaxation: int = 0


@dataclass(frozen=True)
class HmcConfig:
    """Section [sampler] of HMC."""

    name: str
    length: float = 1.0
    steps: int | None = None
    integrator: str = "omelyan2"


@dataclass(frozen=True)
class QuarksConfig:
    """Section [quarks]: dynamical quarks of the action."""

    dirac: str
    mass: float
    n_flavors: int


@dataclass(frozen=True)
class ProposalConfig:
    """Section [proposal] of self-learning HMC: quarks of another mass on smeared links, times a trained factor."""

    mass: float
    loops: list[str] = field(default_factory=list)
    layers: int = 1
    factor: bool = True


@dataclass(frozen=True)
class TrainingConfig:
    """Section [training] of self-learning HMC."""

    steps: int
    batch: int = 4
    loss: str = "change"
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class RunConfig:
    """Section [run]."""

    draws: int
    seed: int
    warmup: int = 0
    thin: int = 1
    checkpoint: str | None = None
    checkpoint_every: int | None = None
    max_seconds: float | None = None
    output: str = "chain.npz"


@dataclass(frozen=True)
class ObservablesConfig:
    """Section [observables]; `"topological_charge:geometric"` chooses a definition."""

    names: list[str] = field(default_factory=lambda: ["plaquette", "polyakov"])


ACTIONS: dict[str, type[BetaConfig] | type[LoopsConfig]] = {
    "Wilson": BetaConfig,
    "Symanzik": BetaConfig,
    "Iwasaki": BetaConfig,
    "DBW2": BetaConfig,
    "Loops": LoopsConfig,
}
SAMPLERS: dict[str, type[HeatbathConfig] | type[HmcConfig]] = {
    "heatbath": HeatbathConfig,
    "hmc": HmcConfig,
    "self_learning_hmc": HmcConfig,
}
DIRAC = ("staggered", "wilson")


@dataclass(frozen=True)
class Config:
    """A whole file."""

    field: FieldConfig
    action: BetaConfig | LoopsConfig
    sampler: HeatbathConfig | HmcConfig
    run: RunConfig
    observables: ObservablesConfig
    quarks: QuarksConfig | None = None
    proposal: ProposalConfig | None = None
    training: TrainingConfig | None = None


WANTED = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[int]: "a list of whole numbers",
    list[str]: "a list of strings",
    list[Any]: 'a list of [coefficient, "loop"]',
}


def load(path: str | Path) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path : path
        TOML file with the sections [field], [action], [sampler], [run] and, optionally, [observables].

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        Not TOML; an unknown section, key or name (with the nearest valid one); a missing key; a wrong type.
    OSError
        The file cannot be read.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return parse(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(table: Mapping[str, Any]) -> Config:
    """Check a configuration that is already a dict."""
    sections = [each.name for each in fields(Config)]
    for name, content in table.items():
        if name not in sections:
            raise ConfigError(unknown("section", name, sections))
        if not isinstance(content, dict):
            raise ConfigError(f"{name}: wanted a section [{name}], given {_given(content)}")
    config = Config(
        field=_section(FieldConfig, "field", table.get("field", {})),
        action=_named("action", _required(table, "action"), ACTIONS),
        sampler=_named("sampler", _required(table, "sampler"), SAMPLERS),
        run=_section(RunConfig, "run", _required(table, "run")),
        observables=_section(ObservablesConfig, "observables", table.get("observables", {})),
        quarks=_section(QuarksConfig, "quarks", table["quarks"]) if "quarks" in table else None,
        proposal=_section(ProposalConfig, "proposal", table["proposal"]) if "proposal" in table else None,
        training=_section(TrainingConfig, "training", table["training"]) if "training" in table else None,
    )
    _check_quarks(config)
    if config.field.start in ("cold", "hot") and config.field.shape is None:
        raise ConfigError(f'[field] shape: needed for start = "{config.field.start}", as in shape = [8, 8, 8, 8]')
    for name in config.observables.names:
        if name.split(":")[0] not in OBSERVABLES:
            raise ConfigError(f"[observables] names: {unknown('observable', name, OBSERVABLES)}")
    return config


def _check_quarks(config: Config) -> None:
    learning = config.sampler.name == "self_learning_hmc"
    if config.quarks is not None and config.quarks.dirac not in DIRAC:
        raise ConfigError(f"[quarks] dirac: {unknown('operator', config.quarks.dirac, DIRAC)}")
    if config.quarks is not None and config.sampler.name == "heatbath":
        raise ConfigError('[quarks]: a heatbath has no quarks; take name = "hmc" in [sampler]')
    if learning and (config.quarks is None or config.proposal is None):
        raise ConfigError("self_learning_hmc needs the sections [quarks] (of the target) and [proposal]")
    for name in ("proposal", "training"):
        if getattr(config, name) is not None and not learning:
            raise ConfigError(f'[{name}] belongs to [sampler] name = "self_learning_hmc"')


def _required(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in table:
        raise ConfigError(f"section [{name}] is missing")
    content: dict[str, Any] = table[name]
    return content


def _named(section: str, table: dict[str, Any], known: Mapping[str, type[T]]) -> T:
    """A section whose `name` decides which other keys it has."""
    name = table.get("name")
    if not isinstance(name, str):
        given = f"given {_given(name)}" if "name" in table else "it is missing"
        raise ConfigError(f"[{section}] name: wanted one of {', '.join(known)}; {given}")
    if name not in known:
        raise ConfigError(f"[{section}] name: {unknown(section, name, known)}")
    return _section(known[name], section, table)


def _section(cls: type[T], section: str, table: dict[str, Any]) -> T:
    specs = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in specs:
            raise ConfigError(f"[{section}] {unknown('key', key, specs)}")
    for key, spec in specs.items():
        if key not in table and spec.default is MISSING and spec.default_factory is MISSING:
            raise ConfigError(f"[{section}] {key}: missing; wanted {_wanted(spec.type)}")
    return cls(**{key: _value(section, key, value, specs[key].type) for key, value in table.items()})


def _value(section: str, key: str, value: Any, kind: Any) -> Any:
    kind = _without_none(kind)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (list[int], list[str]) and isinstance(value, list):
        fits = all(type(item) is kind.__args__[0] for item in value)
    elif kind == list[Any]:
        fits = isinstance(value, list) and all(_is_term(item) for item in value)
    else:
        fits = type(value) is kind
    if not fits:
        raise ConfigError(f"[{section}] {key}: wanted {_wanted(kind)}, given {_given(value)}")
    return [(float(item[0]), item[1]) for item in value] if kind == list[Any] else value


def _is_term(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and type(item[0]) in (int, float) and isinstance(item[1], str)


def _without_none(kind: Any) -> Any:
    parts = [part for part in getattr(kind, "__args__", ()) if part is not type(None)]
    return parts[0] if type(kind).__name__ == "UnionType" else kind


def _wanted(kind: Any) -> str:
    return WANTED[_without_none(kind)]


def _given(value: Any) -> str:
    names = {str: "string", bool: "truth value", int: "whole number", float: "number", list: "list", dict: "table"}
    return f"{value!r} ({names.get(type(value), type(value).__name__)})"
