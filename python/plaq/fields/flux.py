"""Fluxes of a complex scalar field at chemical potential, and what is read off them (arXiv 1206.2954)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq._plaq import flux_weights
from plaq.ground.arguments import aligned, number, require_memory, shown, whole_number, whole_numbers
from plaq.ground.html import box
from plaq.ground.names import Explained
from plaq.ground.states import register_state

__all__ = ["FluxField", "charge", "density", "divergence", "lattice_shape", "log_weight", "occupation", "phi_squared"]

Integers = NDArray[np.int32]
Array = NDArray[np.float64]
MOST = 2**31 - 1


def lattice_shape(shape: Any) -> tuple[int, ...]:
    """Extents of a lattice of fluxes: one to four, each at least 2, time last."""
    remedy = "give one to four extents of at least 2, time last, as in (60, 4)"
    extents = whole_numbers("shape", shape, 2, 2**26, remedy)
    if not 1 <= len(extents) <= 4:
        raise ValueError(f"shape = {shown(shape)}: {remedy}")
    return tuple(extents)


def couplings(eta: Any, lam: Any) -> tuple[float, float]:
    """Checked eta and lambda of a weight that can be normalised."""
    eta, lam = number("eta", eta), number("lam", lam, least=0.0)
    if lam == 0 and eta <= 0:
        raise ValueError(f"eta = {eta:g} with lam = 0: the weight exp(-eta |phi|^2) needs eta > 0, or give lam > 0")
    return eta, lam


def integers(name: str, values: Any, least: int = -MOST) -> Integers:
    """An array of integers that fit into 32 bits."""
    try:
        found = np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is an array of integers; got {shown(values)}") from None
    if isinstance(values, np.ma.MaskedArray) or found.dtype.kind not in "iu":
        raise TypeError(f"{name} is an array of integers; got {shown(values)} of dtype {found.dtype}: use .astype(int)")
    if found.size and not least <= int(found.min()) <= int(found.max()) <= MOST:
        raise ValueError(f"{name} runs from {found.min()} to {found.max()}; allowed are {least} to {MOST}")
    return aligned(found, np.int32)


def directions(name: str, found: NDArray[Any], ndim: int | None = None) -> int:
    """The number of directions D of an array ``[..., nu, x_0, ..., x_{D-1}]`` with nu = 0 ... D-1."""
    fits = [d for d in range(1, 5) if found.ndim > d and found.shape[-d - 1] == d and min(found.shape[-d:]) > 1]
    if ndim is not None:
        fits = [d for d in fits if d == whole_number("ndim", ndim, 1, 4)]
    if len(fits) > 1:
        raise ValueError(
            f"{name} of shape {found.shape} is read in {' or '.join(map(str, fits))} dimensions; say which with ndim=2"
        )
    if not fits or not found.size:
        wanted = "[..., nu, x_0, ..., x_{D-1}]" if ndim is None else f"{ndim} dimensions"
        raise ValueError(
            f"{name} has shape {found.shape}; {wanted} is needed, with as many nu as extents, each extent at least 2"
        )
    return fits[0]


def pair(k: Any, l: Any, ndim: int | None = None) -> tuple[Integers, Integers, int]:
    """Checked k and l of one shape, and the number of directions."""
    k, l = integers("k", k), integers("l", l, least=0)
    if k.shape != l.shape:
        raise ValueError(f"k has shape {k.shape} and l {l.shape}; they are fluxes of the same links")
    return k, l, directions("k", k, ndim)


def _number(values: NDArray[Any]) -> Any:
    return values.item() if values.ndim == 0 else values


def density(k: ArrayLike, *, ndim: int | None = None) -> Any:
    r"""Particle density :math:`n = \frac1V \frac{\partial \ln Z}{\partial\mu} = \frac1V \sum_x k_{x,t}`.

    Parameters
    ----------
    k : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Conserved fluxes, time last; leading axes count configurations.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    float or ndarray
        One number a configuration.

    Raises
    ------
    TypeError, ValueError
        No integers; a shape that is none of fluxes.

    Examples
    --------
    >>> k = np.zeros((2, 4, 6), int)
    >>> k[1, 2] = 1  # one particle at x_0 = 2
    >>> density(k)
    0.25
    """
    k = integers("k", k)
    axes = directions("k", k, ndim)
    time_links = np.moveaxis(k, -axes - 1, 0)[-1]
    return _number(time_links.mean(axis=tuple(range(-axes, 0)), dtype=np.float64))


def charge(k: ArrayLike, *, ndim: int | None = None) -> Any:
    """Charge: k of the links in time, summed over a time slice (the same on every slice of closed fluxes).

    Parameters
    ----------
    k : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Conserved fluxes.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    int or ndarray of int

    Raises
    ------
    TypeError, ValueError
        No integers, a shape that is none of fluxes, fluxes that are not conserved.

    Examples
    --------
    >>> k = np.zeros((2, 4, 6), int)
    >>> k[1, 2] = 1
    >>> charge(k)
    1
    """
    k = integers("k", k)
    axes = directions("k", k, ndim)
    _conserved(k, axes)
    time_links = np.moveaxis(k, -axes - 1, 0)[-1]
    return _number(time_links[..., 0].sum(axis=tuple(range(1 - axes, 0)) if axes > 1 else (), dtype=np.int64))


def divergence(k: ArrayLike, *, ndim: int | None = None) -> NDArray[np.int64]:
    r"""Divergence :math:`\sum_\nu (k_{x,\nu} - k_{x-\hat\nu,\nu})` at every site; zero for closed configurations.

    Parameters
    ----------
    k : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Fluxes.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    ndarray of int, shape (..., x_0, ..., x_{D-1})

    Raises
    ------
    TypeError, ValueError
        No integers; a shape that is none of fluxes.

    Examples
    --------
    >>> k = np.zeros((2, 4, 6), int)
    >>> k[0, 1, 3] = 1  # out of (1, 3), into (2, 3)
    >>> np.argwhere(divergence(k)).tolist()
    [[1, 3], [2, 3]]
    """
    k = integers("k", k)
    return _divergence(k, directions("k", k, ndim))


def _divergence(k: NDArray[Any], axes: int) -> NDArray[np.int64]:
    wide = np.moveaxis(k, -axes - 1, 0).astype(np.int64)
    return sum((wide[nu] - np.roll(wide[nu], 1, axis=nu - axes) for nu in range(axes)), np.zeros((), np.int64))


def _conserved(k: Integers, axes: int) -> None:
    found = _divergence(k, axes)
    if found.any():
        site = tuple(int(each) for each in np.argwhere(found)[0])
        raise ValueError(
            f"k is not conserved: its divergence at {site} is {found[site]}; closed configurations have 0 everywhere "
            "(plaq.flux.divergence shows where)"
        )


def occupation(k: ArrayLike, l: ArrayLike, *, ndim: int | None = None) -> NDArray[np.int64]:
    r"""Occupation :math:`f_x = \sum_\nu [|k_{x,\nu}| + |k_{x-\hat\nu,\nu}| + 2(l_{x,\nu} + l_{x-\hat\nu,\nu})]`.

    Parameters
    ----------
    k, l : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Fluxes.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    ndarray of int, shape (..., x_0, ..., x_{D-1})
        Even where k is conserved.

    Raises
    ------
    TypeError, ValueError
        No integers, a negative l, shapes that are none of fluxes.

    Examples
    --------
    >>> occupation(np.zeros((1, 4), int), [[1, 0, 0, 0]])
    array([2, 2, 0, 0])
    """
    k, l, axes = pair(k, l, ndim)
    return _occupation(k, l, axes)


def _occupation(k: Integers, l: Integers, axes: int) -> NDArray[np.int64]:
    wide = np.moveaxis(np.abs(k).astype(np.int64) + 2 * l.astype(np.int64), -axes - 1, 0)
    return sum((wide[nu] + np.roll(wide[nu], 1, axis=nu - axes) for nu in range(axes)), np.zeros((), np.int64))


def phi_squared(k: ArrayLike, l: ArrayLike, eta: float, lam: float, *, ndim: int | None = None) -> Any:
    r"""Mean of :math:`|\phi|^2`: :math:`-\frac1V \frac{\partial \ln Z}{\partial\eta}
    = \frac1V \sum_x \frac{W(f_x + 2)}{W(f_x)}`.

    Parameters
    ----------
    k, l : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Closed fluxes.
    eta, lam : float
        Couplings of :math:`\eta|\phi|^2 + \lambda|\phi|^4`, :math:`\eta = 2D + m^2`.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    float or ndarray
        One number a configuration.

    Raises
    ------
    TypeError, ValueError
        No integers, a negative l, fluxes that are not conserved, couplings without a normalisable weight.

    Examples
    --------
    >>> empty = np.zeros((2, 4, 6), int)
    >>> round(phi_squared(empty, empty, eta=5.0, lam=0.0), 12)  # 1/eta
    0.2
    """
    eta, lam = couplings(eta, lam)
    k, l, axes = pair(k, l, ndim)
    _conserved(k, axes)
    half = _occupation(k, l, axes) // 2
    _, ratios = flux_weights(eta, lam, _count(half))
    return _number(ratios[half].mean(axis=tuple(range(-axes, 0))))


def _count(half: NDArray[np.int64]) -> int:
    most = int(half.max(initial=0))
    if most >= 2**24:
        raise ValueError(f"an occupation of {2 * most} is beyond {2**25}; fluxes that large are a slip")
    return most + 2


def log_weight(k: ArrayLike, l: ArrayLike, eta: float, lam: float, mu: float, *, ndim: int | None = None) -> Any:
    r"""Logarithm of the weight of closed fluxes, without the constant :math:`V \ln 2\pi`.

    :math:`\prod_{x,\nu} \frac1{(|k|+l)!\,l!} \prod_x e^{\mu k_{x,t}} W(f_x)`,
    :math:`W(f) = \int_0^\infty dr\, r^{f+1} e^{-\eta r^2 - \lambda r^4}`.

    Parameters
    ----------
    k, l : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Closed fluxes.
    eta, lam, mu : float
        Couplings.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    float or ndarray
        One number a configuration.

    Raises
    ------
    TypeError, ValueError
        As :func:`phi_squared`.

    Examples
    --------
    >>> empty = np.zeros((1, 2), int)
    >>> bool(np.isclose(log_weight(empty, empty, eta=0.5, lam=0.0, mu=0.3), 0.0))  # W(0) = 1/(2 eta)
    True
    """
    eta, lam = couplings(eta, lam)
    mu = number("mu", mu)
    k, l, axes = pair(k, l, ndim)
    _conserved(k, axes)
    half = _occupation(k, l, axes) // 2
    logs, _ = flux_weights(eta, lam, _count(half))
    top = np.abs(k).astype(np.int64) + l
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(top.max(initial=0)) + 1)))])
    axis = tuple(range(-axes, 0))
    links = -(factorials[top] + factorials[l]).sum(axis=(-axes - 1, *axis))
    return _number(links + logs[half].sum(axis=axis) + mu * np.moveaxis(k, -axes - 1, 0)[-1].sum(axis=axis))


@register_state
class FluxField(metaclass=Explained):
    """A closed configuration of fluxes: the state of :class:`plaq.Worm`.

    ``np.asarray(field)`` has k and l as channels, ``[2 D, x_0, .., x_{D-1}]``: what networks take.

    Parameters
    ----------
    k : array_like of int, shape (D, x_0, ..., x_{D-1})
        Conserved fluxes of the links from x to x + nu, time last.
    l : array_like of int, same shape
        Pairs of opposite hops beyond abs(k), at least 0.

    Attributes
    ----------
    k, l : ndarray of int32
        The fluxes; read-only.
    means : dict
        After an update of a worm: ``density``, ``phi2`` and ``correlator``, averages over the closed and open
        configurations of that update; empty before the first.

    Raises
    ------
    TypeError, ValueError
        No integers, a negative l, k not conserved, shapes that are none of fluxes.

    Examples
    --------
    >>> field = FluxField.cold((4, 6))
    >>> field
    <FluxField 4x6, charge 0>
    """

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """k and l as channels ``[2 D, x_0, .., x_{D-1}]``: what networks take."""
        if copy is False:
            raise ValueError("k and l of a FluxField cannot be viewed as one array without a copy; use np.array(field)")
        values: NDArray[Any] = np.concatenate([self.k, self.l])
        return values if dtype is None else values.astype(dtype)

    def __init__(self, k: ArrayLike, l: ArrayLike) -> None:
        found, pairs, axes = pair(k, l)
        if found.ndim != axes + 1:
            raise ValueError(f"k has shape {found.shape}; one configuration is needed: [nu, x_0, ..., x_{{D-1}}]")
        _conserved(found, axes)
        self._set(found, pairs, {})

    def _set(self, k: Integers, l: Integers, means: Mapping[str, Any]) -> FluxField:
        self.k, self.l, self.means = k, l, dict(means)
        for array in (k, l):
            array.flags.writeable = False
        return self

    @classmethod
    def _of_update(cls, k: Integers, l: Integers, means: Mapping[str, Any]) -> FluxField:
        return cls.__new__(cls)._set(k, l, means)

    @classmethod
    def cold(cls, shape: Sequence[int]) -> FluxField:
        """No flux anywhere.

        Parameters
        ----------
        shape : sequence of int
            One to four extents, each at least 2, time last.

        Raises
        ------
        TypeError, ValueError
            Another shape.
        """
        extents = lattice_shape(shape)
        count = len(extents) * int(np.prod(extents, dtype=object))
        require_memory(f"fluxes on a lattice {extents}", count)
        empty = np.zeros((len(extents), *extents), np.int32)
        return cls._of_update(empty, empty.copy(), {})

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the lattice, time last."""
        return tuple(int(extent) for extent in self.k.shape[1:])

    @property
    def charge(self) -> int:
        """k of the links in time, summed over a time slice."""
        return int(charge(self.k))

    @property
    def correlator(self) -> Array:
        r""":math:`\langle\phi_{y+d}\,\phi^*_y\rangle` by displacement d, of the last update; NaN before the first."""
        found = self.means.get("correlator")
        return np.full(self.shape, np.nan) if found is None else found.reshape(self.shape)

    @property
    def time_correlator(self) -> Array:
        r""":math:`C(t) = \sum_{\vec d} \langle\phi_{y+(\vec d,t)}\,\phi^*_y\rangle`: momentum zero, shape (N_t,)."""
        found: Array = self.correlator.sum(axis=tuple(range(len(self.shape) - 1)))
        return found

    def copy(self) -> FluxField:
        """An independent copy."""
        return self._of_update(self.k.copy(), self.l.copy(), self.means)

    def to_checkpoint(self) -> dict[str, Any]:
        """Arrays for chain files."""
        return {"k": self.k, "l": self.l, "means": self.means}

    @classmethod
    def from_checkpoint(cls, parts: Mapping[str, Any]) -> FluxField:
        """The inverse of :meth:`to_checkpoint`."""
        field = cls(parts["k"], parts["l"])
        return field._set(field.k, field.l, parts["means"])

    def __reduce__(self) -> tuple[Any, ...]:
        return FluxField.from_checkpoint, (self.to_checkpoint(),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FluxField):
            return NotImplemented
        return np.array_equal(self.k, other.k) and np.array_equal(self.l, other.l)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<FluxField {'x'.join(map(str, self.shape))}, charge {self.charge}>"

    def _repr_html_(self) -> str:
        means = [(name, f"{value:.6g}") for name, value in self.means.items() if np.ndim(value) == 0]
        return box("FluxField", [("lattice", " x ".join(map(str, self.shape))), ("charge", self.charge), *means])
