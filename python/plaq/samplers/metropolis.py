"""Local Metropolis of scalar fields."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.actions.scalar import Scalar
from plaq.chains.sampler import Info
from plaq.concepts import Action
from plaq.fields.scalar import ScalarField
from plaq.ground.arguments import number
from plaq.ground.rng import counter
from plaq.samplers.field import FieldSampler, count

__all__ = ["ScalarMetropolis"]


class ScalarMetropolis(FieldSampler):
    r"""Local Metropolis of a scalar field: every site in turn proposes a step, accepted with min(1, exp(-dS)).

    A sweep goes through the colours of the lattice (no two neighbours have the same; two colours, three with an odd
    extent) and updates the sites of a colour at once. Slower than :class:`plaq.HMC`; for comparison with it, and with
    :class:`plaq.Worm` at mu = 0: a field of two components with
    :math:`m^2 = \eta - 2D,\ \lambda_4 = \lambda/4` is :math:`\sqrt2\,(\operatorname{Re}\phi, \operatorname{Im}\phi)`.

    Parameters
    ----------
    action : actions.Scalar
        :math:`S`.
    width : float
        A component moves by up to this, uniformly.
    hits : int
        Proposals for a site before the next colour.

    Raises
    ------
    TypeError, ValueError
        Another action, a width or number of hits that is not above 0.

    Notes
    -----
    ``info``: ``acceptance``, the fraction of proposals accepted.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.ScalarMetropolis(pq.actions.Scalar(1.0, 0.5), width=0.9)
    >>> chain = sampler.run(pq.ScalarField.zeros((4, 4), 2), 50, warmup=20, rng=1, progress=False)
    >>> bool(0.3 < chain.info["acceptance"].mean() < 0.9)
    True
    """

    action: Scalar

    def __init__(self, action: Action, *, width: float = 1.0, hits: int = 1) -> None:
        super().__init__(action)
        if not isinstance(action, Scalar):
            raise TypeError(f"action is a plaq.actions.Scalar; got {action!r} (plaq.HMC takes any action)")
        self.width: float = number("width", width, most=1e6, above=0.0)
        self.hits = count("hits", hits, 1)

    def _rebuild(self) -> None:
        """Nothing is kept in the core."""

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        return {"action": self.action.spec(), "width": self.width, "hits": self.hits}

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[ScalarField, Info]:
        """One update; see :meth:`plaq.Sampler.advance`."""
        field = self._checked(state)
        phi: NDArray[np.float64] = np.asarray(field)
        seed, sweep = counter(seed, sweep)
        random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, sweep]))
        colours, axes = _colours(phi.shape[:-1]), range(phi.ndim - 1)
        diagonal, lam = 0.5 * self.action.mass2 + len(axes), self.action.lam
        accepted = 0
        for colour in range(int(colours.max()) + 1):
            chosen = colours == colour
            around = np.sum([np.roll(phi, sign, mu)[chosen] for mu in axes for sign in (1, -1)], axis=0)

            def energy(x: NDArray[np.float64], around: Any = around) -> NDArray[np.float64]:
                """The part of S that depends on the sites: neighbours count once for each link."""
                norm2 = (x * x).sum(-1)
                part: NDArray[np.float64] = (diagonal + lam * norm2) * norm2 - (x * around).sum(-1)
                return part

            old = phi[chosen]
            before = energy(old)
            for _ in range(self.hits):
                new = old + random.uniform(-self.width, self.width, old.shape)
                after = energy(new)
                is_taken = -random.standard_exponential(len(old)) <= before - after
                old, before = np.where(is_taken[:, None], new, old), np.where(is_taken, after, before)
                accepted += int(is_taken.sum())
            phi[chosen] = old
        acceptance = accepted / (self.hits * colours.size)
        return ScalarField.from_numpy(phi), {"acceptance": acceptance}


def _colours(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Numbers of which neighbours on the periodic lattice have different ones."""
    colours = np.zeros(shape, np.int64)
    for mu, extent in enumerate(shape):
        along = np.arange(extent) % 2
        along[-1] += 2 * (extent % 2)  # 0 1 0 1 .. 2: an odd ring needs a third
        colours += along.reshape([-1 if nu == mu else 1 for nu in range(len(shape))])
    return colours % (3 if any(extent % 2 for extent in shape) else 2)
