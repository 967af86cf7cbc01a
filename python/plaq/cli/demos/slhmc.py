"""Demonstration `slhmc`: self-learning HMC of SU(2) with four staggered quarks."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from plaq.actions.links import Wilson
from plaq.actions.mapped import Mapped
from plaq.actions.pseudofermion import Pseudofermion
from plaq.chains.chain import Chain
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.concepts import Scaled
from plaq.dirac import Staggered
from plaq.fields.gauge import GaugeField
from plaq.observables.hadrons import chiral_condensate
from plaq.observables.links import plaquette, polyakov
from plaq.plot.figure import dress, new_figure
from plaq.plot.style import COLORS
from plaq.samplers.hmc import HMC
from plaq.samplers.self_learning import SelfLearningHMC
from plaq.smear.layers import StoutLayer
from plaq.smear.network import CovariantNet
from plaq.statistics import StatisticsWarning, estimate
from plaq.training.history import History
from plaq.training.optimizers import Adam, Cosine

__all__ = ["slhmc"]

BETA, MASS, HEAVY, STEPS = 2.7, 0.3, 0.4, 8
REFERENCE = {"plaquette": "0.70280(26)", "polyakov": "0.415(9)", "condensate": "0.4232(5)"}
"""An independent HMC of the same system, 4000 trajectories."""
LOOPS = ["plaquette", "polyakov_t", "polyakov_s"]


def _quark(mass: float) -> Pseudofermion:
    return Pseudofermion(Staggered(mass=mass), n_flavors=4)


def _polyakov(U: GaugeField) -> float:
    return float(abs(polyakov(U)))


def _condensate(U: GaugeField) -> float:
    # The noise differs from field to field and is the same whenever the field is.
    noise = int(np.asarray(U).view(np.uint64).ravel()[:64].sum() % (1 << 62))
    D: Any = Staggered(mass=MASS).on(U)
    found: Any = chiral_condensate(D, noise="Z2", n_noise=4, rng=noise)
    return float(found.mean)


MEASURED: dict[str, Callable[[Any], Any]] = {
    "plaquette": plaquette,
    "polyakov": _polyakov,
    "condensate": _condensate,
}


@demonstration
def slhmc(
    say: Say,
    *,
    draws: int = 500,
    training: int = 150,
    seed: int = 1,
    figure: str | Path = OWN,
) -> dict[str, Chain]:
    """HMC, self-learning HMC before and after training: SU(2), four staggered quarks, 4^4 (arXiv 2103.11965).

    Parameters
    ----------
    draws, training, seed : int
        Trajectories of each chain, steps of the training, seed.

    Returns
    -------
    dict of str to Chain
        Chains by their labels.
    """
    wilson = Wilson(BETA)
    target = wilson + _quark(MASS)
    net = CovariantNet([StoutLayer(LOOPS)] * 2)
    learner = SelfLearningHMC(target, wilson + Scaled(Mapped(_quark(HEAVY), net)), steps=STEPS)
    untrained = SelfLearningHMC(target, wilson + _quark(HEAVY), steps=STEPS)
    hmc = HMC(target, steps=STEPS)
    say(f"SU(2), 4^4, beta = {BETA}, staggered Nf = 4, m = {MASS}; molecular dynamics of the proposal with m = {HEAVY}")
    start = hmc.run(GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=seed), 60, rng=seed, progress=False).state
    rule = Adam(3e-3, schedule=Cosine(training))
    history = learner.train(start, loss="change", steps=training, batch=4, optimizer=rule, rng=seed)
    if history.interrupted:
        raise KeyboardInterrupt
    say(f"\ntraining, {training} steps of 4 trajectories: mean square of the change of S(proposal) - S(target)")
    for part in np.array_split(np.arange(len(history.loss)), 5):
        rows = f"{part[0] + 1:4d} to {part[-1] + 1:<4d}"
        say(f"  steps {rows} loss {history.loss[part].mean():7.3f}   acceptance {history.acceptance[part].mean():.2f}")
    say(f"coefficients: factor {learner.parameters[0]:.4f}, rho {np.round(learner.parameters[1:], 4).tolist()}")
    chains: dict[str, Chain] = {}
    samplers = {"HMC": hmc, "SLHMC untrained": untrained, "SLHMC trained": learner}
    for k, (label, sampler) in enumerate(samplers.items()):
        chain: Chain = sampler.run(start, draws, warmup=20, observables=MEASURED, rng=seed + 1 + k)
        if chain.interrupted:
            raise KeyboardInterrupt
        chains[label] = chain
    _table(say, chains)
    _draw(history, chains).savefig(figure, dpi=160)
    say(f"\nFigure: {figure}")
    return chains


def _table(say: Say, chains: dict[str, Chain]) -> None:
    say(f"\n{'':22}{'reference':>14}" + "".join(f"{label:>18}" for label in chains))
    names = {"plaquette": "plaquette", "polyakov": "|Polyakov|", "condensate": "condensate"}
    for name, shown in names.items():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", StatisticsWarning)
            cells = "".join(f"{chain.estimate(name)!s:>18}" for chain in chains.values())
        note = "   (few draws for its tau: errors are lower bounds)" if told else ""
        say(f"{shown:22}{REFERENCE[name]:>14}{cells}{note}")

    def line(label: str, value: Callable[[Chain], str]) -> None:
        say(f"{label:22}{'':>14}" + "".join(f"{value(chain):>18}" for chain in chains.values()))

    def seconds(chain: Chain) -> float:
        return float(np.median(chain.info["seconds"]))

    line("acceptance", lambda chain: f"{chain.acceptance:.2f}")
    line("<exp(-dH)>", lambda chain: str(estimate(chain.info["exp_minus_delta_h"])))
    line("solver iterations", lambda chain: f"{chain.info['solver_iterations'].mean():.0f}")
    line("ms per trajectory", lambda chain: f"{1e3 * seconds(chain):.1f}")
    line("ms per 2 tau(plaq.)", lambda chain: f"{2e3 * chain.estimate('plaquette').tau * seconds(chain):.0f}")


def _draw(history: History, chains: dict[str, Chain]) -> Any:
    figure = new_figure((12.6, 3.4))
    axes = figure.subplots(1, 4)
    steps, window = np.arange(1, len(history.loss) + 1), max(1, len(history.loss) // 8)
    axes[0].semilogy(steps, history.loss, color=COLORS[3], lw=0.6, alpha=0.5)
    smooth = np.convolve(history.loss, np.ones(window) / window, "valid")
    axes[0].semilogy(steps[window // 2 :][: len(smooth)], smooth, color=COLORS[3], lw=1.8)
    axes[0].set(xlabel="step of training", ylabel=r"$(\Delta[S_\theta - S])^2$", xlim=(0, None))
    labels = {"plaquette": "plaquette", "polyakov": "|Polyakov loop|", "condensate": r"$\mathrm{tr}\,D^{-1}/V$"}
    for ax, (name, label) in zip(axes[1:], labels.items(), strict=True):
        values = [chain[name] for chain in chains.values()]
        bins = np.histogram_bin_edges(np.concatenate(values), 16)
        for (chain_label, chain), color in zip(chains.items(), COLORS, strict=False):
            text = f"{chain_label}: acceptance {chain.acceptance:.2f}"
            ax.hist(chain[name], bins, density=True, histtype="step", lw=1.4, color=color, label=text)
        ax.set(xlabel=label, yticks=[])
    axes[0].set_title("the proposal learns")
    axes[2].set_title("what is sampled stays the same")
    for ax in axes:
        dress(ax)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure
