"""Typed TOML of `plaq run`: every key has a type and a line that says what it is; unknown keys are errors."""

import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from plaq.ground.arguments import unknown
from plaq.ground.files import require_file

__all__ = ["Config", "ConfigError", "load"]

T = TypeVar("T")
Named = dict[str, type[Any]]


class ConfigError(ValueError):
    """The configuration file of a run is not valid; the message names the key."""


def key(text: str, default: Any = MISSING, *, choices: tuple[str, ...] = ()) -> Any:
    """A key of a section: what it means, its default (none: it is needed), and the words that are allowed."""
    about = {"text": text, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=about)
    return field(default=default, metadata=about)


def operator() -> Any:
    """The key that decides which others the section of the quarks has."""
    return key("operator", choices=("staggered", "wilson", "domain_wall"))


def split() -> Any:
    """Heavier quarks."""
    return key("heavier masses that the determinant is split by, lightest first", [])


def precision() -> Any:
    """How the quarks are solved for."""
    return key("of the solves; mixed is for one power of K", "double", choices=("double", "mixed"))


def chronological() -> Any:
    """What forces know of those before."""
    return key("how many earlier solutions a force starts from, for one power of K", 0)


def name_of_kind() -> Any:
    """The key that decides which others a section has."""
    return key("what it is")


@dataclass(frozen=True)
class FieldConfig:
    """Section [field]: where the chain starts."""

    start: str = key('"cold", "hot", or the path of a configuration', "cold")
    shape: list[int] | None = key("extents, time last; needed unless `start` is a file", None)
    group: str = key('"U(1)", "SU(2)" to "SU(8)"; of links', "SU(3)")
    components: int = key("components at a site; of scalar fields", 1)


@dataclass(frozen=True)
class BetaConfig:
    """Section [action] of the actions with one coupling."""

    name: str = name_of_kind()
    beta: float = key("coupling")


@dataclass(frozen=True)
class LoopsConfig:
    """Section [action] of a list of terms."""

    name: str = name_of_kind()
    terms: list[Any] = key('terms, each `[coefficient, "loop"]`')


@dataclass(frozen=True)
class ScalarConfig:
    """Section [action] of a scalar field."""

    name: str = name_of_kind()
    mass2: float = key("mass squared; may be negative with `lam` above 0")
    lam: float = key("quartic coupling", 0.0)


@dataclass(frozen=True)
class SpinFermionConfig:
    """Section [model] of electrons on a square lattice, coupled to classical spins."""

    name: str = name_of_kind()
    shape: list[int] = key("two extents")
    J: float = key("coupling of electrons and spins")
    T: float = key("temperature")
    t: float = key("hopping", 1.0)
    mu: float = key("chemical potential", 0.0)


@dataclass(frozen=True)
class ComplexScalarConfig:
    """Section [model] of a complex scalar field at chemical potential, sampled as fluxes."""

    name: str = name_of_kind()
    shape: list[int] = key("one to four extents, time last")
    eta: float = key("2 D + mass squared")
    lam: float = key("quartic coupling")
    mu: float = key("chemical potential")


@dataclass(frozen=True)
class IsingConfig:
    """Section [model] of the two-dimensional Ising model."""

    name: str = name_of_kind()
    shape: list[int] = key("two extents")
    beta: float = key("inverse temperature")


@dataclass(frozen=True)
class FreeFieldConfig:
    """Section [model] of a free real field, which a Gaussian machine learns from its kernel."""

    name: str = name_of_kind()
    shape: list[int] = key("extents")
    mass2: float = key("mass squared")


@dataclass(frozen=True)
class DigitsConfig:
    """Section [model] of the 8 x 8 images of digits (needs plaq[datasets])."""

    name: str = name_of_kind()


