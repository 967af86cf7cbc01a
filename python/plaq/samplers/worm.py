"""The worm algorithm for a complex scalar field at chemical potential, in its flux representation."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import WormCore, worm_adapted
from plaq.chains.chain import Chain
from plaq.chains.sampler import Info, Sampler
from plaq.fields.flux import FluxField, couplings, density, lattice_shape, phi_squared
from plaq.ground.arguments import number, require_memory, whole_number
from plaq.ground.progress import Progress
from plaq.ground.rng import Rng, seed_of
from plaq.ground.states import Rebuilt
from plaq.samplers.ensemble import FluxEnsemble

__all__ = ["Worm"]

PIECE_SECONDS = 0.25
"""Time of one call into the core, between two looks at the progress bar."""

LEAST_VISITS = 256
"""Fewer to an update would take less time than the call of one."""

Drawn = tuple[NDArray[np.int32], NDArray[np.int32], dict[str, NDArray[np.float64]]]


class Worm(Rebuilt, Sampler[FluxField]):
    r"""Worm algorithm for a complex scalar field at chemical potential, without a sign problem.

    :math:`S = \sum_x \big[\eta|\phi_x|^2 + \lambda|\phi_x|^4 - \sum_\nu (e^{\mu\delta_{\nu t}}\phi^*_x\phi_{x+\hat\nu}
    + e^{-\mu\delta_{\nu t}}\phi^*_x\phi_{x-\hat\nu})\big]`, :math:`\eta = 2D + m^2`, is sampled as conserved fluxes k
    and pairs l with real positive weights (arXiv 1206.2954, 2103.14686):

    .. math:: Z = \sum_{k,l} \prod_{x,\nu} \frac{1}{(|k_{x,\nu}|+l_{x,\nu})!\, l_{x,\nu}!}
              \prod_x e^{\mu k_{x,t}}\, W(f_x)\, \delta_{(\nabla k)_x, 0}.

    Open worms, with weight c, are configurations with :math:`\phi_u\phi^*_v` inserted; observables are averaged over
    the closed ones, and the open ones give the propagator.

    Parameters
    ----------
    shape : sequence of int
        One to four extents, each at least 2, time last.
    eta, lam : float
        Couplings; `lam` at least 0. With ``lam=0`` (free theory) :math:`\cosh\mu < 1 + m^2/2`.
    mu : float
        Chemical potential.
    visits : int, optional
        Closed configurations an update averages over, by default one for each link, and at least 256. An update ends at
        the last.
    log_open : float, optional
        Logarithm of the weight c of open worms. None adapts it in the warm-up until about one configuration in five is
        closed; then it stays, and ``chain.tuned`` has it. Without a warm-up
        :math:`c = 1/V^2 W(2) W(0)^{-1}` or less is used, for which closed ones prevail even in the condensed phase.
        The law of closed configurations does not depend on it.

    Attributes
    ----------
    shape, eta, lam, mu, visits, log_open
        As given.

    Raises
    ------
    TypeError, ValueError
        Wrong shape or couplings: ``lam < 0``; a free theory beyond its range, with the bound; an extent below 2.

    Notes
    -----
    ``info``: ``steps`` (each a trial of an l and of the worm), ``closed_fraction``, ``worms``, ``head_steps``,
    ``link_acceptance``.

    Examples
    --------
    >>> import plaq as pq
    >>> worm = pq.Worm((4, 8), eta=4.25, lam=1.0, mu=1.0)
    >>> chain = worm.run(pq.flux.FluxField.cold((4, 8)), 200, warmup=50, rng=1, progress=False)
    >>> bool(chain.estimate("density").mean > 0)
    True
    >>> worm.sample(10, thin=5, rng=1, progress=False).k.shape
    (10, 2, 4, 8)
    """

    _chosen: Worm | None = None

    def __init__(
        self,
        shape: Sequence[int],
        *,
        eta: float,
        lam: float,
        mu: float,
        visits: int | None = None,
        log_open: float | None = None,
    ) -> None:
        self.shape: tuple[int, ...] = lattice_shape(shape)
        self.eta, self.lam = couplings(eta, lam)
        self.mu: float = number("mu", mu)
        links = len(self.shape) * math.prod(self.shape)
        self.visits: int = whole_number("visits", max(links, LEAST_VISITS) if visits is None else visits, 1)
        self.log_open: float | None = None if log_open is None else number("log_open", log_open)
        self._rebuild()

    def _rebuild(self) -> None:
        self._core = WormCore(list(self.shape), self.eta, self.lam, self.mu, self.visits, self.log_open)

    def _checked(self, state: Any) -> FluxField:
        if not isinstance(state, FluxField):
            raise TypeError(
                f"the state is a FluxField; got {type(state).__name__}: start from plaq.flux.FluxField.cold(shape)"
            )
        if state.shape != self.shape:
            raise ValueError(f"the fluxes live on {state.shape} and the worm on {self.shape}; they must agree")
        return state

    def _draw(self, k: Any, l: Any, draws: int, thin: int, seed: int, sweep: int) -> Drawn:
        return self._core.sample(k.ravel(), l.ravel(), draws, thin, seed, sweep, 0)

    def advance(self, state: FluxField, seed: int, sweep: int) -> tuple[FluxField, Info]:
        """One update; see :meth:`plaq.Sampler.advance`."""
        start = self._checked(state)
        seed, sweep = whole_number("seed", seed, 0, 2**64 - 1), whole_number("sweep", sweep, 0, 2**40 - 1)
        k, l, found = self._draw(start.k, start.l, 1, 1, seed, sweep)
        means = {name: float(found[name][0]) for name in ("density", "phi2")} | {"correlator": found["correlator"]}
        info: Info = {name: float(values[0]) for name, values in _info(found).items()}
        return FluxField._of_update(k.reshape(start.k.shape), l.reshape(start.k.shape), means), info

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        facts = {"eta": self.eta, "lam": self.lam, "mu": self.mu, "visits": self.visits}
        return {"shape": list(self.shape), **facts, "log_open": self.log_open}

    def default_observables(self, state: FluxField) -> dict[str, Callable[[FluxField], Any]]:
        """Density and mean of abs(phi)^2, averaged over the closed configurations of each update."""
        self._checked(state)
        return {"density": self._density, "phi2": self._phi2}

    def _density(self, state: FluxField) -> Any:
        return state.means["density"] if state.means else density(state.k)

    def _phi2(self, state: FluxField) -> Any:
        return state.means["phi2"] if state.means else phi_squared(state.k, state.l, self.eta, self.lam)

    def tuning(self, state: FluxField, seed: int) -> dict[str, Any] | None:
        """The weight of open worms at the start of a warm-up; None if it was given."""
        return None if self.log_open is not None else {"log_open": self._core.log_open, "updates": 0}

    def tuned(self, facts: dict[str, Any]) -> Worm:
        """The same worm with a given weight of open worms."""
        if self.log_open is not None:
            return self
        if self._chosen is None or self._chosen.log_open != facts["log_open"]:
            twin = copy.copy(self)
            twin.log_open, twin._chosen = float(facts["log_open"]), None
            twin._rebuild()
            self._chosen = twin
        return self._chosen

    def learn(self, facts: dict[str, Any], info: Info) -> dict[str, Any]:
        """The weight after one more update of the warm-up, moved so that a fifth of the steps are closed."""
        steps, done = int(info["steps"]), int(facts["updates"])
        visits = round(info["closed_fraction"] * steps)
        return {"log_open": worm_adapted(facts["log_open"], done, steps, visits), "updates": done + 1}

    def sample(
        self,
        n: int,
        *,
        thin: int = 5,
        warmup: int = 300,
        chains: int = 1,
        start: FluxField | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> FluxEnsemble:
        """Configurations with their observables, without Python between the updates; chains run in parallel.

        Ctrl-C ends the sampling and returns what was drawn. The random numbers are those of :meth:`run` with the same
        seed, so one chain has the same bits either way, for any number of threads.

        Parameters
        ----------
        n : int
            Configurations to keep, of all chains together.
        thin : int
            Updates between them.
        warmup : int
            Updates of each chain before the first; the weight of open worms is adapted in them.
        chains : int
            Independent chains.
        start : FluxField, optional
            Start of every chain, by default no flux.
        progress : bool
            Show a progress bar.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed.

        Returns
        -------
        FluxEnsemble
            Chain after chain.

        Raises
        ------
        TypeError, ValueError
            Wrong arguments, or more than fits into memory.
        """
        n, thin, warmup = whole_number("n", n), whole_number("thin", thin), whole_number("warmup", warmup, 0)
        chains = whole_number("chains", chains, 1, min(n, 2**20))
        first = self._checked(FluxField.cold(self.shape) if start is None else start)
        require_memory(f"{n} configurations of {first.k.size} links", 3 * n * first.k.size * 8, 1)
        seed = seed_of(rng)
        k, l = (np.repeat(array[None], chains, axis=0) for array in (first.k, first.l))
        sampler, tuned = self, self.tuning(first, seed)
        parts: list[Drawn] = []
        interrupted = False
        try:
            k, l, tuned = self._warm(k, l, tuned, warmup, seed, progress)
            sampler = self if tuned is None else self.tuned(tuned)
            sampler._collect(parts, k, l, chains, -(-n // chains), thin, warmup, seed, progress)
        except KeyboardInterrupt:
            if not parts:
                raise
            interrupted = True
        return _ensemble(sampler, parts, n, chains, self._facts(seed, thin, warmup, tuned, interrupted))

    def _warm(self, k: Any, l: Any, tuned: Any, warmup: int, seed: int, show: bool) -> tuple[Any, Any, Any]:
        bar = Progress(warmup, "warm-up", lambda: "", enabled=show)
        for sweep in range(warmup):
            sampler = self if tuned is None else self.tuned(tuned)
            k, l, found = sampler._draw(k, l, 1, 1, seed, sweep)
            steps, visits = found["steps"].sum(), found["visits"].sum()
            tuned = None if tuned is None else self.learn(tuned, {"steps": steps, "closed_fraction": visits / steps})
            bar.update(sweep + 1)
        bar.close(warmup)
        return k, l, tuned

    def _collect(
        self,
        parts: list[Drawn],
        k: Any,
        l: Any,
        chains: int,
        draws: int,
        thin: int,
        warmup: int,
        seed: int,
        show: bool,
    ) -> None:
        size = len(self.shape) * math.prod(self.shape)
        bar, done, piece = Progress(draws * chains, "configurations", lambda: "", enabled=show), 0, 1
        try:
            while done < draws:
                start = time.perf_counter()
                piece = min(piece, draws - done)
                k, l, found = self._draw(k, l, piece, thin, seed, warmup + done * thin)
                k, l = (array.reshape(chains, piece, size) for array in (k, l))
                parts.append((k, l, {name: values.reshape(chains, piece, -1) for name, values in found.items()}))
                k, l, done = k[:, -1], l[:, -1], done + piece
                bar.update(done * chains)
                used = max(time.perf_counter() - start, 1e-6)
                piece = max(1, min(int(piece * PIECE_SECONDS / used), 4 * piece))
        finally:
            bar.close(done * chains)

    def _facts(self, seed: int, thin: int, warmup: int, tuned: Any, interrupted: bool) -> dict[str, Any]:
        fingerprint = {"sampler": {"class": "Worm"} | self.fingerprint(), "warmup": warmup, "thin": thin}
        return {
            "seed": seed,
            "warmup": warmup,
            "thin": thin,
            "tuned": tuned,
            "interrupted": interrupted,
            "incomplete": interrupted,
            "fingerprint": fingerprint,
        }

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<Worm {size}, eta {self.eta:g}, lam {self.lam:g}, mu {self.mu:g}>"


def _info(found: dict[str, Any]) -> dict[str, Any]:
    steps = found["steps"]
    return {
        "steps": steps,
        "closed_fraction": found["visits"] / steps,
        "worms": found["worms"],
        "head_steps": found["head_steps"],
        "link_acceptance": found["link_changes"] / steps,
    }


def _ensemble(worm: Worm, parts: list[Drawn], n: int, chains: int, facts: dict[str, Any]) -> FluxEnsemble:
    """The draws of all chains, chain after chain, with the last ones left out where they are more than n."""
    k, l = (np.concatenate([part[j] for part in parts], axis=1) for j in (0, 1))
    draws = k.shape[1]
    n = min(n, draws * chains)
    lengths = [draws] * chains
    for extra in range(draws * chains - n):
        lengths[-1 - extra % chains] -= 1
    kept = np.arange(draws) < np.array(lengths)[:, None]
    shape = (n, len(worm.shape), *worm.shape)
    k, l = k[kept].reshape(shape), l[kept].reshape(shape)
    found = {name: np.concatenate([part[2][name] for part in parts], axis=1)[kept] for name in parts[0][2]}
    correlator = found.pop("correlator").reshape(n, -1, worm.shape[-1]).sum(axis=1)
    found = {name: values[:, 0] for name, values in found.items()}
    per_configuration = {
        "configuration_density": density(k, ndim=len(worm.shape)),
        "configuration_phi2": phi_squared(k, l, worm.eta, worm.lam, ndim=len(worm.shape)),
    }
    means = {"density": found["density"], "phi2": found["phi2"], "time_correlator": correlator}
    end = [FluxField(k[-1], l[-1])] if chains == 1 else [None]
    chain = Chain(
        means | per_configuration,
        _info(found),
        end[0],
        sweep=facts["warmup"] + facts["thin"] * draws,
        replicas=lengths if chains > 1 else (),
        **facts,
    )
    return FluxEnsemble(k, l, worm.eta, worm.lam, worm.mu, chain)
