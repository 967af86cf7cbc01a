"""Trainable layers of links: stout-type smearing (arXiv 2103.11965), attention (2501.16955), APE and HYP smearing."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.fields.loops import Loop, checked_loop
from plaq.ground.arguments import number, one_of, vector, whole_number
from plaq.ground.names import Explained

__all__ = ["APELayer", "AttentionLayer", "HYPLayer", "StoutLayer"]

ALL = 255


def _mask(directions: Iterable[int]) -> int:
    chosen = list(directions)
    if not chosen or any(isinstance(mu, bool) or not isinstance(mu, int | np.integer) for mu in chosen):
        raise TypeError(f"directions is a list of ints; got {directions!r}")
    if any(not 0 <= mu <= 3 for mu in chosen):
        raise ValueError(f"directions {chosen}: a layer names its directions 0 to 3")
    return sum(1 << int(mu) for mu in set(chosen))


class Layer(metaclass=Explained):
    """A layer of a covariant network: its coefficients `rho` (one-dimensional), and what they multiply."""

    rho: NDArray[np.float64]

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        raise NotImplementedError

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {rho:.6g}" for name, rho in zip(self.names, self.rho, strict=True))
        return f"{type(self).__name__}({values})"


def _suffix(mask: int) -> str:
    return "" if mask == ALL else "@" + "".join(str(mu) for mu in range(4) if mask >> mu & 1)


class LoopLayer(Layer):
    """A layer whose coefficients multiply loops, each with the directions of the links that it changes (bit mu)."""

    terms: list[tuple[Any, int]]

    def _term_names(self) -> list[str]:
        label = [loop if isinstance(loop, str) else ",".join(map(str, loop)) for loop, _ in self.terms]
        return [name + _suffix(mask) for name, (_, mask) in zip(label, self.terms, strict=True)]


def _checked_loops(loops: Sequence[Loop]) -> list[Any]:
    if isinstance(loops, str) or not isinstance(loops, Iterable) or not len(list(loops)):
        raise TypeError(f"loops is a list of names or paths; got {loops!r}")
    checked = map(checked_loop, loops)
    return [loop if isinstance(loop, str) else list(loop) for loop in checked]


class StoutLayer(LoopLayer):
    r"""A trainable stout-type layer :math:`U' = e^{A} U`, :math:`A = \mathrm{TA}(\sum_i \rho_i O_i)`.

    :math:`O_i = C_i U^\dagger` are the closed loops of family i that end with the link backwards (arXiv 2103.11965,
    section II), so that :math:`\rho > 0` raises Re tr of the loops. A Polyakov
    family changes links of its own direction only.

    Parameters
    ----------
    loops : sequence of str or list of int
        ``"plaquette"``, ``"rectangle"``, ``"chair"``, ``"polyakov_t"``, ``"polyakov_s"``, ``"polyakov_x"`` or paths.
    rho : sequence of float, optional
        One coefficient per loop (and direction if `per_direction`); by default 0, the identity.
    directions : iterable of int, optional
        Directions of the links that are changed; by default all.
    per_direction : int, optional
        Number of dimensions D: each loop then has D coefficients, one for each direction of the changed link.

    Raises
    ------
    TypeError, ValueError
        Unknown loops, a wrong number of coefficients, NaN.

    Examples
    --------
    >>> StoutLayer(["plaquette", "polyakov_t"], [0.1, 0.02]).names
    ['plaquette', 'polyakov_t']
    """

    def __init__(
        self,
        loops: Sequence[Loop],
        rho: Sequence[float] | None = None,
        *,
        directions: Iterable[int] | None = None,
        per_direction: int | None = None,
    ) -> None:
        checked = _checked_loops(loops)
        if directions is not None and per_direction is not None:
            raise ValueError("give directions or per_direction, not both")
        mask = ALL if directions is None else _mask(directions)
        if per_direction is None:
            self.terms = [(loop, mask) for loop in checked]
        elif per_direction in (1, 2, 3, 4):
            self.terms = [(loop, 1 << mu) for loop in checked for mu in range(per_direction)]
        else:
            raise ValueError(f"per_direction = {per_direction}: the number of dimensions, 1 to 4")
        self.rho = np.zeros(len(self.terms))
        if rho is not None:
            self.rho = vector("rho", rho, len(self.terms))

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        return self._term_names()

    def spec(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": "stout", "terms": [[loop, mask] for loop, mask in self.terms]}


PARTS = ("query", "key", "value")
FORMS = {"symmetric": PARTS, "score": PARTS, "authors": ("output", *PARTS)}
"""Forms of attention layers and the maps whose coefficients they have."""


class AttentionLayer(LoopLayer):
    r"""Gauge covariant attention on links, trainable, after CASK (arXiv 2501.16955).

    Three stout-type maps give fields Q, K, V. With :math:`V_b` the staples of a link, of lengths 1 to `reach` in both
    senses of every other direction, :math:`x_b = \mathrm{Re\,tr}[Q_\mu V_b(K)] - \mathrm{Re\,tr}[U_\mu V_b(U)]`,
    :math:`f(x) = \tan(\pi x / (4 (N + 0.01)))` and :math:`A = -\mathrm{TA}(V_\mu \sum_b a_b V_b(V))`, the forms are

    ============= ======================================================== ==========================================
    form          weights                                                  output
    ============= ======================================================== ==========================================
    `symmetric`   :math:`a_b = f(x_b)`                                     :math:`e^A V`
    `score`       :math:`a_{+\nu,s} = a_{-\nu,s} = f(x_{+\nu,s})`           :math:`U^A = e^A U`
    `authors`     as `score`                                               :math:`e^G U`, G the generator of a fourth
                                                                           stout-type map, made of :math:`U^A`
    ============= ======================================================== ==========================================

    The scores are gauge invariant, so U' transforms like U; with all coefficients zero the layer is the identity. Only
    the first form commutes with reflections and rotations by 90 degrees; `score` is steps 1 to 4 of the authors' code,
    `authors` all five, which is the identity without output coefficients and a stout layer without attention. It exists
    for U(1) and SU(2) to SU(4).

    Parameters
    ----------
    loops : sequence of str or list of int
        Loop families of the three maps, by name or path.
    rho : array_like, optional
        Coefficients, shape (3, number of loops): rows query, key, value (4 of `authors`: output, query, key, value); by
        default 0, the identity.
    reach : int
        Longest staple, 1 to 8; the article has 3.
    form : {"symmetric", "score", "authors"}
        Which staples have scores, and what comes out.

    Raises
    ------
    TypeError, ValueError
        Unknown loops, a wrong number of coefficients, NaN, a reach out of range.

    Examples
    --------
    >>> import plaq as pq
    >>> layer = pq.AttentionLayer(["plaquette"], [[0.1], [0.05], [0.1]])
    >>> U = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1)
    >>> net = pq.CovariantNet([layer])
    >>> S = pq.actions.Wilson(2.5)
    >>> bool(abs(S(net(U)) - S(net(U.random_gauge_transform(rng=2)))) < 1e-10 * S(U))
    True
    """

    def __init__(
        self, loops: Sequence[Loop], rho: ArrayLike | None = None, *, reach: int = 3, form: str = "symmetric"
    ) -> None:
        if isinstance(reach, bool) or not isinstance(reach, int | np.integer):
            raise TypeError(f"reach is an int; got {reach!r}")
        if not 1 <= reach <= 8:
            raise ValueError(f"reach = {reach}: the longest staple has 1 to 8 links")
        self.terms = [(loop, ALL) for loop in _checked_loops(loops)]
        self.reach = int(reach)
        self.form = one_of("form", form, FORMS)
        shape = (len(FORMS[self.form]), len(self.terms))
        self.rho = np.zeros(math.prod(shape))
        if rho is not None:
            given = np.asarray(rho, object)
            if given.shape != shape:
                raise ValueError(
                    f"rho has shape {given.shape}; {shape} is needed: rows {', '.join(FORMS[self.form])}; "
                    "one column for each loop"
                )
            self.rho = vector("rho", given.ravel(), len(self.rho))

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        return [f"{part}.{name}" for part in FORMS[self.form] for name in self._term_names()]

    def spec(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        form = {} if self.form == "symmetric" else {"form": self.form}
        terms = [[loop, mask] for loop, mask in self.terms]
        return {"kind": "attention", "terms": terms, "reach": self.reach} | form


def _several(directions: Iterable[int] | None) -> int:
    mask = ALL if directions is None else _mask(directions)
    if mask.bit_count() < 2:
        raise ValueError(f"directions = [{_suffix(mask)[1:]}]: averages with staples need at least two directions")
    return mask


def _weight(value: object) -> float:
    return number("alpha", value, least=0.0, most=1.0)


class APELayer(Layer):
    r"""APE smearing as a trainable layer: :func:`plaq.smear.ape` with a reverse pass.

    .. math::

        U'_\mu = \mathrm{Proj}\Big[(1-\alpha) U_\mu + \frac{\alpha}{2(d-1)} \sum \mathrm{staples}\Big]

    with the d - 1 other directions (Albanese et al., Phys. Lett. B 192 (1987) 163). Proj X is the unitary polar factor
    :math:`W = X (X^\dagger X)^{-1/2}` divided by the N-th root of its determinant (principal root); the reverse pass
    differentiates just that. It exists for every group, and so do forces through it.

    Parameters
    ----------
    alpha : float
        Weight of the staples, 0 (the identity) to 1; training may move it anywhere.
    directions : iterable of int, optional
        Directions of the links that are smeared, with staples in these directions only, at least two; by default all.

    Raises
    ------
    TypeError, ValueError
        alpha out of range, fewer than two directions. Applied: a lattice without these directions, an average that is
        singular or not finite (the links are too rough).

    Notes
    -----
    For N of 3 and more the root of the determinant jumps where the determinant of an average is negative real. Links in
    equilibrium stay far away from that; on rough ones HMC sees it as a jump of the energy and rejects.

    Examples
    --------
    >>> import plaq as pq
    >>> U, S = pq.datasets.gauge(), pq.actions.Wilson(6.0)
    >>> net = pq.CovariantNet([pq.smear.APELayer(0.4)])
    >>> bool(abs(S(net(U)) - S(pq.smear.ape(U, 0.4))) < 1e-8)
    True
    >>> pq.actions.Mapped(S, net).force(U).shape == np.asarray(U).shape
    True
    """

    def __init__(self, alpha: float, directions: Iterable[int] | None = None) -> None:
        self.directions = _several(directions)
        self.rho = np.array([_weight(alpha)])

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        return ["alpha" + _suffix(self.directions)]

    def spec(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": "ape", "directions": self.directions}


class HYPLayer(Layer):
    r"""HYP smearing as a trainable layer: :func:`plaq.smear.hyp` with a reverse pass.

    Nested APE steps within the hypercubes attached to a link (Hasenfratz and Knechtli, hep-lat/0103029): in four
    directions

    .. math::

        V_\mu &= \mathrm{Proj}\Big[(1-\alpha_1) U_\mu + \frac{\alpha_1}{6} \sum_{\nu \ne \mu}
        \text{2 staples of } \tilde V_{\nu;\mu}, \tilde V_{\mu;\nu}\Big] \\
        \tilde V_{\mu;\nu} &= \mathrm{Proj}\Big[(1-\alpha_2) U_\mu + \frac{\alpha_2}{4} \sum_{\rho \ne \mu,\nu}
        \text{2 staples of } \bar V_{\rho;\nu\mu}, \bar V_{\mu;\rho\nu}\Big] \\
        \bar V_{\mu;\nu\rho} &= \mathrm{Proj}\Big[(1-\alpha_3) U_\mu + \frac{\alpha_3}{2} \sum_{\eta \ne \mu,\nu,\rho}
        \text{2 staples of } U\Big]

    with the projection of :class:`APELayer`. The 28 fields of links that these levels have are kept for the reverse
    pass (seven times the field; with ``CovariantNet(..., recompute=True)`` they are made again).

    Parameters
    ----------
    alphas : sequence of float
        Coefficients from the outermost level inwards, each 0 to 1, one less than there are directions: three in four
        directions, two in three. Training may move them anywhere. :math:`\alpha_1 = 0` is the identity.
    directions : iterable of int, optional
        Directions of the links that are smeared, with staples in these directions only, for example ``range(3)`` for
        spatial links; by default all.

    Raises
    ------
    TypeError, ValueError
        A coefficient out of range, a number of them that does not fit the directions. Applied: a lattice with another
        number of directions, an average that is singular or not finite.

    Examples
    --------
    Quarks on HYP links, with their force:

    >>> import plaq as pq
    >>> net = pq.CovariantNet([pq.smear.HYPLayer()])
    >>> quark = pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.2), n_flavors=2)
    >>> hmc = pq.HMC(pq.actions.Wilson(5.0) + pq.actions.Mapped(quark, net), steps=4)
    >>> U, info = hmc.step(pq.datasets.gauge(), rng=1)
    >>> bool(info["solver_iterations"] > 0)
    True
    """

    def __init__(self, alphas: Sequence[float] = (0.75, 0.6, 0.3), directions: Iterable[int] | None = None) -> None:
        self.directions = _several(directions)
        if not isinstance(alphas, Iterable) or isinstance(alphas, str | bytes):
            raise TypeError(f"alphas is a sequence of numbers; got {alphas!r}")
        self.rho = np.array([_weight(alpha) for alpha in alphas])
        allowed = [2, 3] if self.directions == ALL else [self.directions.bit_count() - 1]
        if len(self.rho) not in allowed or len(self.rho) < 2:
            raise ValueError(
                f"alphas has {len(self.rho)} coefficients; HYP smearing takes one less than there are directions, "
                "three in four directions and two in three; two directions alone are for APELayer"
            )

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        return [f"alpha_{k + 1}{_suffix(self.directions)}" for k in range(len(self.rho))]

    def spec(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": "hyp", "directions": self.directions, "levels": len(self.rho)}


def _checked_mask(mask: object) -> int:
    if type(mask) is not int or not (1 <= mask <= 15 or mask == ALL):
        raise ValueError(f"directions {mask}; allowed are the masks 1 to 15 and {ALL}")
    return mask


def _set_of(mask: object) -> list[int] | None:
    chosen = _checked_mask(mask)
    return None if chosen == ALL else [mu for mu in range(4) if chosen >> mu & 1]


def layer_from(entry: dict[str, Any], rho: NDArray[np.float64]) -> Layer:
    """The layer that :meth:`Layer.spec` describes."""
    kind = one_of("layer kind", entry["kind"], ("stout", "attention", "ape", "hyp"))
    if kind == "ape":
        layer: Layer = APELayer(0.0, _set_of(entry["directions"]))
    elif kind == "hyp":
        layer = HYPLayer([0.0] * whole_number("levels", entry["levels"], 2, 3), _set_of(entry["directions"]))
    else:
        layer = _loop_layer(kind, entry)
    layer.rho = vector("rho", rho, len(layer.rho))
    return layer


def _loop_layer(kind: str, entry: dict[str, Any]) -> Layer:
    loops, masks = [loop for loop, _ in entry["terms"]], [_checked_mask(mask) for _, mask in entry["terms"]]
    if kind == "attention":
        return AttentionLayer(loops, reach=entry["reach"], form=entry.get("form", "symmetric"))
    layer = StoutLayer(loops)
    layer.terms = [(loop, mask) for (loop, _), mask in zip(layer.terms, masks, strict=True)]
    return layer


def copy_of(layer: Layer) -> Layer:
    """The layer with loops and coefficients of its own."""
    return copy.deepcopy(layer)
