"""Normalising flows: a prior and couplings, density and samples, training (arXiv 1904.12072, 2101.08176)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.concepts import Action, Trainable, Vector
from plaq.flows.coupling import AffineCoupling, Coupling, Diverged, PlaquetteCoupling, Tape
from plaq.flows.priors import Prior, coordinates_of, prior_from
from plaq.flows.spectral import SpectralCoupling
from plaq.flows.training import GRADIENTS, Draw, fitted
from plaq.flows.weighted import WeightedSamples
from plaq.ground.arguments import instance, number, one_of, require_memory, sequence, unknown, vector, whole_number
from plaq.ground.rng import Rng, seed_of
from plaq.ground.weights import load_weights, making, save_weights
from plaq.nn.layers import layer_from
from plaq.training.history import History
from plaq.training.optimizers import Optimizer, Schedule

__all__ = ["Flow"]

Array = NDArray[np.float64]

CHUNK = 1024
"""Samples that go through the couplings together."""
LARGEST = 1e70
"""The fourth power of a larger number overflows: HMC that gets there has diverged."""
MOST = 10**7
"""Most samples of one call."""


class Flow(Trainable):
    r"""A density of fields :math:`q(x) = p(z)\,/\,|\det\partial x/\partial z|`, x = f(z): a prior p and couplings f.

    Fields are handed over as one field, as a list of them, or as an array with samples on the first axis, each like
    ``np.asarray`` of a field; what comes back are arrays.

    Parameters
    ----------
    prior : Normal, FreeField or Haar
        p.
    layers : sequence of AffineCoupling, PlaquetteCoupling or SpectralCoupling
        The first is applied first. None is an empty list: the prior itself.

    Attributes
    ----------
    parameters : ndarray
        Those of all networks, coupling by coupling; can be set.

    Raises
    ------
    TypeError, ValueError
        No prior, no couplings, couplings that do not fit the fields of the prior.

    Examples
    --------
    >>> import plaq as pq
    >>> couplings = [pq.flows.AffineCoupling(parity, symmetric=True, rng=parity) for parity in (0, 1)]
    >>> flow = pq.flows.Flow(pq.flows.Normal((4, 4)), couplings)
    >>> phi = flow.sample(3, rng=1)
    >>> phi.shape, flow.log_prob(phi).shape
    ((3, 4, 4, 1), (3,))
    """

    def __init__(self, prior: Prior, layers: Sequence[Coupling]) -> None:
        self.prior: Prior = instance("prior", prior, Prior, "one of plaq.flows, as in Normal((8, 8))")
        self.layers: list[Coupling] = [
            layer.copy() for layer in sequence("layers", layers, Coupling, "couplings of plaq.flows", 0)
        ]
        for layer in self.layers:
            layer._check(prior)

    def __repr__(self) -> str:
        kinds = ", ".join(dict.fromkeys(type(layer).__name__ for layer in self.layers)) or "no couplings"
        return f"<Flow of {self.prior!r}, {len(self.layers)} x {kinds}, {self.n_parameters} parameters>"

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(layer.network.n_parameters for layer in self.layers)

    @property
    def parameters(self) -> Vector:
        """All parameters, coupling by coupling."""
        return np.concatenate([np.zeros(0), *(layer.network.parameters for layer in self.layers)])

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        left = vector("parameters", values, self.n_parameters)
        for layer in self.layers:
            size = layer.network.n_parameters
            layer.network.parameters, left = left[:size], left[size:]

    def named_parameters(self) -> dict[str, Array]:
        """Copies of the arrays by ``"coupling.layer.name"``."""
        return {
            f"{n}.{name}": values
            for n, layer in enumerate(self.layers)
            for name, values in layer.network.named_parameters().items()
        }

    def copy(self) -> Flow:
        """The same flow with parameters of its own."""
        return Flow(self.prior, self.layers)

    def _forward(self, z: Array) -> tuple[Array, Array]:
        x, log_det = z, np.zeros(len(z))
        for layer in self.layers:
            x, more, _ = layer._record(x)
            log_det = log_det + more
        return x, log_det

    def _backward(self, x: Array) -> tuple[Array, Array]:
        z, log_det = x, np.zeros(len(x))
        for layer in reversed(self.layers):
            z, more = layer._inverse(z)
            log_det = log_det + more
        return z, log_det

    def _log_density(self, x: Array) -> Array:
        z, log_det = self._backward(x)
        return self.prior._log_density(z) - log_det

    def _given(self, name: str, fields: Any) -> tuple[Array, bool]:
        return coordinates_of(self.prior, name, fields)

    def __call__(self, z: Any) -> NDArray[Any]:
        """Images x = f(z) of fields of the prior."""
        given, single = self._given("z", z)
        images = self.prior._array_of(self._forward(given)[0])
        return images[0] if single else images

    def inverse(self, x: Any) -> NDArray[Any]:
        """z with f(z) = x.

        Parameters
        ----------
        x : field, list of fields or ndarray

        Raises
        ------
        TypeError, ValueError
            Fields of another kind or shape; NaN.

        Examples
        --------
        >>> import plaq as pq
        >>> flow = pq.flows.u1_2d((4, 4), rng=1)
        >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=2)
        >>> bool(np.abs(flow(flow.inverse(U)) - np.asarray(U)).max() < 1e-12)
        True
        """
        given, single = self._given("x", x)
        origins = self.prior._array_of(self._backward(given)[0])
        return origins[0] if single else origins

    def log_det(self, z: Any) -> float | Array:
        r""":math:`\ln|\det\partial f/\partial z|` (of links: of their angles); a number for a single field.

        Parameters
        ----------
        z : field, list of fields or ndarray

        Raises
        ------
        TypeError, ValueError
            As of :meth:`inverse`.
        """
        given, single = self._given("z", z)
        log_det = self._forward(given)[1]
        return float(log_det[0]) if single else log_det

    def _through(self, z: Array, part: slice = slice(None)) -> tuple[Array, Array, list[Tape]]:
        """Images under some of the couplings, log det, and what :meth:`_back_through` needs."""
        x, log_det, tapes = z, np.zeros(len(z)), list[Tape]()
        for layer in self.layers[part]:
            x, more, tape = layer._record(x)
            log_det = log_det + more
            tapes.append(tape)
        return x, log_det, tapes

    def _back_through(
        self, tapes: list[Tape], cotangent: Array, weight: Array, part: slice = slice(None)
    ) -> tuple[Array, Vector]:
        """Derivatives with respect to z and to the parameters (summed over samples) of a function with derivatives
        `cotangent` and `weight` with respect to images and log det.
        """
        gradients = [np.zeros(0)]
        for layer, tape in zip(reversed(self.layers[part]), reversed(tapes), strict=True):
            cotangent, gradient = layer._pullback(tape, cotangent, weight)
            gradients.append(gradient)
        return cotangent, np.concatenate(gradients[::-1])

    def pullback(self, z: Any, cotangent: NDArray[Any], *, log_det: float = 0.0) -> tuple[NDArray[Any], Array]:
        r"""Reverse pass of :math:`S(f(z)) + w \ln\det \partial f/\partial z`.

        Parameters
        ----------
        z : field or ndarray
            One field of the prior.
        cotangent : ndarray
            The force of S at f(z), for example ``action.force(x)`` with the field x of the array ``flow(z)``; its
            shape.
        log_det : float
            w; -1 for the action in new variables.

        Returns
        -------
        dz : ndarray
            The force at z.
        dtheta : ndarray
            Derivative with respect to the parameters.

        Raises
        ------
        TypeError, ValueError
            No single field, a cotangent of another shape.

        Examples
        --------
        >>> import plaq as pq
        >>> flow, S = pq.flows.u1_2d((4, 4), rng=1), pq.actions.Wilson(2.0)
        >>> V = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
        >>> dV, dtheta = flow.pullback(V, S.force(pq.GaugeField.from_numpy(flow(V))), log_det=-1.0)
        >>> bool(np.allclose(dV, pq.transform.Transformed(S, flow).force(V)))
        True
        """
        given, single = self._given("z", z)
        if not single:
            raise ValueError(f"z are {len(given)} fields; the reverse pass takes one")
        weight = number("log_det", log_det)
        wanted = self.prior._array_of(given).shape[1:]
        if not isinstance(cotangent, np.ndarray) or cotangent.dtype.kind not in "fc" or cotangent.shape != wanted:
            raise ValueError(f"cotangent is an array of shape {wanted}, such as the force of an action at f(z)")
        x, _, tapes = self._through(given)
        above = self.prior._derivative(cotangent, x[0])[np.newaxis]
        below, gradient = self._back_through(tapes, above, np.full(1, weight))
        return self.prior._force(below[0], given[0]), gradient

    def _value_and_force(self, action: Action, z: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Of the action in new variables, at the array of one field; infinite where a trajectory has diverged."""
        given = self.prior._coordinates_of(z[np.newaxis])
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                x, log_det, tapes = self._through(given)
            except Diverged:
                return math.inf, np.zeros_like(z)
            if not (np.abs(x) < LARGEST).all():
                return math.inf, np.zeros_like(z)
            values, slopes = self._finite(action, x, force=True)
            below, _ = self._back_through(tapes, slopes, np.full(1, -1.0))
            value, force = float(values[0] - log_det[0]), self.prior._force(below[0], given[0])
        if not (math.isfinite(value) and np.isfinite(force).all()):
            raise ValueError(f"{action!r} in new variables is not finite")
        return value, force

    def log_prob(self, x: Any) -> float | Array:
        r""":math:`\ln q(x)`, by the inverse; a number for a single field.

        The measure is :math:`\prod d\phi` of scalar fields, the normalised Haar measure of links.

        Parameters
        ----------
        x : field, list of fields or ndarray

        Raises
        ------
        TypeError, ValueError
            As of :meth:`inverse`.

        Examples
        --------
        >>> import plaq as pq
        >>> flow = pq.flows.Flow(pq.flows.Normal((2, 2)), [])
        >>> round(flow.log_prob(pq.ScalarField.zeros((2, 2))), 6)
        -3.675754
        """
        given, single = self._given("x", x)
        logs = self._log_density(given)
        return float(logs[0]) if single else logs

    def _chunks(self, n: int, rng: Rng) -> Iterator[tuple[Array, Array, Array]]:
        """Prior variables, images and log densities of `n` samples, some at a time."""
        seed = seed_of(rng)
        for first in range(0, n, CHUNK):
            z = self.prior._sampled(min(CHUNK, n - first), seed, first)
            x, log_det = self._forward(z)
            yield z, x, self.prior._log_density(z) - log_det

    def sample(self, n: int, *, rng: Rng) -> NDArray[Any]:
        """Independent samples.

        Parameters
        ----------
        n : int
            How many.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed; sample k depends on it and on k alone.

        Returns
        -------
        ndarray, shape (n, ...)
            Fields as arrays: ``pq.ScalarField.from_numpy(x[0])`` or ``pq.GaugeField.from_numpy(x[0])`` is the first.

        Raises
        ------
        TypeError, ValueError
            No count, no rng.

        Examples
        --------
        >>> import plaq as pq
        >>> pq.flows.Flow(pq.flows.Haar((4, 4)), []).sample(2, rng=1).shape
        (2, 2, 4, 4, 1, 1)
        """
        count = self._count(n)
        return np.concatenate([self.prior._array_of(x) for _, x, _ in self._chunks(count, rng)])

    def _count(self, n: int) -> int:
        count = whole_number("n", n, 1, MOST)
        require_memory("the samples", 4 * count * int(np.prod(self.prior._coordinates)))
        return count

    def reweight(self, action: Action, n: int, *, rng: Rng) -> WeightedSamples:
        """Independent samples with the weights exp(-S)/q of an action.

        Parameters
        ----------
        action : Action
            S, of the fields of this flow.
        n : int
            How many.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed; the samples are those of :meth:`sample`.

        Returns
        -------
        WeightedSamples
            With effective sample size, ln Z and reweighted means.

        Raises
        ------
        TypeError, ValueError
            No such action, no count, no rng.

        Examples
        --------
        >>> import plaq as pq
        >>> flow = pq.flows.Flow(pq.flows.FreeField((4, 4), 1.0), [])
        >>> samples = flow.reweight(pq.actions.Scalar(1.1), 500, rng=1)
        >>> 0.8 < samples.efficiency < 1
        True
        """
        checked_action(self, action)
        arrays, logs, actions = [], [], []
        for _, x, log_prob in self._chunks(self._count(n), rng):
            arrays.append(self.prior._array_of(x))
            logs.append(log_prob)
            actions.append(self._actions(action, arrays[-1]))
        return WeightedSamples(np.concatenate(arrays), np.concatenate(logs), np.concatenate(actions))

    def _actions(self, action: Action, fields: NDArray[Any]) -> Array:
        return np.array([action(self.prior._field(field)) for field in fields])

    def _excess(self, action: Action, z: Array) -> Array:
        """ln q + S of the images of z, each -ln w."""
        x, log_det = self._forward(z)
        return self.prior._log_density(z) - log_det + self._finite(action, x)[0]

    def _finite(self, action: Action, x: Array, force: bool = False) -> tuple[Array, Array]:
        """Actions and, if asked for, their derivatives; infinite where fields are."""
        values, slopes = np.full(len(x), np.inf), np.full(x.shape if force else 0, np.nan)
        for k, array in enumerate(self.prior._array_of(x)):
            if np.isfinite(array).all():
                field = self.prior._field(array)
                values[k] = action(field)
                if force:
                    slopes[k] = self.prior._derivative(action.force(field), x[k])
        return values, slopes

    def _excess_and_gradient(self, action: Action, z: Array, path: bool) -> tuple[Array, Vector]:
        r"""ln q + S and the derivative of its mean with respect to the parameters.

        Reparameterised: :math:`\partial_\theta[S(f(z)) - \ln\det]`. Path: :math:`\partial_x[\ln q + S]\cdot
        \partial_\theta f(z)`, the same mean without the term :math:`\partial_\theta\ln q(x)`, whose mean is zero.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            x, log_det, tapes = self._through(z)
            values, cotangent = self._finite(action, x, force=True)
            excess = self.prior._log_density(z) - log_det + values
            if not np.isfinite(excess).all():
                return excess, np.full(self.n_parameters, np.nan)
            if path:
                score = self.prior._score(z)
                for layer, tape in zip(self.layers, tapes, strict=True):
                    score = layer._push(tape, score)
                cotangent = cotangent + score
            _, gradient = self._back_through(tapes, cotangent, np.full(len(z), 0.0 if path else -1.0))
        return excess, gradient / len(z)

    def fit(
        self,
        action: Action,
        *,
        steps: int = 1000,
        batch: int = 64,
        gradient: str = "path",
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: int | None = None,
        patience: int | None = None,
        record_every: int = 1,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> History:
        r"""Minimise the reverse Kullback-Leibler divergence :math:`\langle\ln q + S\rangle_q` (up to ln Z), on samples
        of the flow that are new in every step: no configurations are needed.

        Parameters
        ----------
        action : Action
            S, any action of the fields of this flow with a force.
        steps : int
            Last step of the optimiser; a resumed training goes on to it.
        batch : int
            Samples in a step.
        gradient : {"path", "reparameterised"}
            Estimator of the gradient. Both have the same mean; that of paths (arXiv 1703.09194, 2207.08219) leaves out
            the term with mean zero, so that it vanishes sample by sample where the flow is exact.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            By default ``Adam(1e-3)``.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate.
        validation : int, optional
            At every record the loss of so many samples, whose prior variables stay the same; the parameters with the
            smallest are kept, of which the start is a candidate. Without it: the last ones.
        patience : int, optional
            Records without a better validation loss after which training ends.
        record_every : int
            Steps between records.
        checkpoint : path, optional
            File from which the same training goes on to the same bits.
        progress : bool
            Show progress.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed.

        Returns
        -------
        History
            ``step, loss, efficiency`` (effective sample size over samples, of one batch), ``gradient_norm``,
            ``learning_rate`` and, if asked for, ``validation``. Ctrl-C ends the training (``history.interrupted``).

        Raises
        ------
        TypeError, ValueError
            Wrong arguments; a flow without parameters; a loss that is not finite: the parameters of the smallest loss
            are kept, and the error has the records as ``.history``.
        CheckpointError, OSError
            As of :meth:`plaq.CovariantNet.fit`.

        Examples
        --------
        >>> import plaq as pq
        >>> flow = pq.flows.real_nvp(pq.flows.Normal((4, 4)), couplings=2, rng=1)
        >>> rule = pq.optimizers.Adam(0.01)
        >>> history = flow.fit(pq.actions.Scalar(1.0), steps=40, batch=32, optimizer=rule, rng=2, progress=False)
        >>> bool(history.loss[-10:].mean() < history.loss[0])
        True
        """
        checked_action(self, action)
        return fitted(
            self,
            action,
            one_of("gradient", gradient, GRADIENTS),
            facts={"flow": self.spec(), "action": action.spec(), "gradient": gradient},
            steps=steps,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            validation=validation,
            patience=patience,
            record_every=record_every,
            checkpoint=checkpoint,
            progress=progress,
            rng=rng,
        )

    def _losses(self, action: Action, draw: Draw) -> Array:
        """-ln w of samples."""
        return self._excess(action, self.prior._sampled(draw.count, draw.seed, draw.first, draw.purpose))

    def _losses_and_gradient(self, action: Action, gradient: str, draw: Draw) -> tuple[Array, Vector]:
        z = self.prior._sampled(draw.count, draw.seed, draw.first, draw.purpose)
        return self._excess_and_gradient(action, z, gradient == "path")

    def spec(self) -> dict[str, Any]:
        """Prior and couplings as plain data; parameters are apart from it."""
        return {"kind": "flow", "prior": self.prior.spec(), "layers": [layer.spec() for layer in self.layers]}

    def save(self, path: str | PathLike[str]) -> None:
        """Write prior, couplings and parameters to a safetensors file."""
        save_weights(path, self.named_parameters(), self.spec())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Flow:
        """The flow of a safetensors file.

        Raises
        ------
        FormatError
            A damaged or hostile file, or one of another kind.
        OSError
            The file cannot be read.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import plaq as pq
        >>> path, flow = pathlib.Path(tempfile.mkdtemp()) / "flow.safetensors", pq.flows.u1_2d((4, 4), rng=1)
        >>> flow.save(path)
        >>> bool(np.all(pq.flows.Flow.load(path).parameters == flow.parameters))
        True
        """
        weights, entry = load_weights(path)
        with making(path, "flow of plaq.flows"):
            if entry["kind"] != "flow":
                raise ValueError(f"it is of the kind {entry['kind']}")
            flow = cls(prior_from(entry["prior"]), [coupling_from(each) for each in entry["layers"]])
            shapes = {name: values.shape for name, values in weights.items()}
            wanted = {name: values.shape for name, values in flow.named_parameters().items()}
            if shapes != wanted:
                raise ValueError(f"arrays {shapes}; the couplings need {wanted}")
            flow.parameters = np.concatenate([np.zeros(0), *(weights[name].ravel() for name in wanted)])
        return flow


def checked_action(flow: Flow, action: object) -> Action:
    """An action of the fields of a flow.

    Raises
    ------
    TypeError
        No action, or one of other fields.
    """
    kind = flow.prior.field_class
    if not isinstance(action, Action) or action.field_class is not kind:
        raise TypeError(f"action is an action of {kind.__name__}, as the flow has these; got {action!r}")
    return action


_KINDS: dict[str, type[Coupling]] = {
    "affine": AffineCoupling,
    "plaquette": PlaquetteCoupling,
    "spectral": SpectralCoupling,
}


def coupling_from(entry: dict[str, Any]) -> Coupling:
    """The coupling that :meth:`Coupling.spec` describes, as new.

    Raises
    ------
    KeyError, TypeError, ValueError
        No such coupling.
    """
    rest = dict(entry)
    kind = rest.pop("kind")
    if kind not in _KINDS:
        raise ValueError(unknown("coupling", kind, _KINDS))
    return _KINDS[kind](**rest | {"activation": layer_from(rest["activation"])})
