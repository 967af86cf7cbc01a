"""The Gaussian machine: scalar fields on both layers (arXiv 2309.15002)."""

from __future__ import annotations

import math
import warnings
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq._plaq import RbmTrainer
from plaq.ground.arguments import real, whole_number
from plaq.ground.names import outside
from plaq.ground.rng import Rng
from plaq.rbm.fit import Layer
from plaq.rbm.machine import (
    Array,
    Machine,
    Method,
    StabilityWarning,
    checked_biases,
    checked_kernel,
    checked_number,
)
from plaq.rbm.theory import generator, overrelaxation, stability_bound
from plaq.training.history import History
from plaq.training.optimizers import Schedule

__all__ = ["GaussianRBM"]


class GaussianRBM(Machine):
    r"""Restricted Boltzmann machine with real fields on visible and hidden nodes.

    .. math:: p(\phi, h) = \frac1Z \exp\Big(\phi^T W h - \tfrac{\mu^2}{2}\phi^T\phi
              - \tfrac{1}{2\sigma_h^2}(h-\eta)^T(h-\eta)\Big),\qquad
              p(\phi) \propto \exp(-\tfrac12\phi^T K\phi + J^T\phi)

    with :math:`K = \mu^2 1 - \sigma_h^2 W W^T` and :math:`J = W\eta` (eqs. (22)-(25) of arXiv 2309.15002). It exists
    if K is positive, :math:`\sigma_h^2 \xi_{\max}^2 < \mu^2`. With eta = 0 it is probabilistic PCA with noise
    :math:`1/\mu^2`.

    Parameters
    ----------
    n_visible, n_hidden : int
        Numbers of units. With ``n_hidden < n_visible`` only the `n_hidden` lowest modes can be learnt (the ultraviolet
        cut-off); with ``n_hidden > n_visible`` the extra hidden units add nothing, since :math:`W W^T` has rank
        `n_visible` at most (allowed, with a warning).
    mu2 : float or array_like, shape (n_visible,)
        Mass squared, one number or (for ``mass="local"``) one a site.
    sigma2_h : float
        Hidden variance.
    eta : array_like, shape (n_hidden,), optional
        Hidden mean, zero by default.
    mass : {"fixed", "global", "local"}
        Whether training changes the mass, as one number or one a site.
    weight_scale : float
        First weights are normal with this standard deviation.
    dtype : {"float64", "float32"}
        Precision of weights and chains. Factorisations are always in double precision.
    rng : int, Generator or SeedSequence
        Randomness of the first weights.

    Raises
    ------
    ValueError, TypeError
        Wrong sizes, masses or variances that are not positive, weights for which K is not positive.

    Examples
    --------
    >>> import plaq as pq
    >>> kernel = pq.rbm.free_field_kernel(10, 4.0)
    >>> machine = pq.GaussianRBM(10, 10, mu2=6.0, rng=1)
    >>> history = machine.fit(kernel=kernel, epochs=3000, method="exact", learning_rate=0.5, progress=False)
    >>> machine.spectrum().round(3).tolist()  # the spectrum of the field, cut at mu2
    [4.0, 4.382, 4.382, 5.382, 5.382, 6.0, 6.0, 6.0, 6.0, 6.0]
    """

    _method_names = ("exact", "em", "cd", "pcd")

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        mu2: float | ArrayLike,
        sigma2_h: float = 1.0,
        eta: ArrayLike | None = None,
        mass: Literal["fixed", "global", "local"] = "fixed",
        weight_scale: float = 0.1,
        dtype: DTypeLike = "float64",
        rng: Rng | None = None,
    ) -> None:
        super().__init__(n_visible, n_hidden, weight_scale=weight_scale, dtype=dtype, rng=rng)
        if mass not in ("fixed", "global", "local"):
            raise ValueError(f'mass = "{mass}" is not known; use "fixed", "global" or "local"')
        self.mass = mass
        self.sigma2_h = checked_number("sigma2_h", sigma2_h, 0.0)
        self._mu2 = self._checked_masses(mu2)
        self.eta: Array = np.zeros(self.n_hidden) if eta is None else real("eta", eta)
        if self.eta.shape != (self.n_hidden,) or not np.all(np.isfinite(self.eta)):
            raise ValueError(f"eta has shape {self.eta.shape}; it must be ({self.n_hidden},) with finite entries")
        if self.n_hidden > self.n_visible:
            text = f"n_hidden = {n_hidden} > n_visible = {n_visible}: W W^T has rank {n_visible} at most, so the extra"
            warnings.warn(
                f"{text} hidden units are redundant (allowed; no more modes are learnt)", stacklevel=outside()
            )
        self._check_positive()

    def _checked_masses(self, mu2: float | ArrayLike) -> Array:
        masses = real("mu2", mu2)
        if masses.ndim and masses.shape != (self.n_visible,):
            raise ValueError(f"mu2 has shape {masses.shape}; give a number or ({self.n_visible},)")
        if masses.ndim and self.mass == "global":
            raise ValueError('mass="global" is one number: give mu2 as a float')
        if not np.all(masses > 0) or not np.all(np.isfinite(masses)):
            raise ValueError(f"mu2 = {mu2!r}: the mass squared must be positive and finite")
        return np.array(np.broadcast_to(masses, self.n_visible))

    def _check_positive(self) -> None:
        lowest = self.spectrum()[0]
        if not lowest > 0:
            edge = math.sqrt(float(self._mu2.min()) / self.sigma2_h)
            scale = edge / (math.sqrt(self.n_visible) + math.sqrt(self.n_hidden))
            raise ValueError(
                f"K has eigenvalue {lowest:.6g}: sigma2_h * (largest singular value of W)^2 = "
                f"{self.sigma2_h * self.singular_values()[0] ** 2:.6g} must stay below mu2; use smaller weights "
                f"(weight_scale below {scale:.2g} at this size) or larger mu2"
            )

    def _check_weights(self) -> None:
        self._check_positive()

    def __repr__(self) -> str:
        masses = f"{self._mu2[0]:.6g}" if np.all(self._mu2 == self._mu2[0]) else "one a site"
        sizes = f"{self.n_visible} visible, {self.n_hidden} hidden"
        return f"GaussianRBM({sizes}, mu2 = {masses}, sigma2_h = {self.sigma2_h:.6g}, {self.dtype.name})"

    def _layers(self) -> tuple[Layer, Layer]:
        visible = ("gaussian", np.zeros(self.n_visible), 1.0 / self._mu2)
        return visible, (
            "gaussian",
            checked_biases("eta", self.eta, self.n_hidden) / self.sigma2_h,
            np.full(self.n_hidden, self.sigma2_h),
        )

    def _take(self, visible_bias: Array, hidden_bias: Array, variance: Array) -> None:
        self.eta = hidden_bias * self.sigma2_h
        if self.mass != "fixed":
            self._mu2 = 1.0 / variance

    def _facts(self) -> dict[str, Any]:
        return {
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "mu2": float(self._mu2[0]) if np.all(self._mu2 == self._mu2[0]) else self._mu2.tolist(),
            "sigma2_h": self.sigma2_h,
            "eta": self.eta.tolist(),
            "mass": self.mass,
            "weight_scale": 0.0,
            "dtype": self.dtype.name,
        }

    def _observe(self, trainer: RbmTrainer) -> dict[str, Any]:
        record: dict[str, Any] = trainer.record()
        return record

    @property
    def mu2(self) -> float | Array:
        """Mass squared: a number, or one a site."""
        return float(self._mu2[0]) if np.all(self._mu2 == self._mu2[0]) else self._mu2.copy()

    def kernel(self) -> Array:
        """K, shape (n_visible, n_visible).

        Examples
        --------
        >>> import plaq as pq
        >>> (pq.GaussianRBM(2, 1, mu2=9.0, weight_scale=0.0, rng=1).kernel() + 0.0).tolist()
        [[9.0, 0.0], [0.0, 9.0]]
        """
        w = self._weights.astype(float)
        return np.asarray(np.diag(self._mu2) - self.sigma2_h * (w @ w.T), dtype=np.float64)

    def source(self) -> Array:
        """J = W eta, shape (n_visible,)."""
        return np.asarray(self._weights.astype(float) @ self.eta)

    def mean(self) -> Array:
        """Expectation of phi, K^{-1} J."""
        return np.asarray(np.linalg.solve(self.kernel(), self.source()))

    def singular_values(self) -> Array:
        """Singular values xi of W, descending, shape (min(n_visible, n_hidden),)."""
        values: Array = np.linalg.svd(self._weights.astype(float), compute_uv=False)
        return values

    def spectrum(self) -> Array:
        """Eigenvalues of K, ascending, shape (n_visible,)."""
        return np.asarray(np.linalg.eigvalsh(self.kernel()), dtype=np.float64)

    def log_partition(self) -> float:
        r"""ln Z of p(phi): :math:`\frac{N}{2}\ln 2\pi - \frac12\ln\det K + \frac12 J^T K^{-1} J`."""
        kernel, source = self.kernel(), self.source()
        log_det = float(np.linalg.slogdet(kernel)[1])
        quadratic = float(source @ np.linalg.solve(kernel, source))
        return 0.5 * (self.n_visible * math.log(2 * math.pi) - log_det + quadratic)

    def log_likelihood(self, data: ArrayLike) -> float:
        """Mean of ln p(phi) over rows, in nats.

        Parameters
        ----------
        data : array_like, shape (n, n_visible)

        Returns
        -------
        float
        """
        rows = self._checked_rows(data, "data").astype(float)
        quadratic = np.einsum("ni,ij,nj->n", rows, self.kernel(), rows, optimize=True)
        return float(np.mean(rows @ self.source() - 0.5 * quadratic) - self.log_partition())

    def optimum(self, correlation: ArrayLike) -> GaussianRBM:
        r"""The machine of highest likelihood, in closed form (Tipping, Bishop 1999), with this mass and size and eta
        = 0.

        :math:`W^* = U_n\,\mathrm{diag}\sqrt{(\mu^2 - \kappa_\alpha)/\sigma_h^2}` with the leading eigenvectors of the
        correlation matrix, those with :math:`1/\kappa_\alpha > 1/\mu^2`, at most `n_hidden`.

        Parameters
        ----------
        correlation : array_like, shape (n_visible, n_visible)
            Second moments, positive semidefinite.

        Returns
        -------
        GaussianRBM

        Examples
        --------
        >>> import plaq as pq
        >>> best = pq.GaussianRBM(3, 2, mu2=9.0, rng=1).optimum(np.diag([1.0, 0.5, 0.05]))
        >>> best.spectrum().round(12).tolist()
        [1.0, 2.0, 9.0]
        """
        if not np.all(self._mu2 == self._mu2[0]):
            raise ValueError("the closed form needs one mass for all sites; use fit with a local mass")
        mu2 = float(self._mu2[0])
        values, vectors = np.linalg.eigh(checked_kernel(correlation, "correlation", self.n_visible, semidefinite=True))
        kept = min(self.n_hidden, int(np.sum(values > 1.0 / mu2)))
        weights = np.zeros((self.n_visible, self.n_hidden))
        lead = values[::-1][:kept]
        weights[:, :kept] = vectors[:, ::-1][:, :kept] * np.sqrt((mu2 - 1.0 / lead) / self.sigma2_h)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            best = GaussianRBM(**(self._facts() | {"eta": None}), rng=0)
        best.weights = weights
        return best

    def fit(
        self,
        data: ArrayLike | None = None,
        *,
        correlation: ArrayLike | None = None,
        kernel: ArrayLike | None = None,
        mean: ArrayLike | None = None,
        epochs: int,
        method: Method = "exact",
        k: int = 1,
        batch: int | None = None,
        learning_rate: float = 0.1,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        decay: float = 1.0,
        decay_every: int = 1,
        schedule: Schedule | None = None,
        chains: int | ArrayLike | None = None,
        train_eta: bool = False,
        safe: bool = False,
        validation: float | ArrayLike | None = None,
        patience: int | None = None,
        record_every: int | None = None,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        resume: bool = False,
        rng: Rng | None = None,
    ) -> History:
        r"""Maximise the likelihood of a target given by exactly one of `data`, `correlation` and `kernel`.

        .. math:: \partial L/\partial W = \langle\phi h^T\rangle_\mathrm{target} - \langle\phi h^T\rangle_\mathrm{model}
                  = \sigma_h^2 (C_\mathrm{target} - C_\mathrm{model}) W + (m_\mathrm{target} - m_\mathrm{model})\eta^T

        updated as :math:`v \leftarrow \beta v + (1-\beta)\,\partial L/\partial W`,
        :math:`W \leftarrow (1 - \alpha\,\mathrm{decay}_w) W + \alpha v`. K > 0 is certified at every step. Ctrl-C
        ends the training and returns the history so far (``history.interrupted``); ``resume=True`` goes on to the
        same bits.

        Parameters
        ----------
        data : array_like, shape (n, n_visible)
            Configurations.
        correlation : array_like, shape (n_visible, n_visible)
            Second moments of the target (about zero, positive semidefinite).
        kernel : array_like, shape (n_visible, n_visible)
            Kernel of a Gaussian target; its inverse is the correlation.
        mean : array_like, shape (n_visible,), optional
            Means of the target that go with `correlation`; zero by default.
        epochs : int
            Epochs in all (also with `resume`); one epoch is one pass over minibatches of the data, else one update.
        method : {"exact", "em", "cd", "pcd"}
            Model average by Cholesky; expectation maximisation (no learning rate, K stays positive: for stiff targets
            such as images); k Gibbs steps from the data; k Gibbs steps of persistent chains.
        k : int
            Gibbs steps an update.
        batch : int, optional
            Minibatch size for data with "cd" and "pcd", 64 by default. "exact" and "em" use all data at once.
        learning_rate, momentum, weight_decay : float
            alpha, beta, and the coefficient of :math:`-\alpha W`.
        decay, decay_every
            The learning rate is multiplied by `decay` after every `decay_every` epochs.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate as a function of the epoch (instead of `decay`), from ``plaq.optimizers``.
        chains : int or array_like, shape (chains, n_visible), optional
            Number of persistent chains (by default `batch`), which start at phi = 1, or their first configurations.
        train_eta : bool
            Train the hidden mean.
        safe : bool
            Halve a step that would make K lose positivity (counted in ``history.backtracks``) instead of failing.
        validation : float or array_like, shape (n, n_visible), optional
            Configurations that are held out, or the fraction of `data` that is (the last rows); the machine with the
            smallest validation loss among the records is kept, of which the start is one. Without it the last one.
        patience : int, optional
            Records without a smaller validation loss after which training ends.
        record_every : int, optional
            Epochs between records; by default 1 up to 64 visible units, else so that there are about 100 records.
        checkpoint : path, optional
            File, written at the start, at the end and in between about so often that it takes a tenth of the time; the
            same call goes on from it, to the same bits. The machine comes from the file then.
        progress : bool
            Show a progress bar.
        resume : bool
            Go on from the last epoch of this machine; target and settings must be those of the first part: repeat the
            call with `resume` added.
        rng : int, Generator or SeedSequence
            Randomness of minibatches and chains. Needed for "cd" and "pcd", but not with `resume`; "exact" and "em"
            draw nothing.

        Returns
        -------
        History
            ``epoch``; ``eigenvalues`` of K, ascending, (records, n_visible); ``singular_values``, descending;
            ``angles`` between the k-th eigenvector of K and the k-th eigenspace of the target, ascending in kappa, in
            [0, pi/2]; ``log_likelihood`` of the target in nats; ``kl`` to the Gaussian of the same moments (infinite
            if it is singular); ``validation``, minus the mean ln p of the held-out rows in nats, if asked for;
            ``step_norm`` of the last update of W; ``backtracks``.

        Warns
        -----
        StabilityWarning
            The learning rate is past :func:`plaq.rbm.stability_bound`.

        Raises
        ------
        ConvergenceError
            K would stop being positive and `safe` is False. The machine keeps the last good weights; ``error.history``
            holds the training so far.
        CheckpointError
            `resume` or a checkpoint with another target or other settings.
        OSError
            The checkpoint cannot be written, which is tried before the training.
        ValueError, TypeError
            Wrong arguments.
        Exception
            Of any kind: what is raised during training carries the records so far as ``.history``.

        Examples
        --------
        >>> import plaq as pq
        >>> machine = pq.GaussianRBM(10, 4, mu2=9.0, rng=1)
        >>> target = pq.rbm.free_field_kernel(10, 4.0)
        >>> history = machine.fit(kernel=target, epochs=4000, learning_rate=0.5, progress=False)
        >>> round(float(history.kl[-1]), 9)
        0.149843923
        """
        rows = 64 if batch is None else batch
        options = {
            "k": k,
            "batch": rows,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "decay": decay,
            "decay_every": decay_every,
            "schedule": schedule,
            "mass": self.mass,
            "train_visible": False,
            "train_hidden": bool(train_eta),
            "safe": bool(safe),
        }
        if validation is not None and data is None and isinstance(validation, float | int):
            raise ValueError("validation as a fraction is one of data; give rows of the target instead")
        trained, held = data, None
        if data is not None:
            trained, held = self._split(data, validation)
        elif validation is not None:
            held = self._checked_rows(validation, "validation")
        return self._fit(
            self._target(trained, correlation, kernel, mean, method, rows),
            options,
            method=method,
            chains=chains,
            held=held,
            epochs=epochs,
            record_every=record_every,
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            resume=resume,
            rng=rng,
        )

    def _target(
        self,
        data: ArrayLike | None,
        correlation: ArrayLike | None,
        kernel: ArrayLike | None,
        mean: ArrayLike | None,
        method: str,
        batch: int,
    ) -> dict[str, Any]:
        given = [
            name
            for name, value in (("data", data), ("correlation", correlation), ("kernel", kernel))
            if value is not None
        ]
        if len(given) != 1:
            raise ValueError(f"give exactly one of data, correlation and kernel; got {', '.join(given) or 'none'}")
        if mean is not None and correlation is None:
            raise ValueError("mean goes with correlation; data have their own mean and a kernel has none")
        if data is not None:
            rows = self._checked_rows(data, "data")
            if len(rows) == self.n_visible > 1 and (rows == rows.T).all():
                raise ValueError("data is a symmetric matrix; give it as correlation= or kernel=")
            return {"data": rows, "batch": whole_number("batch", batch)}
        if method == "cd":
            raise ValueError('method="cd" starts its chains at data: give data (for example samples of the target)')
        if kernel is not None:
            second = np.linalg.inv(checked_kernel(kernel, "kernel", self.n_visible))
            second = 0.5 * (second + second.T)
        else:
            assert correlation is not None
            second = checked_kernel(correlation, "correlation", self.n_visible, semidefinite=True)
        means = np.zeros(self.n_visible) if mean is None else real("mean", mean)
        if means.shape != (self.n_visible,) or not np.all(np.isfinite(means)):
            raise ValueError(f"mean has shape {means.shape}; it must be ({self.n_visible},) with finite entries")
        if np.any(means) and np.linalg.eigvalsh(second - np.outer(means, means))[0] < -1e-10 * np.trace(second):
            raise ValueError("correlation holds second moments about zero: correlation - mean mean^T must be positive")
        return {"second": np.ascontiguousarray(second), "mean": means}

    def _validation_loss(self, rows: NDArray[Any]) -> float:
        return -self.log_likelihood(rows)

    def _before(self, target: dict[str, Any], options: dict[str, Any]) -> None:
        self._check_positive()
        if options["method"] == "em":
            return
        if "data" in target:
            rows = target["data"].astype(float)
            second = rows.T @ rows / len(rows)
        else:
            second = target["second"]
        largest = float(np.linalg.eigvalsh(second)[-1])
        if not largest > 0:
            raise ValueError("the target has no second moments: all data are zero; give data that fluctuate")
        lowest = 1.0 / largest
        bound = stability_bound(lowest, float(self._mu2.max()), self.sigma2_h, options["momentum"])
        if options["learning_rate"] >= bound:
            text = f"learning_rate = {options['learning_rate']:.4g} is past the stability bound {bound:.4g}"
            formula = "(1 + beta)/(1 - beta) kappa^2/(sigma2_h (mu2 - kappa)) at the lowest kappa"
            hint = 'use a smaller one, safe=True, method="em" or optimum()'
            warnings.warn(f"{text} = {formula} = {lowest:.4g}; {hint}", StabilityWarning, stacklevel=outside())

    def sample(
        self,
        n: int,
        *,
        steps: int = 100,
        start: ArrayLike | None = None,
        rng: Rng,
        every: int | None = None,
        method: Literal["gibbs", "overrelaxed", "modes"] = "gibbs",
    ) -> NDArray[Any]:
        r"""Configurations after `steps` steps of `n` independent chains in parallel.

        ``"gibbs"``: blocks h ~ p(h|phi), phi ~ p(phi|h); a mode with eigenvalue lambda of K has
        :math:`\tau_\mathrm{int} = (2\mu^2-\lambda)/2\lambda`. ``"overrelaxed"``: the same blocks with the best
        overrelaxation, whose time grows like :math:`\mu/\sqrt\lambda` only. ``"modes"``: all modes are drawn from
        their joint law at once (Cholesky), so every step is independent; costs one factorisation.

        Parameters
        ----------
        n : int
            Number of chains.
        steps : int
            Steps of each.
        start : array_like, shape (n, n_visible) or (n_visible,), optional
            First visible configurations; by default all zero. Not used by ``"modes"``.
        rng : int, Generator or SeedSequence
            Randomness; chain c uses its own stream, so the result does not depend on threads.
        every : int, optional
            Keep every so many steps instead of only the last.
        method : {"gibbs", "overrelaxed", "modes"}
            Sampler.

        Returns
        -------
        ndarray, shape (n, n_visible), or (steps // every, n, n_visible) with `every`

        Examples
        --------
        >>> import plaq as pq
        >>> machine = pq.GaussianRBM(10, 10, mu2=9.0, rng=1)
        >>> machine.sample(5, steps=20, rng=2).shape
        (5, 10)
        """
        self._check_positive()
        if method == "gibbs":
            return self._gibbs(n, steps, start, rng, every, None)
        if method == "overrelaxed":
            omega, _ = overrelaxation(self.spectrum(), float(self._mu2.max()))
            return self._gibbs(n, steps, start, rng, every, omega)
        if method != "modes":
            raise ValueError(f'method = "{method}" is not known; use "gibbs", "overrelaxed" or "modes"')
        shape: tuple[int, ...] = (whole_number("n", n), self.n_visible)
        if every is not None:
            shape = (whole_number("steps", steps) // whole_number("every", every), *shape)
        noise = generator(rng).standard_normal(shape)
        upper = np.linalg.cholesky(self.kernel()).T
        flat = np.linalg.solve(upper, noise.reshape(-1, self.n_visible).T).T + self.mean()
        return np.ascontiguousarray(flat.reshape(shape), dtype=self.dtype)

    def reconstruct(self, data: ArrayLike) -> NDArray[Any]:
        r"""Mean-field reconstruction phi -> <h> -> <phi>: :math:`\mu^{-2} W(\eta + \sigma_h^2 W^T\phi)` row by row.

        Parameters
        ----------
        data : array_like, shape (n, n_visible)

        Returns
        -------
        ndarray, shape (n, n_visible)
        """
        rows = self._checked_rows(data, "data")
        hidden = self.eta + self.sigma2_h * (rows @ self._weights)
        return np.ascontiguousarray(hidden @ self._weights.T / self._mu2, dtype=self.dtype)
