"""Demonstration `gauge`: the Markov chain of a real configuration, continued."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import plaq.actions as actions
import plaq.datasets as datasets
import plaq.observables as observables
from plaq._plaq import FormatError
from plaq.chains.chain import Chain
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.fields.files import read_gauge
from plaq.plot.figure import dress, new_figure
from plaq.plot.style import COLORS, GREY, name_of
from plaq.samplers.heatbath import Heatbath
from plaq.samplers.hmc import HMC
from plaq.statistics import Estimate, StatisticsWarning, estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["gauge"]

CONFIGURATION = "lat.sample.l4444.ildg"
SHA256 = "dd1972d52d103542934d0ca49510659ae2601a676a0bb6799550d8311c81c9a0"
RECORDED: dict[str, complex] = {
    "plaquette": 0.594850158947,
    "polyakov": 0.431230359613 - 0.000817755197j,
    "topological_charge": -0.030736908630,
    "energy_density": 1.862879292234,
}
"""Plaquette as MILC recorded it with the file; the rest by an independent numpy program, which on another configuration
agrees with published values to all printed digits."""
SAME_DIGITS = 1e-9
SHOWN = {"plaquette": "plaquette", "abs_polyakov": "|Polyakov loop|", "topological_charge": "topological charge"}
NAME = 21
BETA = 6.0
POINTS = 8
HMC_THIN = 3
"""The Polyakov loop of HMC has tau = 20(4) trajectories here; 1000 unthinned draws would be too few for its error."""
EXPECTED, REFERENCE = "0.59639(22)", (0.59639, 0.00022)
"""Plaquette of SU(3), Wilson, beta = 6.0 on 4^4 by an independent heatbath program."""


@demonstration
def gauge(
    say: Say, *, draws: int = 1000, warmup: int = 200, seed: int = 1, figure: str | Path = OWN
) -> dict[str, Chain]:
    """Continue the Markov chain of a real SU(3) configuration by heatbath and by HMC.

    The configuration is the 4^4 sample of the MILC code (ILDG). It comes from dynamical quarks; the chains go on with
    the Wilson gauge action at beta = 6.0, so `warmup` updates are dropped first.

    Parameters
    ----------
    draws, warmup, seed : int
        Length, dropped updates and seed of both chains.

    Returns
    -------
    dict of str to Chain
        The two chains by their labels.

    Raises
    ------
    FormatError
        The shipped file is damaged.
    """
    links = _read(say)
    _compare(links, say)
    say(f"\nContinued with the Wilson action at beta = {BETA}: {draws} draws after {warmup} updates, seed {seed}")
    chains = _sample(links, draws, warmup, seed)
    _tell(chains, say)
    _draw(chains).savefig(figure, dpi=160)
    say(f"\nFigure: {figure}")
    return chains


def _read(say: Say) -> Any:
    path = Path(datasets.path(CONFIGURATION))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise FormatError(f"{path} has SHA-256 {digest}, not {SHA256}; install plaq again")
    links = read_gauge(path)
    say(f"{CONFIGURATION}: {links.group} on {' x '.join(map(str, links.shape))}")
    say(f"SHA-256 {digest[:16]}... and the SciDAC checksums of the links agree")
    return links


def _compare(links: Any, say: Say) -> None:
    say(f"\n{'':{NAME}}{'measured':>18}{'recorded':>18}")
    for name, recorded in RECORDED.items():
        measured = complex(getattr(observables, name)(links))
        parts = {"Re ": (measured.real, recorded.real), "Im ": (measured.imag, recorded.imag)}
        for part, (here, there) in parts.items() if isinstance(recorded, complex) else [("", parts["Re "])]:
            verdict = "" if abs(here - there) < SAME_DIGITS else "  differs"
            say(f"{part + name.replace('_', ' '):{NAME}}{here:18.12f}{there:18.12f}{verdict}")


def _sample(links: Any, draws: int, warmup: int, seed: int) -> dict[str, Chain]:
    action = actions.Wilson(BETA)
    measured = {
        "plaquette": observables.plaquette,
        "abs_polyakov": lambda links: abs(observables.polyakov(links)),
        "topological_charge": observables.topological_charge,
    }
    samplers = {
        "heatbath + overrelaxation": (Heatbath(action, overrelaxation=4), 1),
        f"HMC, every {HMC_THIN}rd trajectory": (HMC(action, length=1.0, steps=10), HMC_THIN),
    }
    chains: dict[str, Chain] = {}
    for number, (label, (sampler, thin)) in enumerate(samplers.items()):
        chain: Chain = sampler.run(links, draws, warmup=warmup, thin=thin, observables=measured, rng=seed + number)
        if chain.interrupted:
            raise KeyboardInterrupt
        links, chains[label] = chain.state, chain
    return chains


def _draw(chains: Mapping[str, Chain]) -> "Figure":
    """One statement: both samplers come to the value of a third program as the draws grow."""
    drawing = new_figure((6.4, 3.8))
    ax = dress(drawing.subplots())
    value, error = REFERENCE
    ax.axhspan(value - error, value + error, color=GREY, alpha=0.3, lw=0, label=f"independent program, {EXPECTED}")
    for k, ((label, chain), color) in enumerate(zip(chains.items(), COLORS, strict=False)):
        counts = np.unique(np.geomspace(max(len(chain) // 20, 10), len(chain), POINTS).astype(int))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StatisticsWarning)  # short beginnings are what is shown
            found = [estimate(chain["plaquette"][:n]) for n in counts]
        means, errors = ([getattr(each, part) for each in found] for part in ("mean", "error"))
        ax.errorbar(
            counts * (1 + 0.04 * k), means, errors, fmt="o", ms=4, capsize=2, color=color, label=f"{label}, {found[-1]}"
        )
    ax.set_xscale("log")
    ax.set(xlabel="draws averaged over", ylabel=name_of("plaquette"))
    ax.set_title(rf"SU(3), Wilson action, $\beta={BETA}$, $4^4$: heatbath and HMC agree", fontsize=10, loc="left")
    ax.legend(frameon=False, fontsize=8)
    return drawing


def _tell(chains: Mapping[str, Chain], say: Say) -> None:
    say(f"\n{'':{NAME}}" + "".join(f"{label:34}" for label in chains).rstrip())
    for name, title in SHOWN.items():
        cells = []
        for chain in chains.values():
            result = chain.estimate(name)
            cells.append(f"{result!s:16}{f'tau = {Estimate(result.tau, result.tau_error, 0.5, 0)}':18}")
        say(f"{title:{NAME}}{''.join(cells)}".rstrip())
    say(f"{'reference plaquette':{NAME}}{EXPECTED:16}(independent heatbath program)")
    say(f"{'acceptance':{NAME}}" + "".join(f"{chain.acceptance:<34.3f}" for chain in chains.values()).rstrip())
    times = (1e3 * float(np.median(chain.info["seconds"])) / chain.thin for chain in chains.values())
    say(f"{'ms per update':{NAME}}" + "".join(f"{each:<34.2f}" for each in times).rstrip())
