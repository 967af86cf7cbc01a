"""Samples of a flow with weights of an action: effective sample size, ln Z, reweighted means."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.fields.gauge import GaugeField
from plaq.fields.scalar import ScalarField
from plaq.ground.arguments import array, function
from plaq.ground.names import Explained, outside
from plaq.statistics import Estimate, StatisticsWarning, estimate

__all__ = ["WeightedSamples"]

FEWEST = 50
"""Effective samples below which an average is not trusted: with 18 the pulls of ln Z are -1.3 +- 1.4, not 0 +- 1."""


@dataclass(frozen=True, eq=False)
class WeightedSamples(metaclass=Explained):
    r"""Independent samples of a density q with weights :math:`w = e^{-S}/q`, made by :meth:`Flow.reweight`
    and :meth:`StochasticFlow.reweight`.

    Attributes
    ----------
    fields : ndarray, shape (n, ...)
        Arrays of fields, as ``np.asarray`` of each.
    log_prob : ndarray, shape (n,)
        :math:`\ln q`.
    action : ndarray, shape (n,)
        S.
    acceptance : ndarray, optional
        Of the updates of each stage, from :meth:`StochasticFlow.reweight`.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit each other; NaN or infinity.

    Examples
    --------
    >>> import plaq as pq
    >>> samples = pq.flows.Flow(pq.flows.Haar((4, 4)), []).reweight(pq.actions.Wilson(0.5), 2000, rng=1)
    >>> samples
    <WeightedSamples of 2000, efficiency 0.189>
    """

    fields: NDArray[Any]
    log_prob: NDArray[np.float64]
    action: NDArray[np.float64]
    acceptance: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        log_prob = array("log_prob", self.log_prob, shape=(None,))
        object.__setattr__(self, "log_prob", log_prob)
        object.__setattr__(self, "action", array("action", self.action, shape=log_prob.shape))
        fields = np.asarray(self.fields)
        if fields.dtype.kind not in "iufc" or fields.ndim < 1 or len(fields) != len(log_prob):
            raise ValueError(f"fields have shape {fields.shape}; {len(log_prob)} fields are needed, samples in front")
        object.__setattr__(self, "fields", fields)
        if self.acceptance is not None:
            object.__setattr__(self, "acceptance", array("acceptance", self.acceptance, shape=(None,)))

    def __len__(self) -> int:
        return len(self.log_prob)

    def __repr__(self) -> str:
        return f"<WeightedSamples of {len(self)}, efficiency {self.efficiency:.3g}>"

    @property
    def log_weights(self) -> NDArray[np.float64]:
        r""":math:`\ln w = -S - \ln q`; their mean is a lower bound of ln Z."""
        return -self.action - self.log_prob

    @property
    def efficiency(self) -> float:
        r"""Effective sample size over the number of samples, :math:`(\sum w)^2/(n\sum w^2)`: 1 if q is exact, 1/n if
        one sample has all the weight.
        """
        w = self._weights()
        return float(w.sum() ** 2 / (len(w) * (w**2).sum()))

    def _weights(self) -> NDArray[np.float64]:
        logs = self.log_weights
        weights: NDArray[np.float64] = np.exp(logs - logs.max())
        return weights

    def _warn_of_few(self) -> None:
        effective = self.efficiency * len(self)
        if effective < FEWEST:
            warnings.warn(
                f"{effective:.3g} effective samples of {len(self)}: what has most of the weight was hardly sampled, so "
                "value and error may be far off; train longer, add stages (StochasticFlow) or draw more",
                StatisticsWarning,
                stacklevel=outside(),
            )

    def log_z(self) -> Estimate:
        r""":math:`\ln Z = \ln\langle w\rangle_q`, with :math:`Z = \int e^{-S}` over :math:`d\phi`, of links over the
        normalised Haar measure.

        Raises
        ------
        ValueError
            Fewer than 8 samples.
        """
        self._warn_of_few()
        largest = float(self.log_weights.max())
        return estimate(self._weights(), lambda mean: np.log(mean) + largest)

    def _kind_for(self, take: Callable[[Any], Any]) -> Callable[[NDArray[Any]], Any]:
        """What makes of an array what the function takes: nothing, or a field."""
        first = self.fields[0]
        try:
            take(first)
        except (TypeError, AttributeError):
            field = GaugeField.from_numpy if np.iscomplexobj(first) else ScalarField.from_numpy
            with suppress(TypeError, AttributeError, ValueError):
                take(field(first))
                return field
            raise
        return lambda given: given

    def mean(self, observable: Callable[[NDArray[Any]], Any]) -> Estimate:
        r""":math:`\langle O\rangle = \langle w O\rangle_q/\langle w\rangle_q`.

        Parameters
        ----------
        observable : callable
            Takes the array of one field, or the field itself as those of ``plaq.observables``, gives a real number.

        Returns
        -------
        Estimate

        Raises
        ------
        TypeError, ValueError
            No function of that kind; fewer than 8 samples.
        """
        take = function("observable", observable, "a function of the array of one field")
        wrap = self._kind_for(take)
        found = [take(wrap(field)) for field in self.fields]
        values = array("values of the observable", found, shape=self.log_prob.shape)
        w = self._weights()
        self._warn_of_few()
        return estimate(np.stack([w, w * values], axis=1), lambda means: means[1] / means[0])
