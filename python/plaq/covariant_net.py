"""Gauge covariant networks: smearing with trainable coefficients (arXiv 2103.11965) and attention (2501.16955)."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.gauge import GaugeField
from plaq.losses import Loss, train
from plaq.optimizers import Optimizer
from plaq.sampler import Rng, seed_of
from plaq.smear_arguments import gauge_field, vector
from plaq.suggest import unknown
from plaq.train import History
from plaq.weights import load_weights, save_weights

__all__ = ["AttentionLayer", "CovariantNet", "StoutLayer"]

Loop: TypeAlias = str | Sequence[int]
ALL = 255


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


class Layer:
    """A layer of a covariant network: its loops, and its coefficients `rho` (one-dimensional)."""

    terms: list[tuple[Any, int]]
    rho: NDArray[np.float64]

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        raise NotImplementedError

    def architecture(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        raise NotImplementedError

    def core(self) -> tuple[Any, ...]:
        """The layer as the core takes it."""
        return self._core_terms(), [float(r) for r in self.rho]

    def _core_terms(self) -> list[Any]:
        return [([(1.0, loop)], mask) for loop, mask in self.terms]

    def _term_names(self) -> list[str]:
        label = [loop if isinstance(loop, str) else ",".join(map(str, loop)) for loop, _ in self.terms]
        masks = [mask for _, mask in self.terms]
        suffix = ["" if mask == ALL else "@" + "".join(str(mu) for mu in range(4) if mask >> mu & 1) for mask in masks]
        return [a + b for a, b in zip(label, suffix, strict=True)]

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {rho:.6g}" for name, rho in zip(self.names, self.rho, strict=True))
        return f"{type(self).__name__}({values})"


def _checked_loops(loops: Sequence[Loop]) -> list[Any]:
    if isinstance(loops, str) or not len(list(loops)):
        raise TypeError(f"loops is a list of names or paths; got {loops!r}")
    return [_checked_loop(loop) for loop in loops]


class StoutLayer(Layer):
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

    def architecture(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": "stout", "terms": [[loop, mask] for loop, mask in self.terms]}


class AttentionLayer(Layer):
    r"""Gauge covariant attention on links, trainable, after CASK (arXiv 2501.16955).

    Three stout-type maps give fields Q, K, V. With :math:`V_b` the staples of a link, of lengths 1 to `reach` in both
    senses of every other direction, :math:`a_b = f(\mathrm{Re\,tr}[Q_\mu V_b(K)] - \mathrm{Re\,tr}[U_\mu V_b(U)])`,
    :math:`f(x) = \tan(\pi x / (4 (N + 0.01)))`, and :math:`U' = e^{A} V`,
    :math:`A = -\mathrm{TA}(V_\mu \sum_b a_b V_b(V))`. The scores are gauge invariant, so U' transforms like U; with all
    coefficients zero the layer is the identity.

    Parameters
    ----------
    loops : sequence of str or list of int
        Loop families of the three maps, by name or path.
    rho : array_like, optional
        Coefficients, shape (3, number of loops): rows query, key, value; by default 0, the identity.
    reach : int
        Longest staple, 1 to 8; the article has 3.

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

    def __init__(self, loops: Sequence[Loop], rho: ArrayLike | None = None, *, reach: int = 3) -> None:
        if isinstance(reach, bool) or not isinstance(reach, int | np.integer):
            raise TypeError(f"reach is an int; got {reach!r}")
        if not 1 <= reach <= 8:
            raise ValueError(f"reach = {reach}: the longest staple has 1 to 8 links")
        self.terms = [(loop, ALL) for loop in _checked_loops(loops)]
        self.reach = int(reach)
        self.rho = np.zeros(3 * len(self.terms))
        if rho is not None:
            given = np.asarray(rho, object)
            if given.shape != (3, len(self.terms)):
                raise ValueError(
                    f"rho has shape {given.shape}; (3, {len(self.terms)}) is needed: rows query, key, value; "
                    "one column for each loop"
                )
            self.rho = vector("rho", given.ravel(), 3 * len(self.terms))

    @property
    def names(self) -> list[str]:
        """A name for each coefficient."""
        return [f"{part}.{name}" for part in ("query", "key", "value") for name in self._term_names()]

    def architecture(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": "attention", "terms": [[loop, mask] for loop, mask in self.terms], "reach": self.reach}

    def core(self) -> tuple[Any, ...]:
        """The layer as the core takes it."""
        return *super().core(), self.reach


class CovariantNet:
    """A gauge covariant network: layers one after another (arXiv 2103.11965).

    ``net(U)`` is the image of a field. Composed with an action (:class:`plaq.actions.Mapped`) it drives HMC.

    Parameters
    ----------
    layers : sequence of StoutLayer or AttentionLayer
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

    def __init__(self, layers: Sequence[Layer], *, recompute: bool = False) -> None:
        chosen = [layers] if isinstance(layers, Layer) else list(layers)
        if not chosen or not all(isinstance(layer, Layer) for layer in chosen):
            raise TypeError(f"layers is a list of StoutLayer and AttentionLayer; got {layers!r}")
        self.layers = [_copy(layer) for layer in chosen]
        self.recompute = bool(recompute)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """All coefficients, layer by layer."""
        return np.concatenate([layer.rho for layer in self.layers])

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        left = vector("parameters", values, len(self.parameters))
        for layer in self.layers:
            layer.rho, left = left[: len(layer.rho)].copy(), left[len(layer.rho) :]

    def __repr__(self) -> str:
        return f"CovariantNet([{', '.join(map(repr, self.layers))}])"

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
        return GaugeField(_plaq.network_forward(gauge_field(U, 1)._core, self.core()))

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
        Memory: one field per layer (none with ``recompute``), and four fields' worth for the dual numbers of one stout
        layer; an attention layer takes about 9 + 4 `reach` fields and :math:`6 (D-1)\\,\\mathrm{reach}` numbers a link.

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
        wanted = (U.ndim, *gauge_field(U, 1).shape, U.n_colors, U.n_colors)
        if links.shape != wanted:
            raise ValueError(f"cotangent has shape {links.shape}; {wanted} is needed")
        below, gradient = _plaq.network_pullback(U._core, self.core(), self.recompute, links)
        return below, np.array(gradient)

    def fit(
        self,
        fields: Sequence[GaugeField],
        loss: Loss,
        *,
        optimizer: Optimizer | None = None,
        epochs: int = 100,
        batch: int | None = None,
        validation: Sequence[GaugeField] | None = None,
        patience: int | None = None,
        rng: Rng = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> History:
        """Train the coefficients on configurations by the extended delta rule (arXiv 2103.11965).

        Parameters
        ----------
        fields : sequence of GaugeField
            The configurations.
        loss : plaq.losses.Loss
            What is minimised: :class:`plaq.losses.ActionDifference`, :class:`plaq.losses.ForceNorm` or
            :class:`plaq.losses.FieldDistance`.
        optimizer : SGD, Adam or AdamW, optional
            From ``plaq.optimizers``; by default ``AdamW(1e-3, weight_decay=0)``.
        epochs : int
            Passes over the configurations.
        batch : int, optional
            Configurations per step; by default all.
        validation : sequence of GaugeField, optional
            Held-out configurations; the coefficients with the smallest loss on them are kept.
        patience : int, optional
            Epochs without a better validation loss after which training ends.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Order of the configurations.
        checkpoint : path, optional
            Written after every epoch; an interrupted training goes on from it, with its coefficients, to the same bits.
        progress : bool
            Show progress.

        Returns
        -------
        History
            ``epoch, step, loss, gradient_norm, learning_rate`` and, if asked for, ``validation``. Without validation
            the last coefficients are kept. Ctrl-C ends the training (``history.interrupted``).

        Raises
        ------
        TypeError, ValueError
            Wrong arguments, fields of different kinds, a loss that is not finite.
        CheckpointError
            The checkpoint is damaged or belongs to another training.

        Examples
        --------
        >>> import plaq as pq
        >>> U = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(4)]
        >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
        >>> loss = pq.losses.FieldDistance([pq.smear.stout(u, 0.1) for u in U])
        >>> history = net.fit(U, loss, optimizer=pq.optimizers.SGD(0.1), epochs=60, progress=False)
        >>> bool(abs(net.parameters[0] - 0.1) < 1e-6)
        True
        """
        return train(
            self, fields, loss, optimizer, epochs, batch, validation, patience, seed_of(rng), checkpoint, progress
        )

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
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise _plaq.FormatError(
                f"{path} holds no covariant network ({error}); load files of other models with their own class"
            ) from None


def _layer(entry: dict[str, Any], rho: NDArray[np.float64]) -> Layer:
    loops, masks = [loop for loop, _ in entry["terms"]], [mask for _, mask in entry["terms"]]
    if any(type(mask) is not int or not (1 <= mask <= 15 or mask == ALL) for mask in masks):
        raise ValueError(f"directions {masks}; allowed are the masks 1 to 15 and {ALL}")
    if entry["kind"] == "stout":
        layer: Layer = StoutLayer(loops)
        layer.terms = [(loop, mask) for (loop, _), mask in zip(layer.terms, masks, strict=True)]
    elif entry["kind"] == "attention":
        layer = AttentionLayer(loops, reach=entry["reach"])
    else:
        raise ValueError(f"layer kind {entry['kind']!r}; known are stout and attention")
    layer.rho = vector("rho", rho, len(layer.rho))
    return layer


def _copy(layer: Layer) -> Layer:
    twin = copy.copy(layer)
    twin.terms, twin.rho = list(layer.terms), layer.rho.copy()
    return twin
