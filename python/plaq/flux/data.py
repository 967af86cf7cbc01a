"""Labelled fluxes for the three tasks of lattice networks: observables, violations, counting worms (2103.14686)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import FormatError, __version__
from plaq.fields.flux import couplings, lattice_shape
from plaq.flux.worms import open_worms
from plaq.ground.archive import unpacked, verified, write_arrays
from plaq.ground.arguments import fraction, number, shown, whole_number, whole_numbers
from plaq.ground.files import damaged, read_content
from plaq.ground.names import Explained
from plaq.ground.rng import Rng, seed_of
from plaq.samplers.ensemble import FluxEnsemble
from plaq.samplers.worm import Worm

__all__ = ["FluxData", "flux_counting", "flux_regression", "flux_violation"]

FORMAT = "plaq-flux-data"
TRAINED = ((4.25, 1.0), (4.01, 1.5))
"""The pairs (eta, mu) that detection and counting are trained on in arXiv 2103.14686."""

Array = NDArray[np.float64]
Label = Callable[[FluxEnsemble, NDArray[Any], np.random.Generator], tuple[NDArray[Any], Array]]


@dataclass(frozen=True)
class FluxData(metaclass=Explained):
    """Inputs and targets of a network, with where they come from.

    Attributes
    ----------
    x : ndarray of float32, shape (n, 2 D, x_0, ..., x_{D-1})
        Channels k_1, ..., k_D, l_1, ..., l_D; integers.
    y : ndarray, shape (n, targets)
        Targets.
    eta, mu : ndarray, shape (n,)
        Couplings of each configuration.
    provenance : dict
        Task, shape, couplings, seed, number of updates, version of plaq.

    Examples
    --------
    >>> import plaq as pq
    >>> ensemble = pq.Worm((2, 4), eta=4.25, lam=1.0, mu=1.0).sample(5, thin=2, rng=1)
    >>> pq.datasets.FluxData.of(ensemble).x.shape
    (5, 4, 2, 4)
    """

    x: NDArray[np.float32]
    y: Array
    eta: Array
    mu: Array
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def of(cls, ensemble: FluxEnsemble) -> FluxData:
        """An ensemble of one's own as data of the regression task: density and mean of abs(phi)^2.

        Parameters
        ----------
        ensemble : FluxEnsemble

        Raises
        ------
        TypeError
            Something else.
        """
        if not isinstance(ensemble, FluxEnsemble):
            raise TypeError(f"ensemble is what pq.Worm.sample returns; got {shown(ensemble)}")
        y = np.stack([ensemble.density, ensemble.phi2], axis=1)
        eta, mu = (np.full(len(ensemble), value) for value in (ensemble.eta, ensemble.mu))
        facts = {"task": "regression", "plaq": __version__, "run": ensemble.chain.fingerprint}
        return cls(_channels(ensemble.k, ensemble.l), y, eta, mu, facts | {"seed": ensemble.chain.seed})

    def save(self, path: str | PathLike[str]) -> None:
        """Write a npz file with a checksum; an existing one is replaced whole.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        meta = {"format": FORMAT, "version": 1, "provenance": self.provenance}
        arrays: dict[str, NDArray[Any]] = {"x": self.x.astype(np.int32), "y": self.y, "eta": self.eta, "mu": self.mu}
        write_arrays(path, {"meta": np.array(json.dumps(meta)), **arrays})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FluxData:
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            Another file, or a damaged one.
        OSError
            No file.
        """
        content = read_content(Path(path))
        with damaged(path, FormatError, lambda why: f"holds no flux data of plaq or is damaged ({why}); make it again"):
            arrays = verified(unpacked(path, content))
            meta = json.loads(str(arrays["meta"][()]))
            if meta["format"] != FORMAT:
                raise ValueError(f'its format is "{meta["format"]}"')
            x, y, provenance = arrays["x"].astype(np.float32), arrays["y"], dict(meta["provenance"])
            columns = {"x": x, "y": y, "eta": arrays["eta"], "mu": arrays["mu"]}
            shapes = {name: values.shape for name, values in columns.items()}
            if x.ndim < 3 or y.ndim != 2 or any(shape[:1] != x.shape[:1] for shape in shapes.values()):
                raise ValueError(f"arrays of shapes {shapes}")
            return cls(**columns, provenance=provenance)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.x.shape[2:]))
        return f"<FluxData {self.provenance.get('task', '')}: {len(self)} on {size}, {self.y.shape[1]} targets>"


def _channels(k: NDArray[Any], l: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([k, l], axis=1).astype(np.float32)


def flux_regression(
    n: int,
    shape: Sequence[int] = (4, 60),
    *,
    eta: float = 4.01,
    lam: float = 1.0,
    mu: float | Sequence[float] = 1.05,
    thin: int = 10,
    warmup: int = 300,
    chains: int = 2,
    progress: bool = True,
    rng: Rng,
) -> FluxData:
    """Configurations with their density and mean of abs(phi)^2: the regression task.

    Parameters
    ----------
    n : int
        Configurations of all chemical potentials together, the same number of each (up to one).
    shape : sequence of int
        Extents, time last; by default four sites in space and sixty in time, the 60 x 4 of arXiv 2103.14686.
    eta, lam : float
        Couplings.
    mu : float or sequence of float
        Chemical potentials.
    thin, warmup, chains, progress
        As for :meth:`plaq.Worm.sample`, for each chemical potential.
    rng : int, Generator or SeedSequence
        Seed.

    Returns
    -------
    FluxData
        ``y`` has the columns density and mean of abs(phi)^2; in random order. Ctrl-C returns what was drawn.

    Raises
    ------
    TypeError, ValueError
        Wrong arguments.

    Examples
    --------
    >>> flux_regression(6, (4, 4), mu=[0.9, 1.0], warmup=10, rng=1, progress=False)
    <FluxData regression: 6 on 4x4, 2 targets>
    """
    many = mu if isinstance(mu, Sequence | np.ndarray) and not isinstance(mu, str) else [mu]
    pairs = [(number("eta", eta), number("mu", value)) for value in many]

    def label(ensemble: FluxEnsemble, _: Any, rng: np.random.Generator) -> tuple[NDArray[Any], Array]:
        return ensemble.k, np.stack([ensemble.density, ensemble.phi2], axis=1)

    run = {"thin": thin, "warmup": warmup, "chains": chains, "progress": progress}
    return _drawn("regression", n, shape, pairs, lam, run, rng, label)


def flux_violation(
    n: int,
    shape: Sequence[int] = (8, 8),
    *,
    parameters: Sequence[tuple[float, float]] = TRAINED,
    lam: float = 1.0,
    violated: float = 0.5,
    thin: int = 10,
    warmup: int = 300,
    chains: int = 2,
    progress: bool = True,
    rng: Rng,
) -> FluxData:
    """Configurations of which some have one open worm: the detection task.

    Parameters
    ----------
    n : int
        Configurations of all couplings together.
    shape : sequence of int
        Extents, time last.
    parameters : sequence of (float, float)
        Pairs (eta, mu).
    lam : float
        Coupling.
    violated : float
        Fraction with an open worm, between 0 and 1.
    thin, warmup, chains, progress
        As for :meth:`plaq.Worm.sample`, for each pair.
    rng : int, Generator or SeedSequence
        Seed.

    Returns
    -------
    FluxData
        ``y`` is 1 where the divergence does not vanish, else 0.

    Raises
    ------
    TypeError, ValueError
        Wrong arguments.

    Examples
    --------
    >>> data = flux_violation(8, (4, 4), warmup=10, rng=1, progress=False)
    >>> from plaq.fields.flux import divergence
    >>> k = data.x[:, :2].astype(int)
    >>> bool(np.array_equal(np.abs(divergence(k)).max((1, 2)), data.y[:, 0]))
    True
    """
    share = fraction("violated", violated, "use flux_counting with worms=[0] or [1]")
    run = {"thin": thin, "warmup": warmup, "chains": chains, "progress": progress}
    return _with_worms("violation", n, shape, parameters, lam, run, rng, [0, 1], [1 - share, share])


def flux_counting(
    n: int,
    shape: Sequence[int] = (8, 8),
    *,
    worms: Sequence[int] = (0, 5),
    parameters: Sequence[tuple[float, float]] = TRAINED,
    lam: float = 1.0,
    thin: int = 10,
    warmup: int = 300,
    chains: int = 2,
    progress: bool = True,
    rng: Rng,
) -> FluxData:
    """Configurations with open worms and their number: the counting task.

    Parameters
    ----------
    n : int
        Configurations of all couplings together.
    shape : sequence of int
        Extents, time last.
    worms : sequence of int
        Numbers of open worms, each as likely as the others.
    parameters : sequence of (float, float)
        Pairs (eta, mu).
    lam : float
        Coupling.
    thin, warmup, chains, progress
        As for :meth:`plaq.Worm.sample`, for each pair.
    rng : int, Generator or SeedSequence
        Seed.

    Returns
    -------
    FluxData
        ``y`` is the number of worms, half the sum of abs(divergence).

    Raises
    ------
    TypeError, ValueError
        Wrong arguments; more worms than half the sites.

    Examples
    --------
    >>> data = flux_counting(8, (4, 4), worms=[0, 3], warmup=10, rng=1, progress=False)
    >>> sorted(set(data.y.ravel().tolist()))
    [0.0, 3.0]
    """
    run = {"thin": thin, "warmup": warmup, "chains": chains, "progress": progress}
    most = int(np.prod(lattice_shape(shape), dtype=object)) // 2
    counts = whole_numbers("worms", worms, 0, most, f"give numbers of open worms, at most {most}, as in [0, 5]")
    if not counts:
        raise ValueError("worms is empty; give numbers of open worms, as in [0, 5]")
    return _with_worms("counting", n, shape, parameters, lam, run, rng, counts, [1 / len(counts)] * len(counts))


def _with_worms(
    task: str, n: Any, shape: Any, parameters: Any, lam: Any, run: Any, rng: Rng, counts: Any, shares: Any
) -> FluxData:
    def label(ensemble: FluxEnsemble, index: NDArray[Any], draw: np.random.Generator) -> tuple[NDArray[Any], Array]:
        # Shares hold to within one configuration, whatever the couplings.
        edges = np.cumsum(shares) * len(ensemble)
        chosen = np.array(counts)[np.searchsorted(edges, np.arange(len(ensemble)) + 0.5).clip(0, len(counts) - 1)]
        worms = open_worms(ensemble.k, ensemble.l, chosen, draw, ndim=len(ensemble.shape))
        return worms.k, chosen[:, None].astype(np.float64)

    return _drawn(task, n, shape, _pairs(parameters), lam, run, rng, label)


def _pairs(parameters: Any) -> list[tuple[float, float]]:
    try:
        pairs = [(eta, mu) for eta, mu in parameters]
    except (TypeError, ValueError):
        raise TypeError(f"parameters is a list of (eta, mu), as in [(4.25, 1.0)]; got {shown(parameters)}") from None
    return [(number("eta", eta), number("mu", mu)) for eta, mu in pairs]


def _drawn(
    task: str,
    n: Any,
    shape: Any,
    pairs: list[tuple[float, float]],
    lam: Any,
    run: dict[str, Any],
    rng: Rng,
    label: Label,
) -> FluxData:
    if not pairs:
        raise ValueError("there are no couplings; give at least one mu or pair (eta, mu)")
    n, extents = whole_number("n", n, len(pairs)), lattice_shape(shape)
    lam = couplings(1.0, lam)[1]
    chains = whole_number("chains", run["chains"])
    seed = seed_of(rng)
    worms = [Worm(extents, eta=eta, lam=lam, mu=mu) for eta, mu in pairs]
    sources = [np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(len(pairs) + 1)]
    columns: list[tuple[NDArray[Any], ...]] = []
    interrupted = False
    for j, worm in enumerate(worms):
        share = n // len(pairs) + (j < n % len(pairs))
        try:
            ensemble = worm.sample(share, **run | {"chains": min(chains, share)}, rng=sources[j])
        except KeyboardInterrupt:
            if not columns:
                raise
            interrupted = True
            break
        k, y = label(ensemble, np.arange(len(ensemble)), sources[j])
        couples = (np.full(len(y), value) for value in (worm.eta, worm.mu))
        columns.append((_channels(k, ensemble.l), y, *couples))
        interrupted = ensemble.chain.interrupted
        if interrupted:
            break
    x, y, eta, mu = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = sources[-1].permutation(len(x))
    facts = {"task": task, "shape": list(extents), "pairs": pairs, "lam": lam, "n": n, "seed": seed}
    settings = {name: run[name] for name in ("thin", "warmup", "chains")}
    provenance = facts | settings | {"interrupted": interrupted, "plaq": __version__}
    return FluxData(x[order], y[order], eta[order], mu[order], json.loads(json.dumps(provenance)))