@dataclass(frozen=True)
class StaggeredConfig:
    """Section [quarks] of staggered fermions."""

    dirac: str = operator()
    mass: float = key("mass of the quarks")
    n_flavors: int = key("number of flavours: 1, 2, 3, 4 or 8")
    hasenbusch: list[float] = split()
    precision: str = precision()
    chronological: int = chronological()


@dataclass(frozen=True)
class WilsonQuarksConfig:
    """Section [quarks] of Wilson and clover fermions."""

    dirac: str = operator()
    mass: float = key("mass of the quarks")
    n_flavors: int = key("number of flavours: 1 or 2")
    csw: float = key("coefficient of the clover term", 0.0)
    hasenbusch: list[float] = split()
    precision: str = precision()
    chronological: int = chronological()


@dataclass(frozen=True)
class DomainWallConfig:
    """Section [quarks] of domain walls, over their Pauli-Villars field."""

    dirac: str = operator()
    mass: float = key("mass of the quarks")
    n_flavors: int = key("number of flavours: 1 or 2")
    m5: float = key("height of the wall, between 0 and 2")
    ls: int = key("extent of the fifth dimension")
    b: float = key("Moebius coefficient", 1.0)
    c: float = key("Moebius coefficient; 0 is Shamir's operator", 0.0)
    hasenbusch: list[float] = split()
    precision: str = precision()
    chronological: int = chronological()


@dataclass(frozen=True)
class ProposalConfig:
    """Section [proposal] of self-learning HMC: quarks of another mass on smeared links, times a trained factor."""

    mass: float = key("mass of the quarks that move the field")
    hasenbusch: list[float] | None = key("as many heavier masses as [quarks] has; left out: those", None)
    loops: list[str] = key("loops of their stout layers", [])
    layers: int = key("number of stout layers", 1)
    hyp: list[float] = key("coefficients of a HYP layer below them", [])
    factor: bool = key("whether a factor of their action is trained", True)


@dataclass(frozen=True)
class TransformConfig:
    """Section [transform] of field-transformation HMC: masked stout sweeps."""

    loops: list[str] = key('"plaquette"; in two dimensions also "rectangle", above "chair"', ["plaquette"])
    coefficients: list[float] = key("one for each loop; where training begins", [0.0])
    sweeps: int = key("sweeps over all links", 1)
    channels: int | None = key("in two dimensions: coefficients by networks with so many channels", None)


@dataclass(frozen=True)
class LinearConfig:
    """Section [network] of a linear model of spins."""

    name: str = name_of_kind()
    shells: int = key("shells of neighbours", 3)


@dataclass(frozen=True)
class AttentionConfig:
    """Section [network] of equivariant attention on spins."""

    name: str = name_of_kind()
    layers: int = key("attention blocks", 1)
    shells: int = key("shells of the fields", 3)
    coupling_shells: int = key("shells of the read-out", 3)
    block: str = key("kind of the blocks", "relu", choices=("relu", "softmax", "local"))


@dataclass(frozen=True)
class GaussianMachineConfig:
    """Section [network] of a Gaussian restricted Boltzmann machine."""

    name: str = name_of_kind()
    n_hidden: int = key("hidden units")
    mu2: float = key("mass squared")
    sigma2_h: float = key("hidden variance", 1.0)
    mass: str = key("whether training changes the mass", "fixed", choices=("fixed", "global", "local"))


@dataclass(frozen=True)
class BinaryMachineConfig:
    """Section [network] of a restricted Boltzmann machine with binary hidden units."""

    name: str = name_of_kind()
    n_hidden: int = key("hidden units")


@dataclass(frozen=True)
class PublishedNetConfig:
    """Section [network] of a convolutional network of arXiv 2103.14686 on fluxes."""

    name: str = name_of_kind()
    architecture: str = key("a name of plaq.nn.zoo; its task decides the data", "task1/EQ")


@dataclass(frozen=True)
class LcnnConfig:
    """Section [network] of a lattice gauge equivariant network that learns an observable."""

    name: str = name_of_kind()
    channels: list[int] = key("channels of the bilinear layers", [2])
    kernel: int = key("lines of at most kernel - 1 steps", 2)


