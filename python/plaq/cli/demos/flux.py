"""Complex scalar field at chemical potential: plateau and transition by worms, exactly, and as networks see them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import plaq.datasets as datasets
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.flux.exact import transfer_matrix
from plaq.nn.sequential import Sequential
from plaq.nn.zoo import zoo
from plaq.plot.figure import dress, new_figure
from plaq.plot.fluxes import fluxes
from plaq.plot.style import COLORS, GREY
from plaq.samplers.ensemble import FluxEnsemble
from plaq.samplers.worm import Worm
from plaq.statistics import Estimate
from plaq.training.optimizers import Adam

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["flux"]

Array = NDArray[np.float64]
ETA, LAM = 4.01, 1.0
MUS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)
SHAPES = ((2, 40), (10, 40))
TRAINED_AT = 1.05
NETWORKS = {"EQ": ("equivariant", COLORS[2], "x"), "ST": ("strided", COLORS[3], "+")}


@demonstration
def flux(
    say: Say,
    *,
    draws: int = 400,
    thin: int = 10,
    mus: Sequence[float] = MUS,
    train: int = 400,
    epochs: int = 12,
    seed: int = 1,
    figure: str | Path = OWN,
) -> dict[tuple[tuple[int, ...], float], FluxEnsemble]:
    """eta = 4.01, lambda = 1 in two dimensions: n and the mean of abs(phi)^2 against mu, with the exact narrow lattice.

    An equivariant and a strided network of arXiv 2103.14686 (task 1) learn both numbers of a configuration on the wide
    lattice at mu = 1.05, and predict them at all mu.

    Parameters
    ----------
    draws, thin, seed : int
        Configurations of each ensemble, updates between them, seed.
    mus : sequence of float
        Chemical potentials, the first one 0: its propagator has the mass at which the plateau ends.
    train, epochs : int
        Configurations that the networks learn from (a fifth of them for validation), and how often they see them.

    Returns
    -------
    dict of (shape, mu) to FluxEnsemble
    """
    narrow, wide = SHAPES
    matrix = transfer_matrix(narrow, ETA, LAM, nodes=6, charges=8, spread=5)
    say(f"eta = {ETA}, lambda = {LAM}; exact values by the transfer matrix on {narrow[0]}x{narrow[1]}")
    networks = _trained(say, train, epochs, seed)
    predicted: dict[str, list[Array]] = {name: [] for name in networks}
    found: dict[tuple[tuple[int, ...], float], FluxEnsemble] = {}
    for j, (shape, mu) in enumerate((shape, mu) for shape in SHAPES for mu in mus):
        worm = Worm(shape, eta=ETA, lam=LAM, mu=mu)
        ensemble = worm.sample(draws, thin=thin, warmup=100, chains=2, progress=False, rng=seed + j)
        found[shape, mu] = ensemble
        n, phi2 = (_estimate(ensemble, name) for name in ("density", "phi2"))
        beside: dict[str, Any] = {"exact": (matrix.density(mu), matrix.phi_squared(mu))} if shape == narrow else {}
        if shape == wide:
            x = np.concatenate([ensemble.k, ensemble.l], axis=1).astype(np.float32)
            for name, net in networks.items():
                predicted[name].append(net(x).mean(axis=0))
                beside[name] = predicted[name][-1]
        words = "".join(f"  {name} {one:.5f}, {two:.5f}" for name, (one, two) in beside.items())
        say(f"  {shape[0]}x{shape[1]}, mu = {mu:<4g}  n = {_text(n)}, |phi|^2 = {_text(phi2)}{words}")
    mass = found[wide, mus[0]].effective_mass(wide[-1] // 12)
    say(f"mass from the propagator at mu = {mus[0]:g} on {wide[0]}x{wide[1]}: {mass}; n rises from 0 beyond it")
    drawing = _draw(found, matrix, mus, mass.mean, predicted)
    drawing.savefig(figure, dpi=150)
    say(f"the networks saw mu = {TRAINED_AT} alone: elsewhere they extrapolate")
    say(f"figure: {figure}")
    return found


def _trained(say: Say, train: int, epochs: int, seed: int) -> dict[str, Sequential]:
    """Either network, trained on n and the mean of abs(phi)^2 of configurations of the wide lattice."""
    data = datasets.flux_regression(train, SHAPES[1], mu=TRAINED_AT, eta=ETA, lam=LAM, progress=False, rng=seed + 100)
    held, networks = max(1, train // 5), {}
    for name, (kind, *_) in NETWORKS.items():
        net = networks[name] = zoo.build(f"task1/{name}", dtype="float32", rng=seed)
        history = net.fit(
            data.x[held:],
            data.y[held:],
            validation=(data.x[:held], data.y[:held]),
            epochs=epochs,
            batch=min(50, train - held),
            optimizer=Adam(3e-3),
            rng=seed,
            progress=False,
        )
        loss = history.validation.min()
        say(f"{name} ({kind}) learns {train - held} configurations at mu = {TRAINED_AT}: validation loss {loss:.1e}")
    return networks


def _estimate(ensemble: FluxEnsemble, name: str) -> Estimate:
    values = ensemble.chain[name]
    # On the plateau every charge may be zero: then there is no error to estimate.
    return Estimate(float(values[0]), 0.0, 0.5, 0.0) if np.ptp(values) == 0 else ensemble.chain.estimate(name)


def _text(estimate: Estimate) -> str:
    return f"{estimate.mean:.5f}" if estimate.error == 0 else str(estimate)


def _draw(found: Any, matrix: Any, mus: Sequence[float], mass: float, predicted: dict[str, list[Array]]) -> "Figure":
    drawing = new_figure((10.5, 3.6))
    panels = drawing.subplots(1, 3, width_ratios=(1.3, 1.3, 1))
    fine = np.linspace(min(mus), max(mus), 200)
    for ax, name, exact, label, number in (
        (panels[0], "density", matrix.density, "$n$", 0),
        (panels[1], "phi2", matrix.phi_squared, r"$\langle|\phi|^2\rangle$", 1),
    ):
        ax.plot(fine, [exact(mu) for mu in fine], color=COLORS[0], lw=1, label=f"exact, {_size(SHAPES[0])}")
        for shape, color in zip(SHAPES, COLORS, strict=False):
            estimates = [_estimate(found[shape, mu], name) for mu in mus]
            values, errors = ([getattr(each, part) for each in estimates] for part in ("mean", "error"))
            ax.errorbar(mus, values, errors, fmt="o", ms=3.5, color=color, label=f"worm, {_size(shape)}", capsize=2)
        for network, (kind, color, marker) in NETWORKS.items():
            means = [each[number] for each in predicted[network]]
            ax.plot(mus, means, marker, ms=8, mew=1.2, color=color, label=f"{kind} network, {_size(SHAPES[1])}")
        ax.axvline(mass, color=GREY, lw=0.8, ls="--")
        ax.set(xlabel=r"$\mu$", ylabel=label)
        dress(ax)
    panels[0].legend(frameon=False, fontsize=8, loc="upper left")
    panels[0].annotate("mass", (mass, 0.95), xycoords=("data", "axes fraction"), ha="right", fontsize=8, color=GREY)
    last = found[SHAPES[1], mus[-1]]
    fluxes(last.k[-1][..., :16], last.l[-1][..., :16], title=rf"fluxes at $\mu = {mus[-1]:g}$", ax=panels[2])
    return drawing


def _size(shape: Sequence[int]) -> str:
    return rf"${shape[0]}\times{shape[1]}$"
