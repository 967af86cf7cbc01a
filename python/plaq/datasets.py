"""Real configurations that come with the package, and images of digits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from plaq._plaq import FormatError
from plaq.gauge import GaugeField, read_gauge
from plaq.images import digits, mnist
from plaq.suggest import unknown

__all__ = ["Configuration", "configurations", "digits", "gauge", "mnist", "path"]

_FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Configuration:
    """A shipped file: its SHA-256, where it comes from, and what is recorded of it.

    Examples
    --------
    >>> configurations()["lat.sample.l4448"].plaquette
    0.569055724369
    """

    sha256: str
    description: str
    plaquette: float


_TABLE = {
    "lat.sample.l4444.ildg": Configuration(
        "dd1972d52d103542934d0ca49510659ae2601a676a0bb6799550d8311c81c9a0",
        "4^4 SU(3), dynamical quarks, ILDG with SciDAC checksums, single precision (MILC code, sample configuration)",
        0.594850158947,
    ),
    "lat.sample.l4448": Configuration(
        "60ac8b6a072d7d1fd66669c43e8755c45153ccc40a57361b452eb121a9bda51a",
        "4^3 x 8 SU(3), MILC v5 big-endian, single precision (MILC code, sample configuration)",
        0.569055724369,
    ),
}


def configurations() -> dict[str, Configuration]:
    """Names of the shipped configurations with what is known of them.

    Examples
    --------
    >>> list(configurations())
    ['lat.sample.l4444.ildg', 'lat.sample.l4448']
    """
    return dict(_TABLE)


def path(name: str) -> Path:
    """File of a shipped configuration.

    Parameters
    ----------
    name : str
        One of :func:`configurations`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        Unknown name.

    Examples
    --------
    >>> path("lat.sample.l4448").stat().st_size
    147552
    """
    if name not in _TABLE:
        raise ValueError(unknown("configuration", name, _TABLE))
    return _FOLDER / name


def gauge(name: str = "lat.sample.l4444.ildg") -> GaugeField:
    """A shipped gauge configuration, its file verified by SHA-256 and by its own checksums.

    Parameters
    ----------
    name : str
        One of :func:`configurations`.

    Returns
    -------
    GaugeField

    Raises
    ------
    ValueError
        Unknown name.
    FormatError
        The installed file is damaged.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.datasets.gauge("lat.sample.l4444.ildg")
    <GaugeField SU(3) 4x4x4x4, plaquette 0.594850>
    """
    file = path(name)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != _TABLE[name].sha256:
        raise FormatError(f"{file}: SHA-256 is {digest}, not {_TABLE[name].sha256}; install plaq again")
    return read_gauge(file)
