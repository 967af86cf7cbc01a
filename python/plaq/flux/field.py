"""The complex field itself where its action is real, at mu = 0: HMC as an independent check of the fluxes."""

from __future__ import annotations

import numpy as np

from plaq.actions.scalar import Scalar
from plaq.fields.flux import couplings
from plaq.fields.scalar import ScalarField
from plaq.ground.arguments import whole_number

__all__ = ["field_phi_squared", "neutral_action"]


def neutral_action(eta: float, lam: float, ndim: int) -> Scalar:
    r"""The action of the complex field at :math:`\mu = 0` for a :class:`plaq.ScalarField` of two components.

    With :math:`\varphi = \sqrt2\,(\mathrm{Re}\,\phi, \mathrm{Im}\,\phi)` the action of :class:`plaq.Worm` is that of
    :class:`plaq.actions.Scalar` with :math:`m^2 = \eta - 2D` and a quarter of :math:`\lambda`. At
    :math:`\mu \neq 0` it is complex, and HMC does not apply.

    Parameters
    ----------
    eta, lam : float
        Couplings of the worm.
    ndim : int
        Directions D, 1 to 4.

    Returns
    -------
    plaq.actions.Scalar

    Raises
    ------
    TypeError, ValueError
        Couplings without a normalisable weight.

    Examples
    --------
    >>> import plaq as pq
    >>> hmc = pq.HMC(neutral_action(4.25, 1.0, ndim=2), steps=6)
    >>> start = pq.ScalarField.random((4, 4), 2, rng=1)
    >>> chain = hmc.run(start, 10, rng=2, observables={"phi2": field_phi_squared}, progress=False)
    >>> len(chain)
    10
    """
    eta, lam = couplings(eta, lam)
    return Scalar(eta - 2 * whole_number("ndim", ndim, 1, 4), lam / 4)


def field_phi_squared(phi: ScalarField) -> float:
    r"""Mean of :math:`|\phi|^2 = \frac12 \varphi\cdot\varphi` of a field of :func:`neutral_action`.

    Parameters
    ----------
    phi : ScalarField
        Two components.

    Raises
    ------
    TypeError, ValueError
        Another field.

    Examples
    --------
    >>> field_phi_squared(ScalarField.from_numpy(np.ones((4, 4, 2))))
    1.0
    """
    if not isinstance(phi, ScalarField):
        raise TypeError(f"phi is a ScalarField; got {type(phi).__name__}")
    if phi.components != 2:
        raise ValueError(f"phi has {phi.components} components; a complex field has 2")
    return float(0.5 * (np.asarray(phi) ** 2).sum(axis=-1).mean())
