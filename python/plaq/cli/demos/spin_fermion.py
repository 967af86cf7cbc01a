"""Self-learning Monte Carlo of the O(3) spin-fermion model with linear models and equivariant attention."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plaq.chains.chain import Chain
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.fields.spins import random
from plaq.plot.figure import dress, new_figure
from plaq.plot.style import COLORS, GREY
from plaq.spin.attention import EquivariantAttention
from plaq.spin.effective import LinearSpinModel, predicted_acceptance
from plaq.spin.fermions import SpinFermion
from plaq.spin.metropolis import SpinMetropolis
from plaq.spin.self_learning import SelfLearningMC
from plaq.training.optimizers import AdamW, WarmUp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["spin_fermion"]

Array = NDArray[np.float64]
SHAPE = (6, 6)
TEMPERATURE = 0.05
ANNEALING = (0.2, 0.1, 0.08, 0.06)


@dataclass
class Row:
    """One sampler: what is printed and drawn."""

    name: str
    family: str
    layers: int
    parameters: int
    mse: float
    chain: Chain

    @property
    def seconds(self) -> float:
        """Wall time of one autocorrelation time, of the slower of the two magnetizations."""
        taus = [self.chain.estimate(name).tau for name in ("magnetization", "staggered_magnetization")]
        return float(max(taus) * np.mean(self.chain.info["seconds"]))


@demonstration
def spin_fermion(
    say: Say,
    *,
    draws: int = 1000,
    configurations: int = 4000,
    steps: int = 800,
    seed: int = 1,
    figure: str | Path = OWN,
) -> dict[str, Chain]:
    """6x6, t = J = 1, mu = 0, T = 0.05: exact local updates, linear models, attention.

    Parameters
    ----------
    draws, seed : int
        Outer steps of every chain (the exact reference: a fifth), seed.
    configurations, steps : int
        Training data and optimiser steps of every attention network.

    Returns
    -------
    dict of str to Chain
        Chains by sampler.
    """
    model = SpinFermion(SHAPE, J=1.0, T=TEMPERATURE)
    say(f"{model}; log W(S) = sum_n log(1 + exp(-E_n / T)) over {2 * SHAPE[0] * SHAPE[1]} levels")
    exact = SpinMetropolis(model)
    say(f"exact local Metropolis: {exact.poles} poles, error of a term {exact.pole_error:.1e}, corrected exactly")
    start = exact.run(random(SHAPE, rng=seed), 40, rng=seed, progress=False).state
    reference = exact.run(start, max(draws // 5, 20), rng=seed)
    rows = [Row("exact local", "exact", 0, 0, 0.0, reference)]
    say(_header())
    say(_line(rows[0]))
    linear = {shells: _trained_linear(model, start, shells, min(draws, 200), seed) for shells in (1, 3, 9)}
    data = _dataset(model, linear[9], start, configurations, seed)
    for shells, effective in linear.items():
        name = f"linear, {shells} shell{'s' * (shells > 1)}"
        rows.append(_measure(model, effective, name, "linear", data, start, draws, seed))
        say(_line(rows[-1]))
    network = EquivariantAttention(SHAPE, 0, 9, rng=seed)
    for layers in (1, 2, 3):
        network = _grown(network, data, steps, seed)
        rows.append(
            _measure(
                model, network, f"attention, {layers} layer{'s' * (layers > 1)}", "attention", data, start, draws, seed
            )
        )
        say(_line(rows[-1]))
    say("\nevery sampler is exact: |m| and |m_s| agree, the effective model decides how fast they come")
    _figure(rows).savefig(figure, dpi=160)
    say(f"Figure: {figure}")
    return {row.name: row.chain for row in rows}


def _trained_linear(model: SpinFermion, start: Array, shells: int, draws: int, seed: int) -> LinearSpinModel:
    effective = LinearSpinModel(SHAPE, shells)
    SelfLearningMC(model, effective).train(start, temperatures=ANNEALING, draws=draws, rng=seed, progress=False)
    return effective


def _dataset(
    model: SpinFermion, effective: LinearSpinModel, start: Array, count: int, seed: int
) -> tuple[Array, Array]:
    """Distinct states of a nine-shell chain and what it rejected."""
    sampler = SelfLearningMC(model, effective)
    sampler.train(start, rounds=1, draws=count, ridge=1e-6, rng=seed + 1, progress=False)
    assert sampler.samples is not None
    spins, weights = sampler.samples
    distinct = np.unique(spins.reshape(len(spins), -1), axis=0, return_index=True)[1]
    order = np.random.default_rng(seed).permutation(distinct)[:count]
    return spins[order], weights[order]


def _grown(network: EquivariantAttention, data: tuple[Array, Array], steps: int, seed: int) -> EquivariantAttention:
    """One more attention block, the identity at first, then training of all blocks."""
    longer = network.with_layer(rng=seed)
    rule = AdamW(1e-2, weight_decay=1e-4, schedule=WarmUp(min(100, steps), steps, 0.01))
    longer.fit(*data, steps=steps, optimizer=rule, rng=seed)
    return longer


def _measure(
    model: SpinFermion,
    effective: LinearSpinModel | EquivariantAttention,
    name: str,
    family: str,
    data: tuple[Array, Array],
    start: Array,
    draws: int,
    seed: int,
) -> Row:
    held = len(data[1]) * 3 // 4
    sampler = SelfLearningMC(model, effective, sweeps=8 if family == "attention" else 10)
    chain = sampler.run(start, draws, warmup=20, rng=seed)
    if chain.interrupted:
        raise KeyboardInterrupt
    layers = effective.layers if isinstance(effective, EquivariantAttention) else 0
    mse = effective.mean_square_error(data[0][held:], data[1][held:])
    return Row(name, family, layers, effective.n_parameters, mse, chain)


def _header() -> str:
    names = f"{'':20}{'parameters':>11}{'MSE':>8}{'predicted':>11}{'measured':>10}"
    return f"\n{names}{'tau x s':>10}{'|m|':>12}{'|m_s|':>12}"


def _line(row: Row) -> str:
    fitted = f"{row.parameters:11d}{row.mse:8.3f}{predicted_acceptance(row.mse):11.3f}" if row.parameters else " " * 30
    results = "".join(f"{row.chain.estimate(name)!s:>12}" for name in ("magnetization", "staggered_magnetization"))
    return f"{row.name:20}{fitted}{row.chain.acceptance:10.3f}{row.seconds:10.4f}{results}"


def _figure(rows: list[Row]) -> "Figure":
    """What a better effective model gains, what it costs, and that the results stay."""
    figure = new_figure((13.5, 4.2))
    panels = figure.subplots(1, 3)
    _acceptances(panels[0], rows[1:])
    _times(panels[1], rows)
    _results(panels[2], rows)
    figure.suptitle(rf"Spin-fermion model, $6\times6$, $J = t$, $\mu = 0$, $T = {TEMPERATURE}\,t$", fontsize=12)
    return figure


def _family(row: Row) -> str:
    return str(COLORS[0 if row.family == "attention" else 1 if row.family == "linear" else 2])


def _acceptances(ax: "Axes", rows: list[Row]) -> None:
    """Measured, and predicted by a dash, against the number of parameters."""
    for family in ("linear", "attention"):
        chosen = [row for row in rows if row.family == family]
        places = [row.parameters for row in chosen]
        values = [row.chain.acceptance for row in chosen]
        ax.plot(places, values, "o-" if family == "attention" else "s", color=_family(chosen[0]), label=family)
        ax.plot(places, [predicted_acceptance(row.mse) for row in chosen], "k_", ms=12)
    ax.set(xlabel="parameters", ylabel="acceptance", xscale="log", ylim=(0, 1))
    ax.set_title("better models are accepted more often (dashes: predicted from the fit)", fontsize=9)
    ax.legend(frameon=False, loc="lower right")
    dress(ax)


def _times(ax: "Axes", rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        if np.isfinite(row.seconds):
            ax.plot(place, row.seconds, "o", color=_family(row))
        else:
            ax.text(place, 0.02, "frozen", rotation=90, ha="center", transform=ax.get_xaxis_transform(), fontsize=8)
    ax.set(ylabel="seconds", yscale="log", title="but what counts is the wall time of one autocorrelation time")
    _ticks(ax, rows)


def _results(ax: "Axes", rows: list[Row]) -> None:
    for name, marker in (("magnetization", "o"), ("staggered_magnetization", "s")):
        estimates = [row.chain.estimate(name) for row in rows]
        for place, (row, e) in enumerate(zip(rows, estimates, strict=True)):
            if np.isfinite(e.error):
                ax.errorbar(place, e.mean, e.error, marker=marker, color=_family(row), capsize=3)
        ax.axhline(estimates[0].mean, color=GREY, lw=0.7, ls=":")
    ax.set(title=r"the results agree (circles: $|m|$, squares: $|m_s|$)", ylim=(0, None))
    _ticks(ax, rows)


def _ticks(ax: "Axes", rows: list[Row]) -> None:
    short = {"exact": "exact", "linear": "linear {}", "attention": "attention {}"}
    labels = [short[r.family].format(r.layers or r.parameters - 1) for r in rows]
    ax.set_xticks(range(len(rows)), labels, rotation=60)
    ax.title.set_fontsize(9)
    dress(ax)