@dataclass(frozen=True)
class StoutNetConfig:
    """Section [network] of trained stout smearing."""

    name: str = name_of_kind()
    loops: list[str] = key("loops of each layer", ["plaquette"])
    layers: int = key("number of layers", 1)
    hyp: list[float] = key("coefficients of a HYP layer below them", [])


@dataclass(frozen=True)
class OnPolicyConfig:
    """Section [training] of self-learning HMC, before the chain and after `warmup` updates of HMC."""

    steps: int = key("steps of the optimiser")
    batch: int = key("trajectories in each", 4)
    loss: str = key("what is minimised", "change", choices=("change", "mean_square", "variance"))
    learning_rate: float = key("of Adam with a cosine schedule", 3e-3)


@dataclass(frozen=True)
class TransformTrainingConfig:
    """Section [training] of field-transformation HMC: forces of stored configurations get small."""

    epochs: int = key("passes over the configurations")
    configurations: int = key("drawn by HMC, `thin` updates apart", 8)
    learning_rate: float = key("of Adam with a cosine schedule", 0.02)


@dataclass(frozen=True)
class AnnealingConfig:
    """Section [training] of self-learning Monte Carlo: on policy while the temperature falls."""

    rounds: int = key("rounds at each temperature")
    draws: int = key("outer steps in each round")
    temperatures: list[float] = key("schedule, ended by the temperature of the model", [])
    ridge: float = key("penalty of the regression", 1e-3)
    steps: int = key("steps of the optimiser in each round; of attention", 400)


@dataclass(frozen=True)
class MachineTrainingConfig:
    """Section [training] of a machine."""

    epochs: int = key("passes over the data, or updates")
    method: str = key("how the model average is found", "pcd", choices=("exact", "em", "cd", "pcd"))
    k: int = key("Gibbs steps of an update", 1)
    batch: int = key("configurations of an update", 64)
    learning_rate: float = key("learning rate", 0.05)
    momentum: float = key("momentum", 0.0)
    samples: int = key("configurations to learn from; all images of the digits", 1000)


@dataclass(frozen=True)
class FluxTrainingConfig:
    """Section [training] of a network on fluxes."""

    samples: int = key("configurations to learn from, a quarter of them held back")
    epochs: int = key("passes over them")
    batch: int = key("samples of a step", 50)
    learning_rate: float = key("of AdamW", 1e-3)


@dataclass(frozen=True)
class RegressionConfig:
    """Section [training] of an L-CNN: regression of an observable of the links."""

    configurations: int = key("drawn by the sampler, `thin` updates apart; a quarter is held back")
    epochs: int = key("passes over them")
    target: str = key("the observable", "rectangle", choices=("plaquette", "rectangle"))
    batch: int = key("configurations of a step", 4)
    learning_rate: float = key("of Adam with a cosine schedule", 0.01)


@dataclass(frozen=True)
class SmearingTrainingConfig:
    """Section [training] of stout layers: small forces, or the action of another coupling."""

    configurations: int = key("drawn by the sampler, `thin` updates apart")
    epochs: int = key("passes over them")
    loss: str = key("what is minimised", "force_norm", choices=("force_norm", "action_difference"))
    beta: float | None = key("of action_difference: coupling of the action on the smeared links", None)
    learning_rate: float = key("of Adam with a cosine schedule", 0.01)


@dataclass(frozen=True)
class HeatbathConfig:
    """Section [sampler] of the heatbath."""

    name: str = name_of_kind()
    overrelaxation: int = key("overrelaxation sweeps after each heatbath sweep", 0)


@dataclass(frozen=True)
class HmcConfig:
    """Section [sampler] of HMC."""

    name: str = name_of_kind()
    length: float = key("length of a trajectory", 1.0)
    steps: int | None = key("steps of a trajectory; left out: chosen in the warm-up", None)
    integrator: str = key("integrator", "omelyan2", choices=("leapfrog", "omelyan2", "omelyan4", "force_gradient"))


@dataclass(frozen=True)
class SpinMetropolisConfig:
    """Section [sampler] of local updates of spins with the exact weight."""

    name: str = name_of_kind()
    sweeps: int = key("sweeps of an update", 5)
    hits: int = key("proposals at every visit of a site", 4)
    width: float = key("width of a proposal", 0.8)


@dataclass(frozen=True)
class SelfLearningMcConfig:
    """Section [sampler] of self-learning Monte Carlo of spins."""

    name: str = name_of_kind()
    sweeps: int = key("sweeps (trajectories of a network) of a proposal", 10)
    overrelaxation: int = key("reflections of all spins after every sweep; of a linear model", 1)


@dataclass(frozen=True)
class WormConfig:
    """Section [sampler] of the worm algorithm."""

    name: str = name_of_kind()
    visits: int | None = key("closed configurations an update averages over; left out: one for each link", None)


@dataclass(frozen=True)
class LangevinConfig:
    """Section [sampler] of complex Langevin."""

    name: str = name_of_kind()
    step: float = key("largest step", 0.01)
    time: float = key("Langevin time of an update", 0.5)


@dataclass(frozen=True)
class ClusterConfig:
    """Section [sampler] of the Wolff algorithm."""

    name: str = name_of_kind()
    clusters: int = key("clusters of an update", 1)


@dataclass(frozen=True)
class PlainConfig:
    """Section [sampler] of a sampler without settings."""

    name: str = name_of_kind()


@dataclass(frozen=True)
class RunConfig:
    """Section [run]."""

    draws: int = key("draws to keep")
    seed: int = key("one seed fixes every draw")
    warmup: int = key("updates before the first draw", 0)
    thin: int = key("updates for each draw", 1)
    checkpoint: str | None = key("file to go on from", None)
    checkpoint_every: int | None = key("draws between writes; left out: once a minute", None)
    max_seconds: float | None = key("wall time after which no update is begun; the same call goes on", None)
    output: str = key("where the chain goes; pq.Chain.load reads it", "chain.npz")


@dataclass(frozen=True)
class ObservablesConfig:
    """Section [observables]; `"topological_charge:geometric"` chooses a definition."""

    names: list[str] = key("what is measured at each draw", [])


@dataclass(frozen=True)
class ScanConfig:
    """Section [scan]: one run for each combination of values, several chains of each, in folders of their own."""

    values: dict[str, Any] = key('values by key, as {"action.beta" = [2.2, 2.3]}')
    chains: int = key("independent chains of each combination", 1)
    folder: str = key("where the folders of the runs are", "scan")


ACTIONS: Named = {
    **dict.fromkeys(("Wilson", "Symanzik", "Iwasaki", "DBW2"), BetaConfig),
    "Loops": LoopsConfig,
    "Scalar": ScalarConfig,
}
QUARKS: Named = {"staggered": StaggeredConfig, "wilson": WilsonQuarksConfig, "domain_wall": DomainWallConfig}
MODELS: Named = {
    "spin_fermion": SpinFermionConfig,
    "complex_scalar": ComplexScalarConfig,
    "ising": IsingConfig,
    "free_field": FreeFieldConfig,
    "digits": DigitsConfig,
}
SAMPLERS: Named = {
    "heatbath": HeatbathConfig,
    **dict.fromkeys(("hmc", "self_learning_hmc", "field_transform_hmc"), HmcConfig),
    "spin_metropolis": SpinMetropolisConfig,
    "self_learning_mc": SelfLearningMcConfig,
    "worm": WormConfig,
    "complex_langevin": LangevinConfig,
    "wolff": ClusterConfig,
    "metropolis": PlainConfig,
    "gibbs": PlainConfig,
}
NETWORKS: Named = {
    "linear": LinearConfig,
    "attention": AttentionConfig,
    "gaussian_rbm": GaussianMachineConfig,
    "bernoulli_rbm": BinaryMachineConfig,
    "zoo": PublishedNetConfig,
    "lcnn": LcnnConfig,
    "stout": StoutNetConfig,
}
TRAININGS: Named = {
    "self_learning_hmc": OnPolicyConfig,
    "field_transform_hmc": TransformTrainingConfig,
    **dict.fromkeys(("linear", "attention"), AnnealingConfig),
    **dict.fromkeys(("gaussian_rbm", "bernoulli_rbm"), MachineTrainingConfig),
    "zoo": FluxTrainingConfig,
    "lcnn": RegressionConfig,
    "stout": SmearingTrainingConfig,
}
"""By the network that is trained, or by the sampler that trains itself."""


@dataclass(frozen=True)
class System:
    """What goes with a kind of field or model."""

    samplers: tuple[str, ...]
    networks: tuple[str, ...]
    observables: tuple[str, ...]
    measured: tuple[str, ...]
    """Observables if none are named."""


LINKS = ("plaquette", "rectangle", "polyakov", "topological_charge", "energy_density")
SYSTEMS = {
    "links": System(
        ("heatbath", "hmc", "self_learning_hmc", "field_transform_hmc"), ("lcnn", "stout"), LINKS, (LINKS[0], LINKS[2])
    ),
    "scalar": System(("hmc",), (), ("phi2", "magnetization"), ("phi2", "magnetization")),
    "spin_fermion": System(
        ("spin_metropolis", "self_learning_mc"),
        ("linear", "attention"),
        *[("magnetization", "staggered_magnetization")] * 2,
    ),
    "complex_scalar": System(("worm", "complex_langevin"), ("zoo",), *[("density", "phi2")] * 2),
    "ising": System(("wolff", "metropolis", "gibbs"), ("bernoulli_rbm",), *[("energy", "magnetization")] * 2),
    "free_field": System(("gibbs",), ("gaussian_rbm",), *[("phi2", "action")] * 2),
    "digits": System(("gibbs",), ("gaussian_rbm", "bernoulli_rbm"), *[("brightness",)] * 2),
}
NEEDS = {
    "self_learning_hmc": ("quarks", "proposal"),
    "field_transform_hmc": ("transform",),
    "self_learning_mc": ("network", "training"),
    "gibbs": ("network", "training"),
}
"""Sections without which a sampler is nothing."""
BELONGS = {
    "quarks": ("hmc", "self_learning_hmc"),
    "proposal": ("self_learning_hmc",),
    "transform": ("field_transform_hmc",),
}
"""Samplers to which a section belongs."""


def _system(model: Any, action: Any) -> str:
    if model is not None:
        return str(model.name)
    return "scalar" if isinstance(action, ScalarConfig) else "links"


@dataclass(frozen=True)
class Config:
    """A whole file."""

    sampler: Any
    run: RunConfig
    observables: ObservablesConfig
    field: FieldConfig | None = None
    action: Any = None
    model: Any = None
    quarks: Any = None
    proposal: ProposalConfig | None = None
    transform: TransformConfig | None = None
    network: Any = None
    training: Any = None
    scan: ScanConfig | None = None

    @property
    def system(self) -> str:
        """Which row of SYSTEMS it is."""
        return _system(self.model, self.action)

    @property
    def field_section(self) -> "FieldConfig":
        """The section [field] of a system that has one."""
        assert self.field is not None
        return self.field


SECTIONS: dict[str, type[Any] | Named] = {
    "field": FieldConfig,
    "action": ACTIONS,
    "model": MODELS,
    "quarks": QUARKS,
    "proposal": ProposalConfig,
    "transform": TransformConfig,
    "network": NETWORKS,
    "training": TRAININGS,
    "sampler": SAMPLERS,
    "run": RunConfig,
    "observables": ObservablesConfig,
    "scan": ScanConfig,
}
"""Sections in the order in which files are written; a dict if the key `name` (or that of DECIDES) decides."""
DECIDES = {"quarks": "dirac"}

