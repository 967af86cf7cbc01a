"""Smearing is a neural network: flow of a real configuration, and a covariant network that learns it."""

from pathlib import Path
from typing import Any

import numpy as np

from plaq.actions.links import Wilson
from plaq.cli.demos.demonstration import OWN, Say, demonstration
from plaq.datasets import gauge
from plaq.fields.gauge import GaugeField
from plaq.losses.distance import FieldDistance
from plaq.plot.figure import dress, new_figure
from plaq.plot.flow import flow as draw_flow
from plaq.plot.style import COLORS
from plaq.samplers.heatbath import Heatbath
from plaq.smear.flow import Flow, flow
from plaq.smear.layers import AttentionLayer, StoutLayer
from plaq.smear.network import CovariantNet
from plaq.training.history import History
from plaq.training.optimizers import Adam, Cosine

__all__ = ["smearing"]

CONFIGURATION = "lat.sample.l4448"
RECORDED = {0.1: (0.790042 + 0.76505, 0.0389772), 0.2: (0.506125 + 0.481396, 0.0166373)}
"""Energy and charge along the Wilson flow of this file as the MILC code recorded them, to six digits (steps of 0.1)."""
TARGET = 0.2
"""Flow time of the field that the networks learn."""
LEVEL = 0.05


@demonstration
def smearing(
    say: Say, *, configurations: int = 8, epochs: int = 80, seed: int = 1, figure: str | Path = OWN
) -> dict[str, "History"]:
    """Flow of a MILC configuration, and networks trained to do what the flow does.

    Parameters
    ----------
    configurations, epochs, seed : int
        Training configurations (4^4, SU(3), Wilson action at beta = 6.0), passes over them, seed.

    Returns
    -------
    dict of str to History
        Training records by network.
    """
    links = gauge(CONFIGURATION)
    result = flow(links, 1.0, step=0.02)
    _tell_flow(links, result, say)
    train, held = _ensemble(configurations, seed)
    histories = _train(train, held, epochs, seed, say)
    _check_covariance(held[0], say)
    _draw(result, histories).savefig(figure, dpi=160)
    say(f"\nFigure: {figure}")
    return histories


def _tell_flow(links: "GaugeField", result: "Flow", say: Say) -> None:
    say(f"{CONFIGURATION}: {links.group} on {' x '.join(map(str, links.shape))}, Wilson flow")
    say(f"\n{'t':>6}{'plaquette':>14}{'E':>12}{'t^2 E':>12}{'Q':>12}")
    for t in (0.0, 0.1, 0.2, 0.5, 1.0):
        k = int(np.argmin(np.abs(result.t - t)))
        energy = result.energy[k]
        say(f"{t:6.2f}{result.plaquette[k]:14.8f}{energy:12.6f}{t * t * energy:12.6f}{result.charge[k]:12.6f}")
    coarse = flow(links, max(RECORDED), step=0.1)
    for k, (t, (energy, charge)) in enumerate(RECORDED.items(), start=1):
        agree = abs(coarse.energy[k] / energy - 1) < 2e-6 and abs(coarse.charge[k] / charge - 1) < 2e-5
        say(f"E and Q at t = {t} with the steps of the MILC code {'agree with' if agree else 'differ from'} its record")
    say(f"t0 at t^2 E = {LEVEL}: {result.t0(LEVEL):.5f}")


def _ensemble(configurations: int, seed: int) -> tuple[list[Any], list[Any]]:
    sampler = Heatbath(Wilson(6.0), overrelaxation=2)
    state, drawn = gauge("lat.sample.l4444.ildg"), []
    for k in range(configurations + 4):
        chain = sampler.run(state, 1, warmup=20, rng=seed + k, progress=False)
        state = chain.state
        drawn.append(state)
    return drawn[4:], drawn[:4]


def networks() -> dict[str, CovariantNet]:
    """The untrained networks, all the identity."""
    return {
        "one stout layer": CovariantNet([StoutLayer(["plaquette"])]),
        "one layer, three loops": CovariantNet([StoutLayer(["plaquette", "rectangle", "chair"])]),
        "two layers": CovariantNet([StoutLayer(["plaquette", "rectangle"])] * 2),
        "layer and attention": CovariantNet([StoutLayer(["plaquette"]), AttentionLayer(["plaquette"], reach=1)]),
    }


def _train(train: list[Any], held: list[Any], epochs: int, seed: int, say: Say) -> dict[str, "History"]:
    loss = FieldDistance(lambda U: flow(U, TARGET, step=0.02).field)
    say(f"\nLearning the flow to t = {TARGET}: mean |net(U) - V|^2 a link on {len(held)} held-out configurations")
    targets, histories = loss.targets(held), {}
    identity, _ = loss.of_batch(CovariantNet([StoutLayer(["plaquette"])]), held, targets)
    euler, _ = loss.of_batch(CovariantNet([StoutLayer(["plaquette"], [TARGET])]), held, targets)
    say(f"{'no smearing':26}{identity:12.3e}")
    say(f"{'one Euler step of flow':26}{euler:12.3e}")
    for name, net in networks().items():
        rule = Adam(0.01, schedule=Cosine(2 * epochs))  # two batches an epoch
        histories[name] = net.fit(
            train, loss, optimizer=rule, epochs=epochs, batch=len(train) // 2 or 1, validation=held, rng=seed
        )
        coefficients = " ".join(f"{value:.4f}" for value in net.parameters)
        say(f"{name:26}{histories[name].validation.min():12.3e}   {coefficients}")
    return histories


def _check_covariance(field: "GaugeField", say: Say) -> None:
    say("\nGauge covariance, max |net(U^g) - net(U)^g| under a random transformation:")
    for name, net in networks().items():
        net.parameters = 0.05 * np.cos(np.arange(len(net.parameters)))
        a = np.asarray(net(field.random_gauge_transform(rng=3)))
        b = np.asarray(net(field).random_gauge_transform(rng=3))
        say(f"{name:26}{np.abs(a - b).max():12.1e}")


def _draw(result: "Flow", histories: dict[str, "History"]) -> Any:
    figure = new_figure((10.5, 3.8))
    left, right = figure.subplots(1, 2)
    draw_flow(result, level=LEVEL, ax=left)
    for (name, history), color in zip(histories.items(), COLORS, strict=False):
        right.semilogy(history.epoch, history.validation, lw=1.3, color=color, label=name)
    right.set(xlabel="epoch", ylabel=r"held-out $\langle|U'-V|^2\rangle$", xlim=(0, None))
    right.set_title(f"networks learn the flow to t = {TARGET:g}", fontsize=10, loc="left")
    right.legend(frameon=False, fontsize=8)
    dress(right)
    return figure
