"""Demonstration `transform`: the topological charge of 2D U(1) with and without a change of variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plaq.actions.links import Wilson
from plaq.chains.chain import Chain
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.fields.gauge import GaugeField
from plaq.observables.links import plaquette
from plaq.observables.topology import topological_charge
from plaq.plot.figure import dress, new_figure
from plaq.plot.style import COLORS
from plaq.samplers.hmc import HMC
from plaq.samplers.transformed import FieldTransformHMC
from plaq.statistics import Estimate, estimate
from plaq.transform.published import u1_2d

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["transform"]

BETA, EXTENT, LENGTH = 5.0, 16, 4.0
EXACT = 0.89338304
"""I_1(5)/I_0(5), the plaquette in infinite volume."""
COEFFICIENTS = (0.043, 0.1)


def _charge(U: GaugeField) -> float:
    return float(topological_charge(U, "geometric"))


@demonstration
def transform(
    say: Say, *, draws: int = 400, warmup: int = 50, seed: int = 1, figure: str | Path = OWN
) -> dict[str, Chain]:
    """HMC of 2D U(1) at beta = 5 on 16^2 beside HMC in new variables with constant coefficients (arXiv 2201.01862).

    Parameters
    ----------
    draws, warmup, seed : int
        Trajectories of length 4 of each chain, dropped ones, seed.

    Returns
    -------
    dict of str to Chain
        Chains by their labels.
    """
    action, start = Wilson(BETA), GaugeField.cold((EXTENT, EXTENT), "U(1)")
    samplers: dict[str, HMC] = {"HMC": HMC(action, length=LENGTH)}
    for c in COEFFICIENTS:
        samplers[f"c = {c}"] = FieldTransformHMC(action, u1_2d(c), length=LENGTH)
    say(f"2D U(1), {EXTENT} x {EXTENT}, beta = {BETA}, trajectories of length {LENGTH:g}")
    say(f"plaquette in infinite volume: {EXACT:.5f}")
    say(f"\n{'':10}{'steps':>6}{'acceptance':>12}{'plaquette':>16}{'<dQ^2>':>14}{'per second':>12}")
    chains: dict[str, Chain] = {}
    for label, sampler in samplers.items():
        measured = {"Q": _charge, "plaquette": plaquette}
        chain: Chain = sampler.run(start, draws, warmup=warmup, observables=measured, rng=seed)
        if chain.interrupted:
            raise KeyboardInterrupt
        chains[label] = chain
        moves = _moves(chain)
        rate = moves.mean / float(np.mean(chain.info["seconds"]))
        steps = (chain.tuned or {}).get("steps", 0)
        mean = chain.estimate("plaquette")
        say(f"{label:10}{steps:6d}{chain.acceptance:12.2f}{mean!s:>16}{moves!s:>14}{rate:12.3g}")
    say("\n<dQ^2> is the mean square change of the topological charge in one trajectory: how fast topology moves.")
    _draw(chains).savefig(figure, dpi=160)
    say(f"\nFigure: {figure}")
    return chains


def _moves(chain: Chain) -> Estimate:
    return estimate(np.diff(np.rint(chain["Q"])) ** 2)


def _draw(chains: Mapping[str, Chain]) -> "Figure":
    """How the charge moves, one sampler to a row on the same scale."""
    drawing = new_figure((7.0, 1.5 * len(chains) + 0.9))
    rows = drawing.subplots(len(chains), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, (label, chain), color in zip(rows, chains.items(), COLORS, strict=False):
        dress(ax).step(np.arange(len(chain)), np.rint(chain["Q"]), color=color, lw=1, where="post")
        name = label if label == "HMC" else f"HMC in new variables, {label}"
        mean = rf"$\langle\Delta Q^2\rangle$ = {_moves(chain)} a trajectory"
        ax.set_title(f"{name}: {mean}, plaquette {chain.estimate('plaquette')}", fontsize=9, loc="left", color=color)
        ax.set_ylabel("$Q$")
        ax.yaxis.get_major_locator().set_params(integer=True)
    rows[-1].set_xlabel("trajectory")
    drawing.suptitle(rf"2D U(1), $\beta={BETA:g}$, ${EXTENT}^2$: how the topological charge moves", fontsize=11)
    return drawing