WANTED = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[int]: "a list of whole numbers",
    list[float]: "a list of numbers",
    list[str]: "a list of strings",
    list[Any]: 'a list of [coefficient, "loop"]',
    dict[str, Any]: 'a table of lists, as {"action.beta" = [2.2, 2.3]}',
}


def load(path: str | Path) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path : path
        TOML file with the sections of docs/command_line.md.

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
        return parse(read(path))
    except ConfigError as error:
        text = str(error)
        raise error if text.startswith(str(path)) else ConfigError(f"{path}: {text}") from error


def read(path: str | Path) -> dict[str, Any]:
    """The TOML of a file, unchecked."""
    require_file(path)
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def parse(table: Mapping[str, Any]) -> Config:
    """Check a configuration that is already a dict."""
    for name, content in table.items():
        if name not in SECTIONS:
            raise ConfigError(unknown("section", name, SECTIONS))
        if not isinstance(content, dict):
            raise ConfigError(f"{name}: wanted a section [{name}], given {_given(content)}")
    found: dict[str, Any] = {}
    if "model" in table:
        wrong = [name for name in ("field", "action", "quarks") if name in table]
        if wrong:
            raise ConfigError(f"[{wrong[0]}]: a file has either [model] or [field] and [action]")
        found["model"] = _named("model", _required(table, "model"), MODELS)
    else:
        found["field"] = _section(FieldConfig, "field", table.get("field", {}))
        found["action"] = _named("action", _required(table, "action"), ACTIONS)
    found["sampler"] = _named("sampler", _required(table, "sampler"), SAMPLERS)
    found["run"] = _section(RunConfig, "run", _required(table, "run"))
    if "quarks" in table:
        found["quarks"] = _named("quarks", table["quarks"], QUARKS)
    for name in ("observables", "proposal", "transform", "scan"):
        if name in table or name == "observables":
            kind: Any = SECTIONS[name]
            found[name] = _section(kind, name, table.get(name, {}))
    if "network" in table:
        found["network"] = _named("network", table["network"], NETWORKS)
        _check_network(found["network"].name, _system(found.get("model"), found.get("action")))
    if "training" in table:
        trained = found["network"].name if "network" in found else found["sampler"].name
        if trained not in TRAININGS:
            raise ConfigError(
                '[training] belongs to a [network], or to [sampler] name = "self_learning_hmc" or "field_transform_hmc"'
            )
        found["training"] = _section(TRAININGS[trained], "training", table["training"])
    config = Config(**found)
    _check(config)
    return _measured(config)


def _check_network(name: str, system: str) -> None:
    if name not in SYSTEMS[system].networks:
        known = ", ".join(SYSTEMS[system].networks) or "none"
        raise ConfigError(f"[network] name: {name} does not go with {system}; known: {known}")


