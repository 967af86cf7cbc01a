"""Self-learning Monte Carlo of the spin-fermion model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from inspect import signature
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import SpinProposerCore
from plaq.chains.chain import Chain
from plaq.chains.sampler import run
from plaq.ground.arguments import instance, unknown, whole_number
from plaq.ground.names import outside
from plaq.ground.rng import Rng, counter, seed_of
from plaq.spin.annealing import Annealing, Plan
from plaq.spin.attention import EquivariantAttention
from plaq.spin.effective import Effective, LinearSpinModel, check_ridge, predicted_acceptance
from plaq.spin.fermions import SpinFermion
from plaq.spin.metropolis import SpinSampler, positive
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize

__all__ = ["SelfLearningMC"]

Array = NDArray[np.float64]
Info = dict[str, float | bool | int]
Inner = Literal["auto", "heatbath", "metropolis", "hmc"]
NOT_OPTIONS = ("self", "spins", "log_weight", "checkpoint")
"""Arguments of `EquivariantAttention.fit` that are not options of an annealing."""
LONG_ENOUGH = 30
"""Draws after which a chain without any accepted proposal is reported."""
LEAST_INNER = 0.05
"""Mean acceptance inside the inner chain below which it is reported."""


class SelfLearningMC(SpinSampler):
    """Self-learning Monte Carlo: a chain of the effective model proposes, the exact weight decides.

    ``A = min(1, W(S') W_eff(S) / (W(S) W_eff(S')))`` (Liu, Qi, Meng, Fu, PRB 95, 041101) is exact for every effective
    model: a bad one costs acceptance only. Inner chains are palindromes of local updates or HMC, so they satisfy
    detailed balance.

    Parameters
    ----------
    model : SpinFermion
        The exact model.
    effective : LinearSpinModel or EquivariantAttention
        The effective model, on the same lattice.
    sweeps : int
        Linear model: local sweeps each way; network: HMC trajectories (or Metropolis sweeps each way).
    overrelaxation : int
        Linear model: reflections of all spins after every sweep.
    inner : "auto", "heatbath", "metropolis" or "hmc"
        Inner updates; "auto" is the heat bath for a linear model and HMC on the spheres for a network, where a local
        change moves every output.
    width : float
        Width of local Metropolis proposals.
    hmc_steps, hmc_step_size : int, float
        Leapfrog steps and step size; one step is Langevin (MALA).

    Settings are fixed when the sampler is made; parameters of the effective model may change at any time.

    Raises
    ------
    TypeError, ValueError
        No models, shapes that differ, settings out of range.

    Examples
    --------
    >>> import plaq as pq
    >>> model = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    >>> S = pq.spin.random((4, 4), rng=1, count=200)
    >>> effective = pq.LinearSpinModel((4, 4), 3)
    >>> history = effective.fit(S, model.log_weight(S))
    >>> chain = pq.SelfLearningMC(model, effective).run(S[0], 100, rng=2, progress=False)
    >>> chain.acceptance > 0.7
    True
    """

    _fixed = frozenset(
        {"model", "effective", "sweeps", "overrelaxation", "inner", "width", "hmc_steps", "hmc_step_size"}
    )
    _remedy = "make another sampler, as in SelfLearningMC(model, effective, sweeps=5); .at(T) changes the temperature"

    def __init__(
        self,
        model: SpinFermion,
        effective: LinearSpinModel | EquivariantAttention,
        *,
        sweeps: int = 10,
        overrelaxation: int = 1,
        inner: Inner = "auto",
        width: float = 0.8,
        hmc_steps: int = 8,
        hmc_step_size: float = 0.2,
    ) -> None:
        instance("model", model, SpinFermion, "a plaq.SpinFermion")
        instance("effective", effective, Effective, "a plaq.LinearSpinModel or plaq.EquivariantAttention")
        if model.shape != effective.shape:
            raise ValueError(
                f"the model has shape {model.shape}, the effective model {effective.shape}; "
                f"use effective.on({model.shape})"
            )
        linear = isinstance(effective, LinearSpinModel)
        self.inner: Inner = ("heatbath" if linear else "hmc") if inner == "auto" else inner
        self.model, self.effective = model, effective
        self.sweeps, self.overrelaxation = (
            whole_number("sweeps", sweeps, 1),
            whole_number("overrelaxation", overrelaxation, 0),
        )
        self.hmc_steps = whole_number("hmc_steps", hmc_steps, 1)
        self.hmc_step_size = positive("hmc_step_size", hmc_step_size)
        self.width = positive("width", width)
        self._proposer, self._parameters = self._make_proposer(), effective.parameters.copy()
        self.samples: tuple[Array, Array] | None = None

    _compiled = ("_proposer",)

    def _rebuild(self) -> None:
        self._proposer = self._make_proposer()

    def _make_proposer(self) -> SpinProposerCore:
        return SpinProposerCore(
            self.effective._core,
            self.inner,
            self.sweeps,
            self.overrelaxation,
            self.width,
            self.hmc_steps,
            self.hmc_step_size,
        )

    def _current(self) -> SpinProposerCore:
        parameters = self.effective.parameters
        if not np.array_equal(parameters, self._parameters):
            self._proposer, self._parameters = self._make_proposer(), parameters.copy()
        return self._proposer

    def propose(self, state: ArrayLike, *, rng: Rng) -> tuple[Array, float]:
        """One inner chain without the exact test: spins and acceptance inside the chain."""
        flat, acceptance = self._current().propose(self._row(state), seed_of(rng), 0)
        return flat.reshape(*self.model.shape, 3), acceptance

    def advance(self, state: Array, seed: int, sweep: int) -> tuple[Array, Info]:
        """One outer step.

        `info` has ``accepted`` (an inner chain that accepted nothing proposes the state itself, which does not count),
        ``log_weight``, ``residual`` and ``proposed_residual`` (``log W_eff - log W`` of the
        state and of the proposal) and ``inner_acceptance``.
        """
        new, report = self._outer(state, seed, sweep)
        names = ("accepted", "log_weight", "residual", "proposed_residual", "inner_acceptance")
        return new, {name: report[name] for name in names}

    def _outer(self, state: Array, seed: int, sweep: int) -> tuple[Array, dict[str, Any]]:
        row = self._row(state)
        flat, report = self._current().step(self.model._core, row, self._known(row), *counter(seed, sweep))
        report["accepted"] = bool(report["accepted"] and report["inner_acceptance"] > 0)
        return self._state(flat, report["log_weight"]), report

    def fingerprint(self) -> dict[str, Any]:
        """Physics input, architecture and a hash of the parameters."""
        names = ("inner", "sweeps", "overrelaxation", "width", "hmc_steps", "hmc_step_size")
        knobs = {name: getattr(self, name) for name in names}
        return {"model": self.model.facts(), "effective": self.effective.facts()} | knobs

    def run(self, state: Array, draws: int, **options: Any) -> Chain:
        """Sample a chain; the options are those of ``plaq.sampler.run``.

        Warns
        -----
        RuntimeWarning
            In 30 draws or more no proposal was accepted (the message has the acceptance predicted from the residuals),
            or the inner chain accepts less than 5 % of its moves.
        """
        chain = run(self, state, draws, **options)
        if len(chain) >= LONG_ENOUGH:
            self._report_frozen(chain)
        return chain

    def _report_frozen(self, chain: Chain) -> None:
        spread = float(np.var(chain.info["proposed_residual"]))
        inner = float(np.mean(chain.info["inner_acceptance"]))
        if inner < LEAST_INNER:
            text = (
                f"the inner chain accepts only {inner:.2g} of its moves, so that proposals equal the state and their "
                "acceptance means nothing; make hmc_step_size or width smaller"
            )
        elif not np.any(chain.info["accepted"]):
            text = (
                f"none of {len(chain)} proposals was accepted: the chain is frozen. The residuals of log W have "
                f"variance {spread:.3g}, which predicts an acceptance of {predicted_acceptance(spread):.2g} in "
                "equilibrium; if that is fair, start from spins of SpinMetropolis; else train the effective model at "
                "this temperature (SelfLearningMC.train anneals)"
            )
        else:
            return
        warnings.warn(text, RuntimeWarning, stacklevel=outside())

    def train(
        self,
        state: Array,
        *,
        temperatures: Sequence[float] | None = None,
        rounds: int = 4,
        draws: int = 200,
        ridge: float = 1e-3,
        fit: dict[str, Any] | None = None,
        patience: int | None = None,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> History:
        """Anneal and train on policy: chains of the current model give data, accepted and rejected, for the next.

        At every temperature the couplings are rescaled by the ratio of temperatures, then each round draws
        proposals, adds
        all of them to the data of this temperature and fits: couplings by ridge regression, and for a network with
        blocks `EquivariantAttention.fit` with the options `fit`. The effective model is changed in place; the data
        of the last temperature stay in ``.samples`` = (spins, log_weight) for further training.

        Parameters
        ----------
        state : ndarray, shape (L_x, L_y, 3)
            Start of the chain.
        temperatures : sequence of float, optional
            Annealing schedule, ended by the temperature of the model (added if it is not there).
        rounds, draws : int
            Rounds at each temperature and outer steps in each.
        ridge : float
            Penalty of :meth:`LinearSpinModel.fit`.
        fit : dict, optional
            Options of :meth:`EquivariantAttention.fit` (``steps``, ``batch``, ``optimizer``, ...) for networks with
            blocks.
        patience : int, optional
            Leave a temperature after so many rounds whose acceptance did not grow.
        checkpoint : path, optional
            File, written at the start, after every round (less often if that takes more than a tenth of the time) and
            at the end, from which the same call continues an interrupted training to the same bits. Parameters come
            from the file, whatever those of the effective model are by then.
        progress : bool
            Show a progress bar.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed.

        Returns
        -------
        History
            ``epoch`` (round), ``temperature``, ``acceptance`` (measured before the fit), ``mse`` (of the new model
            on the data), ``predicted`` = erfc(sqrt(mse)/2), ``samples``. Ctrl-C ends the training after the last
            complete round, with its model and data (``history.interrupted``).

        Raises
        ------
        ValueError, TypeError
            Wrong arguments, NaN in training.
        CheckpointError
            The file is damaged or belongs to another training.
        OSError
            The checkpoint cannot be written, which is tried before the training.
        Exception
            Of any kind: what is raised during training carries the records so far as ``.history``.

        Warns
        -----
        RuntimeWarning
            The last round at a temperature accepted nothing: the chain was frozen (the message has the acceptance that
            the residuals predict).
        """
        checkpoint_path(checkpoint)
        schedule = _schedule(temperatures, self.model.T)
        if fit and not (isinstance(self.effective, EquivariantAttention) and self.effective.layers):
            raise ValueError(
                "fit has options for networks with blocks; a linear model is fitted by least squares, see ridge"
            )
        known = [name for name in signature(EquivariantAttention.fit).parameters if name not in NOT_OPTIONS]
        for name in fit or ():
            if name not in known:
                raise ValueError(unknown("option of fit", name, known))
        plan = Plan(
            schedule,
            whole_number("rounds", rounds, 1),
            whole_number("draws", draws, 1),
            check_ridge(ridge),
            dict(fit or {}),
            None if patience is None else whole_number("patience", patience, 1),
            seed_of(rng),
        )
        start = self._row(state).reshape(*self.model.shape, 3)
        run = Annealing(self, start, plan)
        _, history = minimize(run, epochs=run.total, checkpoint=checkpoint, progress=progress, facts=run.facts)
        return history

    def at(self, T: float) -> SelfLearningMC:
        """The same sampler (and the same effective model object) at another temperature of the exact model."""
        return SelfLearningMC(
            self.model.at(T),
            self.effective,
            sweeps=self.sweeps,
            overrelaxation=self.overrelaxation,
            inner=self.inner,
            width=self.width,
            hmc_steps=self.hmc_steps,
            hmc_step_size=self.hmc_step_size,
        )

    def __repr__(self) -> str:
        return f"SelfLearningMC({self.model!r}, {self.effective!r}, inner={self.inner!r}, sweeps={self.sweeps})"


def _schedule(temperatures: Sequence[float] | None, last: float) -> list[float]:
    """Temperatures of an annealing, ended by that of the model."""
    try:
        schedule = [] if temperatures is None else [float(T) for T in temperatures]
    except TypeError:
        raise TypeError(f"temperatures = {temperatures!r}: give a sequence of numbers, as in [0.2, 0.1]") from None
    if not all(0 < T < np.inf for T in schedule):
        raise ValueError(f"temperatures = {schedule}: each is positive and finite")
    return schedule if schedule and schedule[-1] == last else [*schedule, last]
