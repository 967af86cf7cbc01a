"""Demonstrations of the command line: `plaq demo NAME`."""

import hashlib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from plaq import plot
from plaq.chain import Chain
from plaq.demos.smearing import smearing
from plaq.demos.spin_fermion import spin_fermion
from plaq.export import require
from plaq.statistics import Estimate
from plaq.suggest import unknown

__all__ = ["DEMOS", "gauge", "get"]

Say = Callable[[str], None]

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
HMC_THIN = 3
"""The Polyakov loop of HMC has tau = 20(4) trajectories here; 1000 unthinned draws would be too few for its error."""
EXPECTED = "0.59639(22)"
"""Plaquette of SU(3), Wilson, beta = 6.0 on 4^4 by an independent heatbath program."""


def gauge(
    say: Say, *, draws: int = 1000, warmup: int = 200, seed: int = 1, figure: str | Path = "plaq-demo.png"
) -> dict[str, Chain]:
    """Continue the Markov chain of a real SU(3) configuration by heatbath and by HMC.

    The configuration is the 4^4 sample of the MILC code (ILDG). It comes from dynamical quarks; the chains go on with
    the Wilson gauge action at beta = 6.0, so `warmup` updates are dropped first.

    Parameters
    ----------
    say : callable
        Receives each line of text.
    draws, warmup, seed : int
        Length, dropped updates and seed of both chains.
    figure : path
        Where the figure goes.

    Returns
    -------
    dict of str to Chain
        The two chains by their labels.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install plaq[plot]``.
    FormatError
        The shipped file is damaged.
    """
    require("matplotlib", "plot")
    plaq: Any = import_module("plaq")
    links = _read(plaq, say)
    _compare(plaq, links, say)
    say(f"\nContinued with the Wilson action at beta = {BETA}: {draws} draws after {warmup} updates, seed {seed}")
    chains = _sample(plaq, links, draws, warmup, seed)
    _tell(chains, say)
    title = rf"SU(3), Wilson action, $\beta={BETA}$, $4^4$, continued from {CONFIGURATION} (MILC)"
    plot.chains(chains, title=title).savefig(figure, dpi=160)
    say(f"\nFigure: {figure}")
    return chains


def _read(plaq: Any, say: Say) -> Any:
    path = Path(plaq.datasets.path(CONFIGURATION))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise plaq.FormatError(f"{path} has SHA-256 {digest}, not {SHA256}; install plaq again")
    links = plaq.read_gauge(path)
    say(f"{CONFIGURATION}: {links.group} on {' x '.join(map(str, links.shape))}")
    say(f"SHA-256 {digest[:16]}... and the SciDAC checksums of the links agree")
    return links


def _compare(plaq: Any, links: Any, say: Say) -> None:
    say(f"\n{'':{NAME}}{'measured':>18}{'recorded':>18}")
    for name, recorded in RECORDED.items():
        measured = complex(getattr(plaq.observables, name)(links))
        parts = {"Re ": (measured.real, recorded.real), "Im ": (measured.imag, recorded.imag)}
        for part, (here, there) in parts.items() if isinstance(recorded, complex) else [("", parts["Re "])]:
            verdict = "" if abs(here - there) < SAME_DIGITS else "  differs"
            say(f"{part + name.replace('_', ' '):{NAME}}{here:18.12f}{there:18.12f}{verdict}")


def _sample(plaq: Any, links: Any, draws: int, warmup: int, seed: int) -> dict[str, Chain]:
    action = plaq.actions.Wilson(BETA)
    observables = {
        "plaquette": plaq.observables.plaquette,
        "abs_polyakov": lambda links: abs(plaq.observables.polyakov(links)),
        "topological_charge": plaq.observables.topological_charge,
    }
    samplers = {
        "heatbath + overrelaxation": (plaq.Heatbath(action, overrelaxation=4), 1),
        f"HMC, every {HMC_THIN}rd trajectory": (plaq.HMC(action, length=1.0, steps=10), HMC_THIN),
    }
    chains: dict[str, Chain] = {}
    for number, (label, (sampler, thin)) in enumerate(samplers.items()):
        chain: Chain = sampler.run(links, draws, warmup=warmup, thin=thin, observables=observables, rng=seed + number)
        if chain.interrupted:
            raise KeyboardInterrupt
        links, chains[label] = chain.state, chain
    return chains


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


DEMOS: dict[str, Callable[[Say], Any]] = {"gauge": gauge, "smearing": smearing, "spin-fermion": spin_fermion}


def get(name: str) -> Callable[[Say], Any]:
    """The demonstration called `name`; ValueError names the nearest one."""
    if name not in DEMOS:
        raise ValueError(unknown("demo", name, DEMOS))
    return DEMOS[name]