def _check(config: Config) -> None:
    """What only several sections together say."""
    system, name = SYSTEMS[config.system], config.sampler.name
    if config.field is not None and config.field.start in ("cold", "hot") and config.field.shape is None:
        raise ConfigError(f'[field] shape: needed for start = "{config.field.start}", as in shape = [8, 8, 8, 8]')
    if config.quarks is not None and name == "heatbath":
        raise ConfigError('[quarks]: a heatbath has no quarks; take name = "hmc" in [sampler]')
    if name not in system.samplers:
        raise ConfigError(
            f"[sampler] name: {name} does not sample {config.system}; known: {', '.join(system.samplers)}"
        )
    missing = [section for section in NEEDS.get(name, ()) if getattr(config, section) is None]
    if missing:
        raise ConfigError(f"{name} needs the section{'s' * (len(missing) > 1)} [{'] and ['.join(missing)}]")
    for section, samplers in BELONGS.items():
        if getattr(config, section) is not None and name not in samplers:
            words = " or ".join(f'"{each}"' for each in samplers)
            raise ConfigError(f"[{section}] belongs to [sampler] name = {words}")
    if config.network is not None and config.training is None:
        raise ConfigError("[network] needs the section [training]")
    others = {
        "spin_metropolis": "self_learning_mc",
        "complex_langevin": "worm",
        "wolff": "gibbs",
        "metropolis": "gibbs",
    }
    if config.network is not None and name in others:
        other = others[name]
        raise ConfigError(f'[network] belongs to [sampler] name = "{other}"')
    if config.quarks is not None and config.proposal is not None:
        count, given = len(config.quarks.hasenbusch), config.proposal.hasenbusch
        if given is not None and len(given) != count:
            raise ConfigError(
                f"[proposal] hasenbusch: wanted as many masses as [quarks] has, {count}; given {len(given)}"
            )
    if config.quarks is not None and config.system == "scalar":
        raise ConfigError("[quarks]: a scalar field has no quarks")


def _measured(config: Config) -> Config:
    """The configuration with the observables that are measured."""
    system = SYSTEMS[config.system]
    for name in config.observables.names:
        if name.split(":")[0] not in system.observables:
            raise ConfigError(f"[observables] names: {unknown('observable', name, system.observables)}")
    return replace(config, observables=ObservablesConfig(config.observables.names or list(system.measured)))


def _required(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in table:
        raise ConfigError(f"section [{name}] is missing")
    content: dict[str, Any] = table[name]
    return content


def _named(section: str, table: dict[str, Any], known: Named) -> Any:
    """A section with one key that decides which others it has."""
    key = DECIDES.get(section, "name")
    name = table.get(key)
    if not isinstance(name, str):
        given = f"given {_given(name)}" if key in table else "it is missing"
        raise ConfigError(f"[{section}] {key}: wanted one of {', '.join(known)}; {given}")
    if name not in known:
        raise ConfigError(f"[{section}] {key}: {unknown(KINDS.get(key, section), name, known)}")
    return _section(known[name], section, table)


def is_needed(spec: "Field[Any]") -> bool:
    """Whether a key has no default."""
    return spec.default is MISSING and spec.default_factory is MISSING


def _section(cls: type[T], section: str, table: dict[str, Any]) -> T:
    specs = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    for name in table:
        if name not in specs:
            raise ConfigError(f"[{section}] {unknown('key', name, specs)}")
    for name, spec in specs.items():
        if name not in table and is_needed(spec):
            raise ConfigError(f"[{section}] {name}: missing; wanted {_wanted(spec.type)}")
    made = cls(**{name: _value(section, name, value, specs[name].type) for name, value in table.items()})
    for name, spec in specs.items():
        choices, value = spec.metadata.get("choices"), getattr(made, name)
        if choices and value not in choices:
            raise ConfigError(f"[{section}] {name}: {unknown(KINDS.get(name, name), value, choices)}")
    return made


KINDS = {"dirac": "operator"}


def _value(section: str, key: str, value: Any, kind: Any) -> Any:
    kind = _without_none(kind)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (list[int], list[str]) and isinstance(value, list):
        fits = all(type(item) is kind.__args__[0] for item in value)
    elif kind == list[float]:
        fits = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    elif kind == list[Any]:
        fits = isinstance(value, list) and all(_is_term(item) for item in value)
    elif kind == dict[str, Any]:
        fits = isinstance(value, dict) and all(isinstance(item, list) and item for item in value.values())
    else:
        fits = type(value) is kind
    if not fits:
        several = isinstance(value, list) and kind in (float, int, str)
        scan = f'; several values are a section [scan] with values = {{"{section}.{key}" = {value}}}' if several else ""
        raise ConfigError(f"[{section}] {key}: wanted {_wanted(kind)}, given {_given(value)}{scan}")
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
