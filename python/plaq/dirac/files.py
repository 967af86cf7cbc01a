"""Propagators in files: npz with a checksum, the operator they belong to, and a digest of its links."""

from __future__ import annotations

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import FormatError, __version__
from plaq.dirac.operator import Operator
from plaq.ground.archive import unpacked, verified, write_arrays
from plaq.ground.arguments import instance
from plaq.ground.files import damaged, read_content
from plaq.ground.states import differences

__all__ = ["read_propagator", "write_propagator"]

FORMAT = "plaq-propagator"


def write_propagator(path: str | PathLike[str], G: ArrayLike, D: Operator) -> None:
    """Write a propagator into a npz file that numpy can open (``propagator`` and ``meta``), complete or not at all.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    G : array_like, shape (spin', colour', x.., spin, colour)
        A propagator of ``D.propagator``; more axes in front are allowed.
    D : plaq.dirac.Operator
        Its operator: the file holds the operator, lattice and group and a digest of the links, not the links.

    Raises
    ------
    TypeError, ValueError
        No operator; another shape, numbers that are not finite.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(mass=0.5).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    >>> G, info = D.propagator()
    >>> pq.dirac.write_propagator("quark.npz", G, D)
    >>> bool((pq.dirac.read_propagator("quark.npz", D) == G).all())
    True
    """
    instance("D", D, Operator, "a Dirac operator, made by family.on(U)")
    values, _ = D._vectors("G", G, D.quark_shape)
    inner = D.quark_shape[D.U.ndim :]
    shape = np.shape(G)
    if shape[-len(inner) - len(D.quark_shape) : -len(D.quark_shape)] != inner:
        raise ValueError(f"G has shape {shape}; {(*inner, *D.quark_shape)} is needed, as of D.propagator")
    if not np.isfinite(values).all():
        raise ValueError("G has numbers that are not finite")
    meta = {"format": FORMAT, "version": 1, "plaq": __version__, "operator": _facts(D)}
    write_arrays(path, {"meta": np.array(json.dumps(meta)), "propagator": values.reshape(shape)})


def read_propagator(path: str | PathLike[str], D: Operator | None = None) -> NDArray[np.complex128]:
    """Read a propagator of :func:`write_propagator`.

    Parameters
    ----------
    path : path
    D : plaq.dirac.Operator, optional
        The operator that it must belong to: the same family with the same numbers on the same links.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        No operator; another operator than that of the file, with what differs.
    plaq.FormatError
        Another file, or a damaged one.
    OSError
        No file.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.5).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    >>> pq.dirac.write_propagator("quark.npz", D.propagator()[0], D)
    >>> pq.dirac.read_propagator("quark.npz").shape
    (1, 4, 4, 1)
    """
    if D is not None:
        instance("D", D, Operator, "a Dirac operator, made by family.on(U)")
    content = read_content(path)
    with damaged(path, FormatError, lambda why: f"holds no propagator of plaq or is damaged ({why}); make it again"):
        arrays = verified(unpacked(path, content))
        meta = json.loads(str(arrays["meta"][()]))
        if meta["format"] != FORMAT:
            raise ValueError(f'its format is "{meta["format"]}"')
        stored: dict[str, Any] = dict(meta["operator"])
        G = np.asarray(arrays["propagator"], np.complex128)
    found = [] if D is None else differences(stored, _facts(D))
    if found:
        raise ValueError(f"{Path(path).name} holds the propagator of another operator: {'; '.join(found)}")
    return G


def _facts(D: Operator) -> dict[str, Any]:
    """What a propagator depends on."""
    fields = {"links": D.U, "fat": getattr(D.family, "fat", None), "long": getattr(D.family, "long", None)}
    digests = {name: _digest(np.asarray(field)) for name, field in fields.items() if field is not None}
    return {"family": D.family.spec(), "group": D.U.group, "shape": list(D.U.shape), **digests}


def _digest(links: NDArray[np.complex128]) -> str:
    return hashlib.sha256(np.ascontiguousarray(links).tobytes()).hexdigest()
