"""Coupling layers: changes of variables that move one part of a field by functions of the other part."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.fields.scalar import MAX_COMPONENTS
from plaq.flows.circle import Projections, inverse, wrapped
from plaq.flows.priors import Haar, Prior
from plaq.ground.arguments import instance, number, one_of, whole_number, whole_numbers
from plaq.ground.names import Explained, call_text
from plaq.ground.rng import Rng
from plaq.nn.layers import Conv, Layer, Tanh
from plaq.nn.sequential import Sequential

__all__ = ["AffineCoupling", "Coupling", "Diverged", "LineCoupling", "PlaquetteCoupling"]

Array = NDArray[np.float64]
Tape = dict[str, Any]

WIDEST = 4096
"""Most channels of a hidden layer."""


class Diverged(ValueError):
    """Fields that have overflowed on their way through couplings: a sampler has left every typical field."""


class Coupling(ABC, metaclass=Explained):
    r"""A change of variables y = f(x) that moves the coordinates of a mask one by one, :math:`y_i = h_i(x_i)` with h
    monotone, by parameters that depend on the others alone: the Jacobian is triangular,
    :math:`\ln\det = \sum_i \ln h_i'(x_i)`.

    Parameters of h are the outputs of a periodic convolutional network, the weights of whose last layer start at zero:
    a new affine coupling is the identity, a new coupling of plaquettes close to it.

    Examples
    --------
    >>> isinstance(AffineCoupling(), Coupling)
    True
    """

    __repr__ = call_text

    network: Sequential
    """The network; its parameters are those of the coupling."""
    hidden: tuple[int, ...]
    size: int
    activation: Layer
    dtype: str

    def _build(
        self, c_in: int, c_out: int, ndim: int, hidden: Any, size: Any, activation: Any, dtype: Any, rng: Rng
    ) -> None:
        remedy = "channels of the hidden layers, as in (8, 8)"
        self.hidden = tuple(whole_numbers("hidden", hidden, 1, WIDEST, remedy))
        self.size = whole_number("size", size, 1, 1000)
        self.activation = instance("activation", activation, Layer, "a layer of plaq.nn such as pq.nn.Tanh()")
        self.dtype = one_of("dtype", dtype, ["float64", "float32"])
        layers: list[Layer] = []
        for channels in self.hidden:
            layers += [Conv(self.size, c_in, channels), self.activation]
            c_in = channels
        layers.append(Conv(self.size, c_in, c_out))
        self.network = Sequential(layers, ndim=ndim, dtype=self.dtype, rng=rng)
        parameters = self.network.parameters
        parameters[-(c_in * self.size**ndim + 1) * c_out :] = 0.0
        self.network.parameters = parameters

    def _outputs(self, inputs: Array) -> Array:
        """What the network gives; inputs that are not finite are said to be so."""
        if not np.isfinite(inputs).all():
            raise Diverged(f"fields have overflowed before {self!r}: they, or its parameters, are too large")
        return self.network(inputs)

    def _network_spec(self) -> dict[str, Any]:
        activation = self.activation.spec()
        return {"hidden": list(self.hidden), "size": self.size, "activation": activation, "dtype": self.dtype}

    def copy(self) -> Coupling:
        """The same coupling with parameters of its own."""
        twin = copy.copy(self)
        twin.network = copy.deepcopy(self.network)
        return twin

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The coupling as plain data; parameters are apart from it."""

    @abstractmethod
    def _check(self, prior: Prior) -> None:
        """Refuse fields that the coupling does not fit."""

    @abstractmethod
    def _moved(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which coordinates of one field move."""

    @abstractmethod
    def _record(self, x: Array) -> tuple[Array, Array, Tape]:
        """Images, log det of each sample, and what the reverse pass needs (its ``slope`` and ``bend`` too: h' and
        (ln h')' of the coordinates that move).
        """

    @abstractmethod
    def _inverse(self, y: Array) -> tuple[Array, Array]:
        """x with f(x) = y, and the log det at x."""

    @abstractmethod
    def _pullback(self, tape: Tape, dy: Array, dlog: Array) -> tuple[Array, Array]:
        """Derivatives with respect to x and to the parameters of a function with derivatives dy, dlog."""

    def _push(self, tape: Tape, score: Array) -> Array:
        r"""The derivative of :math:`\ln q(f^{-1}(y)) - \ln\det` with respect to y, from that of ln q with respect to x.

        With J triangular the system :math:`J^T g_y = g_x - \partial_x \ln\det` is solved first for the coordinates that
        move, then for the others (arXiv 2207.08219).
        """
        moved = self._moved(score.shape[1:])
        dy = np.where(moved, (score - tape["bend"]) / tape["slope"], 0.0)
        dx, _ = self._pullback(tape, dy, np.ones(len(score)))
        return np.where(moved, dy, score - dx)


def rows(values: Array) -> Array:
    """Sums over everything but samples, in an order that does not depend on their number."""
    sums: Array = np.ascontiguousarray(values).reshape(len(values), -1).sum(axis=1)
    return sums


def per_sample(values: Array, ndim: int) -> Array:
    return values.reshape(len(values), *[1] * (ndim - 1))


class AffineCoupling(Coupling):
    r"""Affine coupling of scalar fields on the checkerboard (real NVP, arXiv 1605.08803, 1904.12072).

    :math:`\phi(x) \to e^{s(x)}\phi(x) + t(x)` at sites of one parity, :math:`s = b\tanh(s_0/b)`;
    :math:`\ln\det = \sum s`. :math:`s_0` and t are outputs of the network for the field at the other sites, one of each
    for each component.

    With `symmetric`, for fields with :math:`\phi \to -\phi` or O(N): the inputs are the products
    :math:`\phi(x+e)\cdot\phi(x+e')/n` of the 2 D neighbours of the sites that move, :math:`n^2 = 1 +
    \sum_e|\phi(x+e)|^2`, the outputs are one :math:`s_0` and weights :math:`w_e` of the neighbours,
    :math:`t = \sum_e w_e\,\phi(x+e)`.

    Parameters
    ----------
    parity : int
        0 moves sites with even :math:`\sum_\mu x_\mu`, 1 the others.
    ndim : int
        D, 1 to 4.
    components : int
        Components of the field.
    symmetric : bool
        Commute with rotations O(N) of the components, for one component with the change of sign.
    hidden : sequence of int
        Channels of the hidden layers.
    size : int
        Sites to a side of the windows of the network.
    activation : Layer
        Between convolutions.
    bound : float
        b, largest size of s.
    dtype : {"float64", "float32"}
        Precision of the network. Inverse and log det are exact either way.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        First parameters of the hidden layers.

    Raises
    ------
    TypeError, ValueError
        Settings out of range; in a flow: odd extents, another number of dimensions or components.

    Examples
    --------
    >>> AffineCoupling(1, symmetric=True).network.n_parameters
    1677
    """

    def __init__(
        self,
        parity: int = 0,
        *,
        ndim: int = 2,
        components: int = 1,
        symmetric: bool = False,
        hidden: Sequence[int] = (8, 8),
        size: int = 3,
        activation: Layer = Tanh(),  # noqa: B008
        bound: float = 2.0,
        dtype: str = "float64",
        rng: Rng = 0,
    ) -> None:
        self.parity = whole_number("parity", parity, 0, 1)
        self.ndim = whole_number("ndim", ndim, 1, 4)
        self.components = whole_number("components", components, 1, MAX_COMPONENTS)
        self.symmetric = bool(instance("symmetric", symmetric, bool, "True or False"))
        self.bound = number("bound", bound, 1e-3, 100.0)
        ends = 2 * self.ndim
        self._pairs = [(i, j) for i in range(ends) for j in range(i, ends)]
        inside = len(self._pairs) if self.symmetric else self.components
        outside = 1 + ends if self.symmetric else 2 * self.components
        self._build(inside, outside, self.ndim, hidden, size, activation, dtype, rng)

    def spec(self) -> dict[str, Any]:
        """The coupling as plain data; parameters are apart from it."""
        names = ("parity", "ndim", "components", "symmetric", "bound")
        return {"kind": "affine", **{name: getattr(self, name) for name in names}, **self._network_spec()}

    def _check(self, prior: Prior) -> None:
        if isinstance(prior, Haar) or len(prior.shape) != self.ndim or prior._coordinates[-1] != self.components:
            raise ValueError(
                f"{self!r} is for scalar fields of {self.ndim} dimensions and {self.components} components; "
                f"the prior is {prior!r}"
            )
        if any(extent % 2 for extent in prior.shape):
            raise ValueError(f"shape {prior.shape}: a checkerboard needs even extents")

    def _moved(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        sites = np.indices(shape[:-1]).sum(axis=0) % 2 == self.parity
        moved: NDArray[np.bool_] = np.broadcast_to(sites[..., np.newaxis], shape)
        return moved

    def _neighbours(self, still: Array) -> Array:
        """[sample, direction, x.., component]: phi(x + mu), then phi(x - mu)."""
        axes = range(1, self.ndim + 1)
        rolled = [np.roll(still, shift, axis) for shift in (-1, 1) for axis in axes]
        return np.stack(rolled, axis=1)

    def _from_neighbours(self, values: Array) -> Array:
        """The transpose of :meth:`_neighbours`."""
        ends = [(shift, axis) for shift in (1, -1) for axis in range(1, self.ndim + 1)]
        rolled = [np.roll(values[:, e], shift, axis) for e, (shift, axis) in enumerate(ends)]
        total: Array = np.sum(rolled, axis=0)
        return total

    def _parts(self, x: Array) -> Tape:
        moved = self._moved(x.shape[1:])
        still = np.where(moved, 0.0, x)
        if self.symmetric:
            around = self._neighbours(still)
            products = np.stack([(around[:, i] * around[:, j]).sum(axis=-1) for i, j in self._pairs], axis=1)
            size = np.sqrt(1 + (around**2).sum(axis=(1, -1)))[:, np.newaxis]
            inputs = np.where(moved[..., 0], products / size, 0.0)
            outputs = self._outputs(inputs)
            raw, weights = outputs[:, 0, ..., np.newaxis], outputs[:, 1:, ..., np.newaxis]
            shift = (weights * around).sum(axis=1)
            more = {"around": around, "weights": weights, "size": size}
        else:
            inputs = np.ascontiguousarray(np.moveaxis(still, -1, 1))
            outputs = np.moveaxis(self._outputs(inputs), 1, -1)
            raw, shift, more = outputs[..., : self.components], outputs[..., self.components :], {}
        squeezed = np.tanh(raw / self.bound)
        scale = np.where(moved, self.bound * squeezed, 0.0)
        tape = {"x": x, "moved": moved, "inputs": inputs, "squeezed": squeezed, "scale": scale, "shift": shift}
        return tape | more

    def _record(self, x: Array) -> tuple[Array, Array, Tape]:
        tape = self._parts(x)
        slope = np.exp(tape["scale"])
        y = np.where(tape["moved"], slope * x + tape["shift"], x)
        return y, rows(tape["scale"]), tape | {"slope": slope, "bend": 0.0}

    def _inverse(self, y: Array) -> tuple[Array, Array]:
        tape = self._parts(y)
        x = np.where(tape["moved"], (y - tape["shift"]) * np.exp(-tape["scale"]), y)
        return x, rows(tape["scale"])

    def _pullback(self, tape: Tape, dy: Array, dlog: Array) -> tuple[Array, Array]:
        moved, slope = tape["moved"], tape["slope"]
        dshift = np.where(moved, dy, 0.0)
        dscale = np.where(moved, dy * tape["x"] * slope + per_sample(dlog, dy.ndim), 0.0)
        draw = dscale * (1 - tape["squeezed"] ** 2)
        dx = dy * slope
        if not self.symmetric:
            above = np.moveaxis(np.concatenate([draw, dshift], axis=-1), -1, 1)
            below, dtheta = self.network.pullback(tape["inputs"], np.ascontiguousarray(above))
            return dx + np.where(moved, 0.0, np.moveaxis(below, 1, -1)), dtheta
        around = tape["around"]
        dweights = (dshift[:, np.newaxis] * around).sum(axis=-1)
        above = np.concatenate([draw.sum(axis=-1)[:, np.newaxis], dweights], axis=1)
        below, dtheta = self.network.pullback(tape["inputs"], above)
        dproducts = (np.where(moved[..., 0], below, 0.0) / tape["size"])[..., np.newaxis]
        inwards = (tape["inputs"][..., np.newaxis] * dproducts).sum(axis=1, keepdims=True)
        daround = tape["weights"] * dshift[:, np.newaxis] - around * inwards / tape["size"][..., np.newaxis]
        for number_of, (i, j) in enumerate(self._pairs):
            daround[:, i] += dproducts[:, number_of] * around[:, j]
            daround[:, j] += dproducts[:, number_of] * around[:, i]
        return dx + np.where(moved, 0.0, self._from_neighbours(daround)), dtheta


class LineCoupling(Coupling):
    """What couplings of plaquettes in two dimensions share: links of one direction on every `period`-th line move, and
    the network, which sees the plaquettes between, gives parameters of :class:`Projections` for those above the links.
    """

    ndim = 2
    _kind: str
    _group: str
    _inputs: int
    """Channels that the network sees."""
    _shifts: int
    """Outputs of the network beside s and w."""
    _maps = 1
    """Numbers of a plaquette that move, each by a map of its own."""

    def __init__(
        self,
        direction: int,
        offset: int,
        period: int,
        terms: int,
        hidden: Sequence[int],
        size: int,
        activation: Layer,
        bound: float,
        dtype: str,
        rng: Rng,
    ) -> None:
        self.direction = whole_number("direction", direction, 0, 1)
        self.period = whole_number("period", period, 3, 2**16)
        self.offset = whole_number("offset", offset, 0, self.period - 1)
        self.terms = whole_number("terms", terms, 1, 1024)
        self.bound = number("bound", bound, 1e-3, 20.0)
        outputs = 2 * self.terms * self._maps + self._shifts
        self._build(self._inputs, outputs, 2, hidden, size, activation, dtype, rng)
        if self.terms > 1:  # equal terms would have equal gradients for ever
            parameters, first = self.network.parameters, self.network.n_parameters - outputs
            spread = np.repeat(np.linspace(-1, 1, self.terms), self._maps)
            parameters[first : first + len(spread)] = spread
            self.network.parameters = parameters

    def spec(self) -> dict[str, Any]:
        """The coupling as plain data; parameters are apart from it."""
        names = ("direction", "offset", "period", "terms", "bound")
        return {"kind": self._kind, **{name: getattr(self, name) for name in names}, **self._network_spec()}

    def _check(self, prior: Prior) -> None:
        if not isinstance(prior, Haar) or len(prior.shape) != 2 or prior.group != self._group:
            raise ValueError(f"{self!r} is for {self._group} links in two dimensions; the prior is {prior!r}")
        extent = prior.shape[1 - self.direction]
        if extent % self.period:
            raise ValueError(
                f"shape {prior.shape}: links of direction {self.direction} move on every {self.period}th line, so that "
                f"extent {extent} must be a multiple of {self.period}"
            )

    @property
    def _lines(self) -> tuple[Any, ...]:
        """The plaquettes that are active, as an index of [.., x_0, x_1]."""
        every = slice(self.offset, None, self.period)
        return (..., slice(None), every) if self.direction == 0 else (..., every, slice(None))

    def _moved(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        moved = np.zeros(shape, bool)
        moved[self.direction][self._lines] = True
        return moved

    def _frozen(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Plaquettes without links that move."""
        return _frozen(shape, self.direction, self.offset, self.period)

    def _heard(self, inputs: Array) -> tuple[Tape, Array, Array, Array]:
        """What the network says of the active plaquettes: tape, s and w ``[term, map, ..]``, and what is left."""
        outputs = np.moveaxis(self._outputs(inputs)[self._lines], 1, 0)
        count, shape = self.terms * self._maps, (self.terms, self._maps, *outputs.shape[1:])
        squeezed = np.tanh(outputs[:count].reshape(shape) / self.bound)
        logits = outputs[count : 2 * count].reshape(shape)
        weights = np.exp(logits - logits.max(axis=0))
        weights /= weights.sum(axis=0)
        tape = {"inputs": inputs, "squeezed": squeezed, "weights": weights}
        return tape, self.bound * squeezed, weights, outputs[2 * count :]

    def _said(
        self, tape: Tape, ds: Array, dw: Array, more: Array | None, shape: tuple[int, ...]
    ) -> tuple[Array, Array]:
        """The reverse pass of :meth:`_heard`."""
        above = np.zeros((ds.shape[2], 2 * self.terms * self._maps + self._shifts, *shape))
        weights, rest = tape["weights"], ds.shape[2:]
        parts = [ds * (1 - tape["squeezed"] ** 2), weights * (dw - (weights * dw).sum(axis=0))]
        parts = [part.reshape(-1, *rest) for part in parts] + ([] if more is None else [more])
        above[self._lines] = np.moveaxis(np.concatenate(parts), 0, 1)
        return self.network.pullback(tape["inputs"], above)


class PlaquetteCoupling(LineCoupling):
    r"""Gauge-equivariant coupling of 2D U(1) (arXiv 2003.06413): links move so that their plaquettes do.

    Links of one direction on every `period`-th line (along the direction) move; of their two plaquettes one is active,
    :math:`P \to h(P) + t`, and the link goes with it, the other follows. Between these lines stand plaquettes without
    any link that moves: their cosines and sines are the input of the network, whose outputs are the parameters of
    :math:`h(P) = \sum_k w_k\,2\arctan(e^{s_k}\tan\frac{P}{2})` and t, with :math:`s_k = b\tanh(s_{0k}/b)` and w the
    softmax of outputs. :math:`\ln\det = \sum\ln h'(P)`. New couplings have :math:`s_{0k}` from -1 to 1.

    Parameters
    ----------
    direction : int
        0 or 1, that of the links.
    offset : int
        Which lines: those whose other coordinate is `offset` modulo `period`.
    period : int
        3 or more; extents must be multiples of it.
    terms : int
        Number of k.
    hidden, size, activation, dtype, rng
        As of :class:`AffineCoupling`.
    bound : float
        b, largest size of :math:`s_k`.

    Raises
    ------
    TypeError, ValueError
        Settings out of range; in a flow: extents that are no multiples of the period, another number of dimensions.

    Examples
    --------
    >>> PlaquetteCoupling(1, 2, terms=4).network.n_parameters
    1393
    """

    _kind, _group, _inputs, _shifts = "plaquette", "U(1)", 2, 1

    def __init__(
        self,
        direction: int = 0,
        offset: int = 0,
        *,
        period: int = 4,
        terms: int = 6,
        hidden: Sequence[int] = (8, 8),
        size: int = 3,
        activation: Layer = Tanh(),  # noqa: B008
        bound: float = 4.0,
        dtype: str = "float64",
        rng: Rng = 0,
    ) -> None:
        super().__init__(direction, offset, period, terms, hidden, size, activation, bound, dtype, rng)

    @property
    def _sign(self) -> float:
        """With which the link stands in its plaquette."""
        return 1.0 if self.direction == 0 else -1.0

    def _parts(self, x: Array) -> tuple[Tape, Array, Array, Array]:
        """What the network says: tape, s_k, w_k and t of the active plaquettes."""
        angles = plaquettes(x)
        frozen = self._frozen(x.shape[2:])
        inputs = np.stack([np.cos(angles), np.sin(angles)], axis=1) * frozen
        tape, s, w, shift = self._heard(inputs)
        return tape | {"angles": angles, "frozen": frozen}, s[:, 0], w[:, 0], shift[0]

    def _record(self, x: Array) -> tuple[Array, Array, Tape]:
        tape, s, w, t = self._parts(x)
        here = Projections.at(wrapped(tape["angles"][self._lines]), s, w)
        y = x.copy()
        y[:, self.direction][self._lines] += self._sign * (here.value + t - here.x)
        slope, bend = np.ones_like(x), np.zeros_like(x)
        slope[:, self.direction][self._lines] = here.slope
        bend[:, self.direction][self._lines] = self._sign * here.curvature / here.slope
        return y, rows(np.log(here.slope)), tape | {"here": here, "slope": slope, "bend": bend}

    def _inverse(self, y: Array) -> tuple[Array, Array]:
        tape, s, w, t = self._parts(y)
        image = wrapped(tape["angles"][self._lines] - t)
        before = inverse(image, s, w)
        x = y.copy()
        x[:, self.direction][self._lines] += self._sign * (before - image - t)
        return x, rows(np.log(Projections.at(before, s, w).slope))

    def _pullback(self, tape: Tape, dy: Array, dlog: Array) -> tuple[Array, Array]:
        here: Projections = tape["here"]
        dimage = self._sign * dy[:, self.direction][self._lines]
        dactive, ds, dw = here.pullback(dimage, np.broadcast_to(per_sample(dlog, 3), dimage.shape))
        below, dtheta = self._said(tape, ds[:, np.newaxis], dw[:, np.newaxis], dimage[np.newaxis], dy.shape[2:])
        cosine, sine = np.cos(tape["angles"]), np.sin(tape["angles"])
        dangles = np.where(tape["frozen"], cosine * below[:, 1] - sine * below[:, 0], 0.0)
        dangles[self._lines] += dactive - dimage
        return dy + from_plaquettes(dangles), dtheta


@lru_cache(maxsize=256)
def _frozen(shape: tuple[int, ...], direction: int, offset: int, period: int) -> NDArray[np.bool_]:
    line = np.indices(shape)[1 - direction]
    frozen: NDArray[np.bool_] = ~np.isin((line - offset) % period, (0, period - 1))
    frozen.flags.writeable = False
    return frozen


def plaquettes(theta: Array) -> Array:
    r""":math:`P(x) = \theta_0(x) + \theta_1(x+\hat 0) - \theta_0(x+\hat 1) - \theta_1(x)`, ``[sample, mu, x_0, x_1]``.

    Examples
    --------
    >>> float(plaquettes(np.ones((1, 2, 2, 2))).sum())
    0.0
    """
    first, second = theta[:, 0], theta[:, 1]
    angles: Array = first.copy()
    angles[:, :-1] += second[:, 1:]
    angles[:, -1] += second[:, 0]
    angles[:, :, :-1] -= first[:, :, 1:]
    angles[:, :, -1] -= first[:, :, 0]
    angles -= second
    return angles


def from_plaquettes(values: Array) -> Array:
    """The transpose of :func:`plaquettes`."""
    links = np.empty((len(values), 2, *values.shape[1:]))
    first, second = links[:, 0], links[:, 1]
    np.subtract(values[:, :, 1:], values[:, :, :-1], out=first[:, :, 1:])
    np.subtract(values[:, :, 0], values[:, :, -1], out=first[:, :, 0])
    np.subtract(values[:, :-1], values[:, 1:], out=second[:, 1:])
    np.subtract(values[:, -1], values[:, 0], out=second[:, 0])
    return links
