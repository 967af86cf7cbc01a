"""Smearing, gradient flow, and networks that are smearing with trainable coefficients."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq, observables
from plaq.gauge import GaugeField
from plaq.suggest import unknown
from plaq.weights import load_weights, save_weights

if TYPE_CHECKING:
    from plaq.actions import Action

__all__ = ["CovariantNet", "Flow", "StoutLayer", "ape", "flow", "hyp", "stout"]

Loop: TypeAlias = str | Sequence[int]
FLOW_ACTIONS = {"wilson": 0.0, "symanzik": -1.0 / 12.0, "iwasaki": -0.331, "dbw2": -1.4088}
ALL = 255
STABLE = 2.51
"""Runge-Kutta of order 3 damps exp(-lambda t) while step lambda < 2.51; the Wilson flow has lambda up to 4 D."""


def _field(U: object, dimensions: int = 2) -> GaugeField:
    if not isinstance(U, GaugeField):
        raise TypeError(f"a GaugeField is needed; got {type(U).__name__}")
    if U.ndim < dimensions:
        raise ValueError(f"this smearing needs at least {dimensions} dimensions; the lattice has {U.ndim}")
    return U


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        raise TypeError(f"{name} is a number; got {value!r}")
    if not math.isfinite(float(value)):
        raise ValueError(f"{name} = {value}; it must be finite")
    return float(value)


def _repeat(n: object) -> int:
    if not isinstance(n, int | np.integer) or isinstance(n, bool):
        raise TypeError(f"n is an int; got {n!r}")
    if not 0 <= n <= 100_000:
        raise ValueError(f"n = {n}: allowed are 0 to 100000 levels")
    return int(n)


def _directions(U: GaugeField, directions: Iterable[int] | None) -> list[int]:
    if directions is None:
        return list(range(U.ndim))
    chosen = sorted({int(mu) % U.ndim if -U.ndim <= int(mu) < U.ndim else -1 for mu in directions})
    if not chosen or chosen[0] < 0:
        raise ValueError(f"directions {directions}: allowed are 0 to {U.ndim - 1} (or -1 for time)")
    return chosen


def ape(U: GaugeField, alpha: float, n: int = 1, directions: Iterable[int] | None = None) -> GaugeField:
    r"""APE smearing :math:`U' = \mathrm{Proj}[(1-\alpha) U + \frac{\alpha}{2(d-1)} \sum \mathrm{staples}]`.

    Source: Albanese et al., Phys. Lett. B 192 (1987) 163. The projection is the unitary polar factor, divided by the
    N-th root of its determinant.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    alpha : float
        Weight of the staples.
    n : int
        Number of levels.
    directions : iterable of int, optional
        Directions of the links that are smeared, with staples in these directions only (for example ``range(3)`` for
        spatial links); d is their number. By default all.

    Returns
    -------
    GaugeField

    Raises
    ------
    TypeError, ValueError
        Wrong arguments.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.datasets.gauge()
    >>> round(pq.observables.plaquette(pq.smear.ape(U, 0.5)), 3) > 0.8
    True
    """
    chosen = _directions(_field(U), directions)
    if len(chosen) < 2:
        raise ValueError(f"APE smearing needs at least two directions; got {chosen}")
    weight, core = _number("alpha", alpha), U._core
    for _ in range(_repeat(n)):
        core = _plaq.ape(core, weight, chosen)
    return GaugeField(core)


def hyp(U: GaugeField, alphas: Sequence[float] = (0.75, 0.6, 0.3), n: int = 1) -> GaugeField:
    """HYP smearing: APE steps within the hypercubes attached to a link (Hasenfratz and Knechtli, hep-lat/0103029).

    Parameters
    ----------
    U : GaugeField
        Three or four dimensions.
    alphas : sequence of float
        Coefficients from the outermost level inwards: (alpha_1, alpha_2, alpha_3) in four dimensions, two in three.
    n : int
        Number of levels.

    Returns
    -------
    GaugeField

    Raises
    ------
    TypeError, ValueError
        Wrong number of coefficients, another dimension.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.datasets.gauge()
    >>> pq.observables.plaquette(pq.smear.hyp(U)) > 0.85
    True
    """
    _field(U, 3)
    if U.ndim > 4 or len(alphas) != U.ndim - 1:
        raise ValueError(f"HYP smearing in {U.ndim} dimensions takes {U.ndim - 1} coefficients; got {alphas}")
    weights, core = [_number("alpha", a) for a in alphas], U._core
    for _ in range(_repeat(n)):
        core = _plaq.hyp(core, weights)
    return GaugeField(core)


def stout(
    U: GaugeField,
    rho: float | Sequence[float],
    n: int = 1,
    loops: Sequence[Loop] = ("plaquette",),
    directions: Iterable[int] | None = None,
) -> GaugeField:
    r"""Stout smearing :math:`U' = e^{A} U`, :math:`A = \mathrm{TA}(\sum_i \rho_i C_i U^\dagger)`.

    Source: Morningstar and Peardon, hep-lat/0311018. The :math:`C_i` are the staples of the loops, with the orientation
    of U.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    rho : float or sequence of float
        Coefficient of each loop.
    n : int
        Number of levels.
    loops : sequence of str or list of int
        Loop families by name, or paths.
    directions : iterable of int, optional
        Directions of the links that are changed (staples run in all directions). By default all.

    Returns
    -------
    GaugeField

    Raises
    ------
    TypeError, ValueError
        Wrong arguments, unknown loops.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((8, 8), "SU(2)", rng=1)
    >>> pq.observables.plaquette(pq.smear.stout(U, 0.1)) > pq.observables.plaquette(U)
    True
    """
    coefficients = [rho] * len(loops) if isinstance(rho, int | float | np.number) else list(rho)
    chosen = None if directions is None else _directions(_field(U), directions)
    layer = StoutLayer(loops, coefficients, directions=chosen)
    net, image = CovariantNet([layer]), _field(U)
    for _ in range(_repeat(n)):
        image = net(image)
    return image.copy()


@dataclass(frozen=True)
class Flow:
    """Result of :func:`flow`.

    Attributes
    ----------
    t : ndarray
        Flow times, from 0 to the final time.
    energy, charge, plaquette : ndarray
        Clover energy density, clover charge (2D U(1): geometric; NaN where there is none) and plaquette at these times.
    field : GaugeField
        The field at the final time.
    steps : int
        Integration steps taken.

    Examples
    --------
    >>> import plaq as pq
    >>> result = flow(pq.datasets.gauge(), 1.0, step=0.05)
    >>> 0.1 < result.t0(0.02) < 1.0
    True
    """

    t: NDArray[np.float64]
    energy: NDArray[np.float64]
    charge: NDArray[np.float64]
    plaquette: NDArray[np.float64]
    field: GaugeField
    steps: int

    def t0(self, level: float = 0.3) -> float:
        r"""Flow time at which :math:`t^2 E(t)` reaches `level` (arXiv 1006.4518), by cubic interpolation.

        Raises
        ------
        ValueError
            The flow does not reach it.
        """
        return _crossing(self.t, self.t**2 * self.energy, level, "t^2 E")

    def w0(self, level: float = 0.3) -> float:
        r"""Square root of the flow time at which :math:`t\, d(t^2 E)/dt` reaches `level` (arXiv 1203.4469).

        Raises
        ------
        ValueError
            The flow does not reach it.
        """
        slope = self.t * _derivative(self.t, self.t**2 * self.energy)
        return math.sqrt(_crossing(self.t, slope, level, "t d(t^2 E)/dt"))


def _derivative(t: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of the polynomial of degree up to four through the five nearest points."""
    if len(t) < 3:
        raise ValueError(f"the derivative needs at least 3 flow times; the flow has {len(t)}, take smaller steps")
    width = min(5, len(t))
    slopes = np.empty_like(y)
    for k in range(len(t)):
        first = min(max(k - width // 2, 0), len(t) - width)
        x = t[first : first + width] - t[k]
        scale = np.abs(x).max()
        slopes[k] = np.polyfit(x / scale, y[first : first + width], width - 1)[-2] / scale
    return slopes


def _crossing(t: NDArray[np.float64], values: NDArray[np.float64], level: float, name: str) -> float:
    above = np.nonzero(values >= level)[0]
    if len(above) == 0 or above[0] == 0:
        raise ValueError(
            f"{name} stays between {values.min():.4g} and {values.max():.4g} up to t = {t[-1]:.4g} and does not cross "
            f"{level}; flow further if it still grows, or take another level"
        )
    k = int(above[0])
    # Inverse interpolation of degree up to three through the points around the crossing, by Neville's scheme.
    lowest = max(0, min(k - 2, len(t) - 4))
    x, y = values[lowest : lowest + 4] - level, list(t[lowest : lowest + 4])
    if np.any(np.diff(x) <= 0):
        x, y = values[k - 1 : k + 1] - level, list(t[k - 1 : k + 1])
    for width in range(1, len(x)):
        for j in range(len(x) - width):
            y[j] = (x[j + width] * y[j] - x[j] * y[j + 1]) / (x[j + width] - x[j])
    return float(y[0])


def flow(
    U: GaugeField,
    time: float,
    *,
    step: float = 0.01,
    action: str | Action = "wilson",
    adaptive: bool = False,
    tolerance: float = 1e-6,
    every: int = 1,
) -> Flow:
    r"""Gradient flow :math:`\dot V = \mathrm{TA}(\mathrm{staples}\cdot V^\dagger) V` to flow time `time`.

    Third-order Runge-Kutta of arXiv 1006.4518; error :math:`O(\mathrm{step}^3)`.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    time : float
        Final flow time in lattice units, at least 0.
    step : float
        Step (the last one is shortened to end at `time`), at most 2.51/(4 D) for stability; with ``adaptive`` the
        first one.
    action : str or Action
        ``"wilson"``, ``"symanzik"``, ``"iwasaki"``, ``"dbw2"``, or an action made of loops whose coefficients are taken
        as they are (``Loops([(1.0, "plaquette")])`` is the Wilson flow).
    adaptive : bool
        Choose steps so that the distance max |V - V''|/N^2 to the embedded second-order solution is below `tolerance`.
    tolerance : float
        Error of one adaptive step.
    every : int
        Steps between measurements; the start and the end are always measured.

    Returns
    -------
    Flow

    Raises
    ------
    TypeError, ValueError
        Wrong arguments.
    ConvergenceError
        The tolerance cannot be met.

    Examples
    --------
    >>> import plaq as pq
    >>> result = pq.smear.flow(pq.datasets.gauge("lat.sample.l4448"), 0.2, step=0.1)
    >>> result.t
    array([0. , 0.1, 0.2])
    """
    end, size = _number("time", time), _number("step", step)
    if end < 0 or size <= 0:
        raise ValueError(f"time = {time}, step = {step}: the flow time is at least 0 and the step above 0")
    stable = STABLE / (4 * _field(U).ndim)
    if not adaptive and size > stable:
        raise ValueError(
            f"step = {step}: above {stable:.3f} the integrator is unstable in {U.ndim} dimensions; take a smaller one "
            "or adaptive=True"
        )
    allowed = _number("tolerance", tolerance) if adaptive else None
    if allowed is not None and allowed <= 0:
        raise ValueError(f"tolerance = {tolerance}: it must be above 0")
    if _repeat(every) < 1:
        raise ValueError("every = 0: at least 1 step between measurements")
    terms, core = _flow_terms(action), _field(U)._core
    t, steps, records = 0.0, 0, [_measured(0.0, U)]
    while end - t > 1e-12 * max(end, 1.0):
        core, taken, proposed = _plaq.flow_step(core, terms, min(size, end - t), allowed)
        t, steps = t + taken, steps + 1
        size = proposed if adaptive else size
        last = end - t <= 1e-12 * max(end, 1.0)
        if last or steps % every == 0:
            t = end if last else t
            records.append(_measured(t, GaugeField(core)))
    columns = np.array(records).T
    return Flow(columns[0], columns[1], columns[2], columns[3], GaugeField(core), steps)


def _flow_terms(action: str | Action) -> list[Any]:
    if isinstance(action, str):
        if action.lower() not in FLOW_ACTIONS:
            raise ValueError(unknown("flow action", action, FLOW_ACTIONS))
        c1 = FLOW_ACTIONS[action.lower()]
        loops = [(1.0 - 8.0 * c1, "plaquette")] + ([(c1, "rectangle")] if c1 else [])
        return [loops]
    from plaq.actions import Action

    if not isinstance(action, Action):
        raise TypeError(f"action is a name or one of plaq.actions; got {action!r}")
    return action.core_terms()


def _measured(t: float, U: GaugeField) -> tuple[float, float, float, float]:
    charge = math.nan
    if U.ndim == 4:
        charge = observables.topological_charge(U)
    elif U.ndim == 2 and U.group == "U(1)":
        charge = observables.topological_charge(U, "geometric")
    return t, observables.energy_density(U), charge, observables.plaquette(U)


def _checked_loop(loop: Any) -> str | list[int]:
    if isinstance(loop, str):
        if loop not in _plaq.LOOP_FAMILIES:
            raise ValueError(unknown("loop", loop, _plaq.LOOP_FAMILIES))
        return loop
    try:
        steps = [int(s) for s in loop]
    except (TypeError, ValueError):
        raise TypeError(f"a loop is a name or a list of steps +-(mu+1); got {loop!r}") from None
    if not steps or any(not 1 <= abs(s) <= 4 for s in steps):
        raise ValueError(f"loop {steps}: steps are +-1 to +-4 (direction mu is +-(mu+1))")
    return steps


def _mask(directions: Iterable[int]) -> int:
    chosen = list(directions)
    if not chosen or any(isinstance(mu, bool) or not isinstance(mu, int | np.integer) for mu in chosen):
        raise TypeError(f"directions is a list of ints; got {directions!r}")
    if any(not 0 <= mu <= 3 for mu in chosen):
        raise ValueError(f"directions {chosen}: a layer names its directions 0 to 3")
    return sum(1 << int(mu) for mu in set(chosen))


class StoutLayer:
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
        if isinstance(loops, str) or not len(list(loops)):
            raise TypeError(f"loops is a list of names or paths; got {loops!r}")
        checked = [_checked_loop(loop) for loop in loops]
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
            self.rho = _vector("rho", rho, len(self.terms))

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        label = [loop if isinstance(loop, str) else ",".join(map(str, loop)) for loop, _ in self.terms]
        masks = [mask for _, mask in self.terms]
        suffix = ["" if mask == ALL else "@" + "".join(str(mu) for mu in range(4) if mask >> mu & 1) for mask in masks]
        return [a + b for a, b in zip(label, suffix, strict=True)]

    def architecture(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": "stout", "terms": [[loop, mask] for loop, mask in self.terms]}

    def core(self) -> tuple[list[Any], list[float]]:
        """Terms and coefficients as the core takes them."""
        return [([(1.0, loop)], mask) for loop, mask in self.terms], [float(r) for r in self.rho]


def _vector(name: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    try:
        vector = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a sequence of {length} numbers; got {values!r}") from None
    if vector.shape != (length,):
        raise ValueError(f"{name} has shape {vector.shape}; {length} numbers are needed")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} holds NaN or infinity: {vector}")
    return vector


class CovariantNet:
    """A gauge covariant network: layers one after another (arXiv 2103.11965).

    ``net(U)`` is the image of a field. Composed with an action (:class:`plaq.actions.Mapped`) it drives HMC.

    Parameters
    ----------
    layers : sequence of StoutLayer
    recompute : bool
        In the reverse pass compute the fields between layers again instead of keeping one field per layer.

    Attributes
    ----------
    parameters : ndarray
        All coefficients, layer by layer; can be set.

    Examples
    --------
    >>> import plaq as pq
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])] * 2)
    >>> U = pq.GaugeField.hot((4, 4), rng=1)
    >>> net(U) == pq.smear.stout(U, 0.1, n=2)
    True
    """

    def __init__(self, layers: Sequence[StoutLayer], *, recompute: bool = False) -> None:
        chosen = list(layers)
        if not chosen or not all(isinstance(layer, StoutLayer) for layer in chosen):
            raise TypeError(f"layers is a list of StoutLayer; got {layers!r}")
        self.layers = [_copy(layer) for layer in chosen]
        self.recompute = bool(recompute)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """All coefficients, layer by layer."""
        return np.concatenate([layer.rho for layer in self.layers])

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        vector = _vector("parameters", values, len(self.parameters))
        for layer in self.layers:
            layer.rho, vector = vector[: len(layer.rho)].copy(), vector[len(layer.rho) :]

    def named_parameters(self) -> dict[str, float]:
        """Coefficients by ``"layer.loop"``.

        Examples
        --------
        >>> CovariantNet([StoutLayer(["plaquette", "chair"], [0.1, 0.02])]).named_parameters()
        {'0.plaquette': 0.1, '0.chair': 0.02}
        """
        return {
            f"{n}.{name}": float(rho)
            for n, layer in enumerate(self.layers)
            for name, rho in zip(layer.names, layer.rho, strict=True)
        }

    def __call__(self, U: GaugeField) -> GaugeField:
        """Image of a field, with the gauge transformation of the input."""
        return GaugeField(_plaq.network_forward(_field(U, 1)._core, self.core()))

    def pullback(
        self, U: GaugeField, cotangent: NDArray[np.complex128]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        r"""Reverse pass (the extended delta rule).

        Parameters
        ----------
        U : GaugeField
            The input.
        cotangent : ndarray
            :math:`F'` at the output, with :math:`dS = \langle F', \delta'\rangle` for :math:`U' \to e^{\delta'} U'`,
            for example ``action.force(net(U))``; shape of the links.

        Returns
        -------
        dU : ndarray
            :math:`F` at the input, :math:`dS = \langle F, \delta\rangle` for :math:`U \to e^{\delta} U`.
        dtheta : ndarray
            dS/d(parameters).

        Notes
        -----
        Memory: one field per layer (none with ``recompute``), and four fields' worth for the dual numbers of one layer.

        Examples
        --------
        >>> import plaq as pq
        >>> net, S = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]), pq.actions.Wilson(2.0)
        >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
        >>> dU, dtheta = net.pullback(U, S.force(net(U)))
        >>> bool(np.allclose(dU, pq.actions.Mapped(S, net).force(U)))
        True
        """
        links = np.ascontiguousarray(cotangent, np.complex128)
        wanted = (U.ndim, *_field(U, 1).shape, U.n_colors, U.n_colors)
        if links.shape != wanted:
            raise ValueError(f"cotangent has shape {links.shape}; {wanted} is needed")
        below, gradient = _plaq.network_pullback(U._core, self.core(), self.recompute, links)
        return below, np.array(gradient)

    def architecture(self) -> list[dict[str, Any]]:
        """Plain data that says what the layers are."""
        return [layer.architecture() for layer in self.layers]

    def core(self) -> list[Any]:
        """Layers as the core takes them."""
        return [layer.core() for layer in self.layers]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and coefficients to a safetensors file."""
        save_weights(path, {f"{n}.rho": layer.rho for n, layer in enumerate(self.layers)}, self.architecture())

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Take the coefficients of a file whose architecture must be the same.

        Raises
        ------
        ValueError
            Another architecture; names the first difference.
        FormatError
            A damaged file.
        """
        other = CovariantNet.load(path)
        mine, theirs = self.architecture(), other.architecture()
        if len(mine) != len(theirs):
            raise ValueError(f"{path} has {len(theirs)} layers, this network {len(mine)}")
        for n, (a, b) in enumerate(zip(theirs, mine, strict=True)):
            if a != b:
                raise ValueError(f"{path}: layer {n} is {a}, in this network {b}")
        self.parameters = other.parameters

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CovariantNet:
        """The network of a safetensors file.

        Raises
        ------
        FormatError
            A damaged or hostile file, or one of another kind.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> CovariantNet([StoutLayer(["plaquette"], [0.1])]).save(path)
        >>> CovariantNet.load(path).parameters
        array([0.1])
        """
        weights, architecture = load_weights(path)
        try:
            layers = [_layer(entry, weights[f"{n}.rho"]) for n, entry in enumerate(architecture)]
            return cls(layers)
        except (TypeError, KeyError, ValueError) as error:
            raise _plaq.FormatError(f"{path} holds no covariant network ({error}); save it again") from None


def _layer(entry: dict[str, Any], rho: NDArray[np.float64]) -> StoutLayer:
    if entry["kind"] != "stout":
        raise ValueError(f"layer kind {entry['kind']!r}")
    layer = StoutLayer([loop for loop, _ in entry["terms"]])
    layer.terms = [
        (loop, int(mask)) for loop, (_, mask) in zip([t[0] for t in layer.terms], entry["terms"], strict=True)
    ]
    layer.rho = _vector("rho", rho, len(layer.terms))
    return layer


def _copy(layer: StoutLayer) -> StoutLayer:
    twin = object.__new__(StoutLayer)
    twin.terms, twin.rho = list(layer.terms), layer.rho.copy()
    return twin
