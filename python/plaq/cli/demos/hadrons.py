"""Demonstration `hadrons`: quarks on a real configuration, their hadrons, condensate and lowest modes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaq.actions.links import Wilson as WilsonAction
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.datasets import gauge
from plaq.dirac.families import Wilson
from plaq.dirac.operator import Operator, Spectrum
from plaq.ground.correlators import effective_mass, effective_mass_error
from plaq.observables.hadrons import chiral_condensate, meson_correlator, nucleon_correlator
from plaq.plot.correlators import correlator
from plaq.plot.figure import dress, new_figure
from plaq.plot.style import COLORS, GREY
from plaq.samplers.heatbath import Heatbath
from plaq.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Hadrons", "hadrons"]

Array = NDArray[np.float64]
CONFIGURATION = "lat.sample.l4448"
KAPPA = 0.12
RECORDED = (
    *(0.8386433167625, 0.040558880059, 0.004521674933526, 0.0006219781745826),
    *(0.0001743626999455, 0.0004986652793264, 0.003852393044465, 0.0373235551952),
)
"""Pion of this file and kappa by an independent program: the matrix of the formula in SciPy, by GMRES to 1e-14."""
SAME_DIGITS = 1e-8
BETA = 6.0


@dataclass
class Hadrons:
    """What the demonstration measured: correlators ``[configuration, t]``, condensate and lowest eigenvalues."""

    correlators: dict[str, Array] = field(default_factory=dict)
    condensate: Estimate | None = None
    spectrum: Spectrum | None = None


@demonstration
def hadrons(say: Say, *, configurations: int = 12, modes: int = 16, seed: int = 1, figure: str | Path = OWN) -> Hadrons:
    """Pion, rho and nucleon, the condensate and the lowest modes of gamma_5 D on a MILC configuration and on its chain.

    Parameters
    ----------
    configurations, modes, seed : int
        Configurations of the continued chain (Wilson action at beta = 6.0), eigenvalues, seed.

    Returns
    -------
    Hadrons
    """
    links = gauge(CONFIGURATION)
    D = Wilson(kappa=KAPPA).on(links)
    say(f"{CONFIGURATION}: {links.group} on {' x '.join(map(str, links.shape))}, Wilson quarks, kappa = {KAPPA}")
    G, info = D.propagator(tol=1e-11)
    say(f"12 sources: {info.method}, {info.iterations} iterations, residual {info.residual:.1e}, {info.seconds:.2f} s")
    _compare(_measure(D, G)["pion"], say)
    found = Hadrons()
    found.condensate = chiral_condensate(D, noise="Z2", n_noise=24, rng=seed)  # type: ignore[assignment]
    say(f"\ncondensate tr D^-1/V, 24 vectors of Z2 noise: {found.condensate}")
    found.spectrum = D.eigenvalues(modes, of="hermitian")
    worst = found.spectrum.residuals.max()
    say(f"lowest of {modes} eigenvalues of gamma_5 D (residuals below {worst:.0e}, {found.spectrum.seconds:.2f} s):")
    say("  " + "  ".join(f"{value:+.6f}" for value in found.spectrum.values[:6]))
    found.correlators = _ensemble(links, configurations, seed)
    _tell(found.correlators, say)
    _draw(found).savefig(figure, dpi=160)
    say(f"\nFigure: {figure}")
    return found


def _measure(D: Operator, G: Any) -> dict[str, Array]:
    rho = np.mean([meson_correlator(D, str(k), str(k), G).real for k in range(3)], axis=0)
    return {
        "pion": meson_correlator(D, "5", "5", G).real,
        "rho": rho,
        "nucleon": nucleon_correlator(D, G).real,
    }


def _compare(pion: Array, say: Say) -> None:
    say(f"\n{'t':>3}{'pion':>20}{'recorded':>20}")
    for t, (here, there) in enumerate(zip(pion, RECORDED, strict=False)):
        verdict = "" if abs(here / there - 1) < SAME_DIGITS else "  differs"
        say(f"{t:3d}{here:20.12e}{there:20.12e}{verdict}")


def _ensemble(links: Any, configurations: int, seed: int) -> dict[str, Array]:
    sampler, found = Heatbath(WilsonAction(BETA), overrelaxation=4), []
    for n in range(configurations):
        chain = sampler.run(links, 1, warmup=50 if n == 0 else 20, rng=seed + n, progress=False)
        if chain.interrupted:
            raise KeyboardInterrupt
        links = chain.state
        D = Wilson(kappa=KAPPA).on(links)
        found.append(_measure(D, D.propagator(tol=1e-9)[0]))
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def _forms(name: str) -> str:
    return "log" if name == "nucleon" else "cosh"


def _tell(correlators: dict[str, Array], say: Say) -> None:
    count = len(correlators["pion"])
    say(f"\nChain continued with the Wilson action at beta = {BETA}: {count} configurations, 21 updates apart")
    say(f"{'':9}" + "".join(f"{f't = {t + 0.5}':>15}" for t in range(3)))
    for name, C in correlators.items():
        values, errors = effective_mass(C, _forms(name)), effective_mass_error(C, _forms(name))
        cells = (
            str(Estimate(float(m), float(e), 0.5, 0.0)) if np.isfinite([m, e]).all() and e > 0 else "-"
            for m, e in zip(values[:3], errors[:3], strict=True)
        )
        say(f"m {name:7}" + "".join(f"{cell:>15}" for cell in cells))


def _draw(found: Hadrons) -> "Figure":
    drawing = new_figure((11.0, 3.4))
    panels = drawing.subplots(1, 3)
    for (name, C), color in zip(found.correlators.items(), COLORS, strict=False):
        correlator(C, label=name, color=color, ax=panels[0])
        # The nucleon moves forward in the first half of time only.
        part = C[:, : C.shape[1] // 2] if name == "nucleon" else C
        correlator(part, kind="mass", form=_forms(name), color=color, ax=panels[1])
    panels[0].legend(frameon=False, fontsize=8)
    panels[1].set_ylim(bottom=0)
    assert found.spectrum is not None
    values = np.sort(found.spectrum.values)
    for chosen, color in ((values < 0, COLORS[0]), (values > 0, COLORS[1])):
        dress(panels[2]).plot(np.flatnonzero(chosen) + 1, values[chosen], "o", ms=3.5, color=color)
    panels[2].xaxis.get_major_locator().set_params(integer=True)
    panels[2].axhline(0, color=GREY, lw=0.6)
    panels[2].set(xlabel="number, from below", ylabel=r"eigenvalue of $\gamma_5 D$")
    gap = rf"lowest modes: heavy quarks, a gap of {np.abs(values).min():.2f}"
    for panel, title in zip(panels, ("correlators", r"effective masses: $\pi$ and $\rho$ close", gap), strict=True):
        panel.set_title(title, fontsize=10, loc="left")
    return drawing
