"""Independence Metropolis with proposals of a flow (arXiv 1904.12072)."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from plaq.chains.sampler import Info
from plaq.concepts import Action
from plaq.flows.flow import Flow, checked_action
from plaq.flows.priors import PROPOSALS
from plaq.ground.arguments import instance, whole_number
from plaq.ground.rng import Rng, counter, seed_of
from plaq.samplers.field import FieldSampler

__all__ = ["FlowProposal"]


class FlowProposal(FieldSampler):
    r"""Metropolis updates whose proposals are independent samples of a flow.

    :math:`A = \min[1, w(x')/w(x)]`, :math:`w = e^{-S}/q`: exact for every flow; a bad one costs acceptance.

    Parameters
    ----------
    flow : Flow
        Copied: a later training does not change this sampler.
    action : Action
        S, of the fields of the flow.
    block : int
        Most proposals that are made together, ahead of their updates; the chain does not depend on it.

    Raises
    ------
    TypeError, ValueError
        No flow, no action of its fields, no count.

    Notes
    -----
    ``info``: ``accepted``, ``log_weight`` (:math:`-S - \ln q` of the proposal), ``action`` (of the new state). The
    variance of ``log_weight`` predicts the acceptance; what ends long rejections is its upper tail.

    Both densities of the test are computed by the inverse from the links or values themselves, so that an update is a
    function of state, seed and its number; proposals cost one pass forward and one back.

    Examples
    --------
    >>> import plaq as pq
    >>> flow, S = pq.flows.Flow(pq.flows.FreeField((4, 4), 1.0), []), pq.actions.Scalar(1.0, 0.1)
    >>> sampler = FlowProposal(flow, S)
    >>> chain = sampler.run(sampler.start(rng=1), 200, rng=2, progress=False)
    >>> chain.acceptance > 0.5
    True
    """

    _compiled = ("_made", "_known")
    _remedy = (
        "start from a sample of the flow, as in run(sampler.start(rng=1), ...), and train the flow further: see "
        "flow.reweight(action, 1000, rng=1).efficiency"
    )

    def __init__(self, flow: Flow, action: Action, *, block: int = 64) -> None:
        self.flow: Flow = instance("flow", flow, Flow, "a plaq.flows.Flow").copy()
        super().__init__(checked_action(flow, action))
        self.block: int = whole_number("block", block, 1, 10**5)
        self._rebuild()

    def _rebuild(self) -> None:
        self._made: tuple[int, int, Any, Any, Any] | None = None
        self._known: tuple[Any, float, float] | None = None

    def __repr__(self) -> str:
        return f"FlowProposal({self.flow!r}, {self.action!r})"

    def start(self, *, rng: Rng) -> Any:
        """A sample of the flow, to start a chain from.

        Parameters
        ----------
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed.

        Returns
        -------
        ScalarField or GaugeField

        Examples
        --------
        >>> import plaq as pq
        >>> sampler = FlowProposal(pq.flows.u1_2d((4, 4), rng=1), pq.actions.Wilson(1.0))
        >>> sampler.start(rng=1).shape
        (4, 4)
        """
        return self.flow.prior._field(self.flow.sample(1, rng=seed_of(rng))[0])

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[Any, Info]:
        """One update; see :meth:`plaq.Sampler.advance`."""
        seed, sweep = counter(seed, sweep)
        before, before_action = self._weight_of(self._checked(state))
        field, after, action = self._proposal(seed, sweep)
        stream = np.random.Generator(np.random.Philox(key=seed, counter=[0, 1, sweep, PROPOSALS]))
        accepted = math.log(1.0 - stream.random()) < after - before
        if accepted:
            state = self.flow.prior._field(field)
            self._known = (state, after, action)
        info: Info = {"accepted": accepted, "log_weight": after, "action": action if accepted else before_action}
        return state, info

    def _weight_of(self, state: Any) -> tuple[float, float]:
        """-S - ln q and S of a state."""
        known = self._known
        if known is None or known[0] is not state:
            action = self.action(state)
            known = (state, -action - float(self.flow.log_prob(state)), action)
            self._known = known
        return known[1], known[2]

    def _proposal(self, seed: int, sweep: int) -> tuple[Any, float, float]:
        """Array, -S - ln q and S of the proposal of an update."""
        made = self._made
        if made is None or made[0] != seed or not made[1] <= sweep < made[1] + len(made[3]):
            follows = made is not None and (seed, sweep) == (made[0], made[1] + len(made[3]))
            count = min(self.block, 2**64 - sweep, 2 * len(made[3]) if made is not None and follows else 1)
            fields = self.flow(self.flow.prior._array_of(self.flow.prior._sampled(count, seed, sweep, PROPOSALS)))
            actions = self.flow._actions(self.action, fields)
            made = self._made = (seed, sweep, fields, -actions - self.flow.log_prob(fields), actions)
        k = sweep - made[1]
        return made[2][k], float(made[3][k]), float(made[4][k])

    def fingerprint(self) -> dict[str, Any]:
        """The physics input: the action, the couplings and a hash of their parameters."""
        parameters = hashlib.sha256(self.flow.parameters.tobytes()).hexdigest()
        return {"action": self.action.spec(), "flow": self.flow.spec(), "parameters": parameters}
