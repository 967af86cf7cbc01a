"""Self-learning hybrid Monte Carlo (arXiv 2103.11965): propose with a learned action, accept with the exact one."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.concepts import Action, Map, Scaled, Sum, Vector, checked_action
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import one_of, sequence, whole_number
from plaq.ground.names import outside
from plaq.ground.rng import Rng, seed_of
from plaq.samplers.hmc import HMC, Level
from plaq.samplers.tuning import Tuning
from plaq.training.batches import batch_size, held_back
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.loss import digest
from plaq.training.minimize import minimize
from plaq.training.on_policy import LOSSES, OnPolicy, loss_of, pairs
from plaq.training.optimizers import Adam, Optimizer, Schedule, scheduled

__all__ = ["SelfLearningHMC"]

STORED = ["mean_square", "variance", "force"]
"""Losses that need no trajectory."""
TRIALS = 8
"""Trajectories that compare the coefficients before and after a training."""
SIGMAS = 2.0
"""Standard errors of their difference that count."""
NOTICED = 0.1
"""Growth of delta_h^2 that counts."""
DIVERGED = 50.0
"""delta_h of a trajectory that ends anywhere."""


class SelfLearningHMC(HMC):
    r"""Hybrid Monte Carlo that moves with one action and is tested with another.

    Momenta and pseudofermions are drawn with the target, molecular dynamics follows the force of the proposal with the
    same pseudofermions, and the end is accepted with :math:`\min(1, e^{-\Delta H_\mathrm{target}})`. The dynamics is
    reversible and keeps the volume whatever the proposal is, so the target is sampled exactly; a good proposal only
    makes the acceptance high. Terms that both actions have are kept as they are; quarks of the proposal take the
    pseudofermions of the quarks of the target in their order.

    Parameters
    ----------
    target : Action
        What is sampled.
    proposal : Action
        What moves the field, such as ``Wilson(2.7) + Mapped(Pseudofermion(Staggered(mass=0.4), n_flavors=4), net)``.
        Copied; :meth:`train` and :meth:`fit` change the copy, ``sampler.proposal``.
    length, integrator, on_failure
        As of :class:`plaq.HMC`.
    steps : int, optional
        Steps of the outermost level. None takes the number at which a trial trajectory of the proposal alone keeps its
        own energy to 1.
    levels : sequence of (Action, int) or (Action, int, str), optional
        As of :class:`plaq.HMC`, of terms of the proposal.

    Raises
    ------
    TypeError, ValueError
        As of :class:`plaq.HMC`; a proposal with quarks that the target does not have, or whose boundary conditions are
        others; at the first trajectory: quarks of another kind.

    Notes
    -----
    ``info`` is that of :class:`plaq.HMC`, ``delta_h`` that of the target.

    Examples
    --------
    >>> import plaq as pq
    >>> quark, dirac = pq.actions.Pseudofermion, pq.dirac.Staggered
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
    >>> target = pq.actions.Wilson(2.7) + quark(dirac(mass=0.3), n_flavors=4)
    >>> proposal = pq.actions.Wilson(2.7) + pq.actions.Mapped(quark(dirac(mass=0.4), n_flavors=4), net)
    >>> sampler = pq.SelfLearningHMC(target, proposal, steps=8)
    >>> U = pq.GaugeField.cold((4, 4, 4, 4), "SU(2)")
    >>> history = sampler.train(U, steps=10, progress=False, rng=1)
    >>> chain = sampler.run(U, 4, rng=2, progress=False)
    >>> len(history.loss), sampler.parameters.shape, len(chain)
    (10, (1,), 4)
    """

    _remedy = (
        "the proposal is too far from the target: train it with loss='change', take masses nearer to those of the "
        "target, or more steps if plaq.HMC of the proposal alone does not conserve its energy either"
    )

    def __init__(
        self,
        target: Action,
        proposal: Action,
        *,
        length: float = 1.0,
        steps: int | None = None,
        integrator: str = "omelyan2",
        levels: Sequence[Level] | None = None,
        on_failure: str = "raise",
    ) -> None:
        checked_action("target", target)
        checked_action("proposal", proposal)
        if target.field_class is not GaugeField or proposal.field_class is not GaugeField:
            raise TypeError("target and proposal are actions of gauge fields")
        self.proposal: Action = proposal.with_parameters(proposal.parameters)
        self._numbers, self._terms = _matched(target, proposal)
        self._named = proposal
        super().__init__(
            target, length=length, steps=steps, integrator=integrator, levels=levels, on_failure=on_failure
        )
        del self._named

    @property
    def target(self) -> Action:
        """The action that is sampled."""
        return self.action

    @property
    def networks(self) -> list[Map]:
        """The networks of the proposal with the coefficients that they have now, in the order of its terms; copies.

        Those that the proposal was made of stay as they were: save a trained one as ``sampler.networks[0].save(path)``.
        """
        found = []
        for term in self.proposal.terms():
            while isinstance(term, Scaled):
                term = term.action
            net = getattr(term, "net", None)
            if isinstance(net, Map):
                found.append(net.copy())
        return found

    @property
    def parameters(self) -> Vector:
        """The coefficients of the proposal; can be set."""
        return self.proposal.parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        # Terms stay what they are, so that numbers and partners do too.
        self.proposal, self._chosen = self.proposal.with_parameters(values), None
        self._rebuild()

    def _spec(self) -> dict[str, Any]:
        proposed = self.proposal.terms()
        terms = [term if number is None else term | {"action": proposed[number].spec()} for term, number in self._terms]
        return super()._spec() | {"terms": terms}

    def _functions(self) -> list[Any]:
        proposed = [number for _, number in self._terms if number is not None]
        return self.action.functions() + [f for n in proposed for f in self.proposal.terms()[n].functions()]

    def _time_scales(self) -> list[tuple[list[int], int | None, str]]:
        # Levels name terms as they were given: the copies have networks of their own.
        scales = self._scales_of(self._named)
        return [([self._numbers[n] for n in terms], steps, name) for terms, steps, name in scales]

    def tuning(self, state: Any, seed: int) -> dict[str, Any] | None:
        """Steps at which a trial trajectory of the proposal keeps its energy to 1; None if they were given."""
        if self.steps is not None:
            return None
        return self._alone().tuning(state, seed)

    def learn(self, facts: dict[str, Any], info: Any) -> dict[str, Any]:
        """The same steps: delta_h of the target does not vanish with them."""
        return facts

    def tune(self, state: GaugeField, *, trajectories: int = 10, acceptance: float | None = None, rng: Rng) -> Tuning:
        """Steps at which the proposal keeps its own energy; see :meth:`plaq.HMC.tune`.

        More steps do not make the target's delta_h vanish, so `acceptance` is the one that a
        :class:`plaq.HMC` of the proposal alone would have; that of this sampler is at most about as large.

        Parameters
        ----------
        state, trajectories, acceptance, rng
            As of :meth:`plaq.HMC.tune`.

        Returns
        -------
        plaq.sampler.Tuning

        Raises
        ------
        TypeError, ValueError, ConvergenceError
            As of :meth:`plaq.HMC.tune`.

        Examples
        --------
        >>> import plaq as pq
        >>> sampler = pq.SelfLearningHMC(pq.actions.Wilson(2.0), pq.actions.Wilson(1.8), steps=5)
        >>> found = sampler.tune(pq.GaugeField.cold((8, 8), "U(1)"), rng=1)
        >>> type(found.sampler).__name__
        'SelfLearningHMC'
        """
        found = self._alone().tune(self._checked(state), trajectories=trajectories, acceptance=acceptance, rng=rng)
        note = "energies of the proposal; the target decides on the acceptance of the chain"
        return replace(found, sampler=self._with_steps(found.steps), note=note)

    def _alone(self) -> HMC:
        """The proposal by itself, with the same levels."""
        terms = self.proposal.terms()
        back = {number: terms[n] for n, number in enumerate(self._numbers)}
        levels = [(Sum(tuple(back[n] for n in numbers)), steps or 1, name) for numbers, steps, name in self._scales[1:]]
        return HMC(
            self.proposal,
            length=self.length,
            steps=self.steps,
            integrator=self.integrator,
            levels=levels,
            on_failure=self.on_failure,
        )

    def fingerprint(self) -> dict[str, Any]:
        """The physics input; the proposal with its coefficients is part of it."""
        return super().fingerprint() | {"proposal": self.proposal.spec()}

    def train(
        self,
        start: GaugeField,
        *,
        loss: str = "mean_square",
        steps: int = 100,
        batch: int = 1,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: Sequence[GaugeField] | None = None,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> History:
        r"""Train on policy: every step runs trajectories with the present proposal and learns from their ends.

        :math:`d = S_\mathrm{proposal} - S_\mathrm{target}` at the end of a trajectory, accepted or not, with its
        pseudofermion; its derivative is found by the extended delta rule, with one solve for value and derivative.
        What is drawn here is no sample of the target, because the proposal changes: it is not kept. Run the sampler
        afterwards.

        Parameters
        ----------
        start : GaugeField
            Start of the chain; ``history`` has no fields, ``sampler.trained`` is the last one, a start for :meth:`run`.
        loss : {"mean_square", "variance", "change", "force"}
            Mean of :math:`d^2` over a batch (as published); its variance, which does not see a constant (batch at least
            2); mean square of d at the end minus d at the start, the error that the Metropolis test sees; mean of
            :math:`|F_\mathrm{proposal} - F_\mathrm{target}|^2` per link at the end, with :math:`\langle F, F\rangle` of
            :meth:`plaq.actions.Action.force`; its derivative takes four more solves.
        steps, batch : int
            Steps of the optimiser, and trajectories in each.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            By default ``Adam(1e-3)``.
        schedule : optional
            Factor of the learning rate.
        validation : sequence of GaugeField, optional
            Held-back configurations: after every step the loss on them (``"variance"`` for ``"change"``), with
            pseudofermions that stay the same; the coefficients with the smallest are kept, and those of the start are
            among them. Without it: the last ones, unless a few trial trajectories from the last field, with the same
            momenta and pseudofermions for both, have a mean square of delta_h that is larger than with those of the
            start by more than two standard errors and a tenth. If those of the start are kept there is a
            RuntimeWarning.
        patience : int, optional
            Steps without a better validation loss after which training ends.
        checkpoint : path, optional
            File from which the same training goes on to the same bits: coefficients, optimiser, field, counters.
        progress : bool
            Show progress.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed.

        Returns
        -------
        History
            ``step, loss, acceptance, delta_h`` (mean), ``difference`` (mean of d), ``gradient_norm``,
            ``learning_rate`` and, if asked for, ``validation``. Ctrl-C ends the training (``history.interrupted``).

        Raises
        ------
        TypeError, ValueError
            Wrong arguments; a proposal without coefficients; a loss that is not finite: the coefficients of the
            smallest loss are kept, and the error has the records as ``.history``.
        CheckpointError, OSError
            As of :meth:`plaq.CovariantNet.fit`.
        """
        checkpoint_path(checkpoint)
        one_of("loss", loss, LOSSES)
        count, size = whole_number("steps", steps, 1), whole_number("batch", batch, 2 if loss == "variance" else 1)
        rule = scheduled(optimizer, schedule, Adam(1e-3))
        seed, field = seed_of(rng), self._checked(start)
        self._require_parameters()
        before = self.parameters
        sampler = self if self.steps is not None else self.tuned(self.tuning(field, seed) or {})
        score = None
        if validation is not None:
            held = self._checked_fields("validation", validation)
            score = self._loss_on(held, "variance" if loss == "change" else loss, seed)
        tuned: Any = sampler
        objective = OnPolicy(sampler._core, field._core, self.parameters, loss, size, rule, seed, score, self._keep)
        facts = self._facts(loss, seed) | {"batch": size, "rule": repr(rule)}
        facts |= {"start": digest([field]), "held": digest([] if validation is None else held)}
        try:
            _, history = minimize(
                objective, epochs=count, patience=patience, checkpoint=checkpoint, progress=progress, facts=facts
            )
        finally:
            self.trained: GaugeField = GaugeField(objective.field)
        if validation is not None:
            self._warn_of_start(history.kept == 0, "on the configurations of validation the loss is smallest before it")
        elif not history.interrupted:
            self._keep_better(tuned, before, seed, count * size, history)
        return history

    def _keep_better(self, sampler: SelfLearningHMC, before: Vector, seed: int, first: int, history: History) -> None:
        """The coefficients of the start, if trial trajectories with them end nearer to the target."""
        if np.array_equal(before, self.parameters):
            return
        changes = [sampler._trials(self.trained, each, seed, first) for each in (before, self.parameters)]
        grown = changes[1] ** 2 - changes[0] ** 2
        noise = SIGMAS * float(grown.std(ddof=1)) / math.sqrt(TRIALS)
        worse = float(grown.mean()) > max(noise, NOTICED * float(np.mean(changes[0] ** 2)))
        if worse:
            self.parameters, history.kept = before, 0
        rates = [float(np.exp(-np.clip(each, 0.0, None)).mean()) for each in changes]
        about = f"trial trajectories are accepted with {rates[0]:.2g} before and {rates[1]:.2g} after it"
        self._warn_of_start(
            worse, f"{about} (delta_h^2 = {np.mean(changes[0] ** 2):.2g}, {np.mean(changes[1] ** 2):.2g})"
        )

    def _trials(self, field: GaugeField, parameters: Vector, seed: int, first: int) -> Vector:
        """delta_h of trajectories from one field, each with the noise of its number, at most DIVERGED."""
        found = []
        for n in range(TRIALS):
            try:
                change = self._core.learn(field._core, seed, first + n, parameters, False)[1]["delta_h"]
            except _plaq.ConvergenceError:
                change = np.inf
            found.append(min(change, DIVERGED) if np.isfinite(change) else DIVERGED)
        return np.array(found)

    def _warn_of_start(self, kept: bool, why: str) -> None:
        if kept:
            warnings.warn(
                f"the training made the proposal no better: {why}; the coefficients of the start are kept. Lower the "
                "learning rate, take more steps or larger batches, or give validation= to keep the best of all steps",
                RuntimeWarning,
                stacklevel=outside(),
            )

    def fit(
        self,
        fields: Sequence[GaugeField],
        *,
        loss: str = "variance",
        epochs: int = 100,
        batch: int | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: float | Sequence[GaugeField] | None = None,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> History:
        r"""Train on stored configurations of the target, each with a pseudofermion of its own that stays the same.

        Parameters
        ----------
        fields : sequence of GaugeField
            Configurations.
        loss : {"variance", "mean_square", "force"}
            Of :math:`d = S_\mathrm{proposal} - S_\mathrm{target}` over a batch; mean square difference of the forces,
            as of :meth:`train`.
        epochs, batch, optimizer, schedule, validation, patience, checkpoint, progress, rng
            As of :meth:`plaq.CovariantNet.fit`; `rng` also fixes the pseudofermions. By default ``Adam(1e-3)``. The
            coefficients of the start are kept, with a RuntimeWarning, if their loss is the smallest.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            Wrong arguments; a proposal without coefficients; a loss that is not finite.
        CheckpointError, OSError
            As of :meth:`plaq.CovariantNet.fit`.

        Examples
        --------
        >>> import plaq as pq
        >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.02])])
        >>> sampler = pq.SelfLearningHMC(pq.actions.Wilson(2.2), pq.actions.Mapped(pq.actions.Wilson(2.0), net))
        >>> U = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(6)]
        >>> history = sampler.fit(U, epochs=5, progress=False, rng=1)
        >>> bool(history.loss[-1] < history.loss[0])
        True
        """
        one_of("loss", loss, STORED)
        chosen, seed = self._checked_fields("fields", fields), seed_of(rng)
        self._require_parameters()
        held: list[GaugeField] = []
        if isinstance(validation, float | int):
            cut = held_back(len(chosen), validation)
            chosen, held = chosen[:cut], chosen[cut:]
        elif validation is not None:
            held = self._checked_fields("validation", validation)
        size = batch_size(batch, len(chosen))
        if loss == "variance" and (size < 2 or len(chosen) % size == 1 or len(held) == 1):
            raise ValueError("a variance needs batches of at least 2 configurations; the smallest has 1")

        def gradient(parameters: Vector, indices: NDArray[np.int64]) -> tuple[float, Vector]:
            return self._loss_of([(chosen[n], n) for n in indices], loss, seed, parameters)

        facts = self._facts(loss, seed) | {"fields": digest(chosen), "held": digest(held)}
        _, history = minimize(
            gradient,
            self.parameters,
            len(chosen),
            epochs=epochs,
            batch=batch,
            optimizer=Adam(1e-3) if optimizer is None else optimizer,
            schedule=schedule,
            validation=self._loss_on(held, loss, seed) if held else None,
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            rng=seed,
            facts=facts,
            keep=self._keep,
        )
        what = "on the held-back configurations" if held else "on the configurations"
        self._warn_of_start(history.kept == 0, f"{what} the loss is smallest before it")
        return history

    def _keep(self, parameters: Vector) -> None:
        self.parameters = parameters

    def _require_parameters(self) -> None:
        if not len(self.parameters):
            raise ValueError(
                "the proposal has no coefficients to train: give it a network, as in "
                "Mapped(Pseudofermion(...), CovariantNet([StoutLayer(['plaquette'])]))"
            )

    def _checked_fields(self, name: str, fields: Sequence[GaugeField]) -> list[GaugeField]:
        return [self._checked(field) for field in sequence(name, fields, GaugeField, "GaugeField")]

    def _loss_on(self, fields: list[GaugeField], loss: str, seed: int) -> Callable[[Vector], float]:
        """The loss on held-back fields, whose pseudofermions are others than those of a training."""
        if loss == "variance" and len(fields) < 2:
            raise ValueError("a variance needs at least 2 configurations to validate with")
        numbered = [(field, n) for n, field in enumerate(fields)]
        return lambda parameters: self._loss_of(numbered, loss, seed ^ 1 << 63, parameters)[0]

    def _loss_of(
        self, numbered: list[tuple[GaugeField, int]], loss: str, seed: int, parameters: Vector
    ) -> tuple[float, Vector]:
        """The loss on stored fields, each with the pseudofermion of its number, and its derivative."""
        fields, draws = [field._core for field, _ in numbered], [(seed, int(n)) for _, n in numbered]
        found = pairs(self._core.lessons(fields, draws, parameters, loss == "force"))
        return loss_of(loss, [(None, end) for end in found])

    def _facts(self, loss: str, seed: int) -> dict[str, Any]:
        """What a checkpoint of a training must agree with: everything but the coefficients."""
        bare = self.proposal.with_parameters(np.zeros(len(self.parameters))).spec()
        return self.fingerprint() | {"proposal": bare, "loss": loss, "seed": seed}


def _matched(target: Action, proposal: Action) -> tuple[list[int], list[tuple[dict[str, Any], int | None]]]:
    """Numbers of the terms of the proposal, and all terms: what the core needs, and which one of the proposal it is."""
    tested, moves = target.terms(), proposal.terms()
    terms: list[tuple[dict[str, Any], int | None]] = [({"action": t.spec(), "role": "tested"}, None) for t in tested]
    numbers: list[int] = []
    for term in moves:
        # A term that is trained is another one than that of the target, though they may be equal at the start.
        fixed = not len(term.parameters)
        same = (n for n, other in enumerate(tested) if fixed and other == term and terms[n][0]["role"] == "tested")
        numbers.append(next(same, -1))
        if numbers[-1] >= 0:
            terms[numbers[-1]][0]["role"] = "both"
    free = [n for n, term in enumerate(tested) if term.auxiliaries and terms[n][0]["role"] == "tested"]
    quarks = [n for n, term in enumerate(moves) if term.auxiliaries and numbers[n] < 0]
    if len(quarks) > len(free):
        raise ValueError(
            f"the proposal has {len(quarks)} terms with quarks that the target does not have, the target {len(free)} "
            "to take their pseudofermions from: every one needs a partner in the target, in the same order"
        )
    partners = dict(zip(quarks, free, strict=False))
    for n, term in enumerate(moves):
        if numbers[n] < 0:
            auxiliary = None
            if n in partners:
                auxiliary = partners[n]
                _check_partner(term, tested[auxiliary])
            numbers[n] = len(terms)
            terms.append(({"role": "moves", "auxiliary": auxiliary}, n))
    return numbers, terms


def _check_partner(term: Action, partner: Action) -> None:
    """Refuses what cannot share a pseudofermion, or would propose badly without a word."""
    ours, theirs = _operators(term.spec()), _operators(partner.spec())
    if len(ours) != len(theirs):
        raise ValueError(
            f"the proposal has {len(ours)} pseudofermions in {term!r}; its partner {partner!r} has {len(theirs)}: map "
            "the parts of a split determinant one by one, as in sum((Mapped(t, net) for t in quarks.terms()), gauge)"
        )
    for mine, other in zip(ours, theirs, strict=True):
        for name, what in (("kind", "operators"), ("boundary", "boundary conditions")):
            if mine["dirac"].get(name) != other["dirac"].get(name):
                given, wanted = mine["dirac"].get(name), other["dirac"].get(name)
                raise ValueError(f"the quarks of the proposal have other {what} ({given}) than the target ({wanted})")
        is_ratio = ["over" in each or each["dirac"]["kind"] == "domain_wall" for each in (mine, other)]
        if is_ratio[0] != is_ratio[1]:
            one, two = ("a ratio" if each else "no ratio" for each in is_ratio)
            raise ValueError(
                f"the quarks of the proposal are {one}, those of the target {two}: take the same number of masses in "
                "hasenbusch= for both"
            )
        if mine["n_flavors"] != other["n_flavors"]:
            raise ValueError(
                f"the quarks of the proposal have n_flavors = {mine['n_flavors']}, those of the target "
                f"{other['n_flavors']}: a shared pseudofermion needs the same"
            )


def _operators(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The pseudofermions in a description."""
    if spec["kind"] == "pseudofermion":
        return [spec]
    inner = spec.get("terms", []) if spec["kind"] == "sum" else [spec["action"]] if "action" in spec else []
    return [found for part in inner for found in _operators(part)]
