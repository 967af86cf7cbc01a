"""Colours and names that all figures share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


__all__ = ["COLORS", "GREY", "LABELS", "name_of"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe-Ito colours, which colour-blind people tell apart."""
GREY = "#555555"
LABELS = {
    "plaquette": r"plaquette $P$",
    "rectangle": r"rectangle $R$",
    "polyakov": r"Polyakov loop $L$",
    "abs_polyakov": r"Polyakov loop $|L|$",
    "topological_charge": r"topological charge $Q$",
    "energy_density": r"energy density $E$",
    "q": r"$q(x)$",
    "delta_h": r"$\Delta H$",
    "magnetization": r"magnetization $m$",
    "staggered_magnetization": r"staggered magnetization $m_s$",
    "loss": r"loss",
    "log_likelihood": r"log-likelihood",
    "kl": r"Kullback-Leibler divergence",
    "eigenvalues": r"eigenvalues of $K$",
    "singular_values": r"singular values of $W$",
}


def name_of(name: str) -> str:
    """How an observable is called on an axis."""
    if name.startswith(("Re ", "Im ")):
        return f"{name[:3]}{name_of(name[3:])}"
    return LABELS.get(name, name.replace("_", " "))
