"""Loops, field strengths and forces in plain numpy: slow, short, and written apart from the core."""

import itertools

import numpy as np

GROUPS = ["U(1)", *(f"SU({n})" for n in range(2, 9))]
SHAPES = {1: (6,), 2: (4, 6), 3: (4, 2, 6), 4: (4, 2, 4, 2)}


def dagger(m):
    return m.conj().swapaxes(-1, -2)


def product(links, path):
    """Product of the links along a path of signed steps +-(mu+1), for every starting site."""
    axes = tuple(range(links.shape[0]))
    offset, result = np.zeros(len(axes), int), np.eye(links.shape[-1])
    for step in path:
        mu = abs(step) - 1
        offset[mu] -= step < 0
        link = np.roll(links[mu], tuple(-offset), axes)
        result = result @ (link if step > 0 else dagger(link))
        offset[mu] += step > 0
    return result


def trace(links, path):
    return np.trace(product(links, path), axis1=-2, axis2=-1) / links.shape[-1]


def planes(ndim):
    return list(itertools.combinations(range(1, ndim + 1), 2))


def plaquettes(ndim):
    return [(a, b, -a, -b) for a, b in planes(ndim)]


def rectangles(ndim):
    return [(a, a, b, -a, -a, -b) for a, b in itertools.permutations(range(1, ndim + 1), 2)]


def mean(links, paths):
    return np.mean([trace(links, path).real for path in paths])


def loop_action(links, coefficient, paths):
    return coefficient * sum((1 - trace(links, path).real).sum() for path in paths)


def traceless_antihermitian(m):
    n = m.shape[-1]
    a = (m - dagger(m)) / 2
    return a if n == 1 else a - np.trace(a, axis1=-2, axis2=-1)[..., None, None] * np.eye(n) / n


def wilson_force(links, beta):
    """F of S = beta sum (1 - Re tr P/N): beta/(2N) TA(link times staples); U(1), whose metric is -tr AB: beta TA."""
    ndim, n = links.shape[0], links.shape[-1]
    factor = beta if n == 1 else beta / (2 * n)
    turns = [
        [(a, s * b, -a, -s * b) for b in range(1, ndim + 1) if b != a for s in (1, -1)] for a in range(1, ndim + 1)
    ]
    return np.array([factor * traceless_antihermitian(sum(product(links, path) for path in paths)) for paths in turns])


def leaves(a, b, long=1, wide=1):
    """The four leaves of a clover that touch x in the plane (a, b), all of one orientation."""
    corners = [(a, b), (b, -a), (-a, -b), (-b, a)]
    sides = [(long, wide), (wide, long), (long, wide), (wide, long)]
    return [(p,) * m + (q,) * n + (-p,) * m + (-q,) * n for (p, q), (m, n) in zip(corners, sides, strict=True)]


def field_strength(links, paths):
    return traceless_antihermitian(sum(product(links, path) for path in paths) / len(paths))


def charge(strength):
    """-(1/4 pi^2) sum tr(F01 F23 - F02 F13 + F03 F12) of a function giving F in the plane (a, b)."""
    total = 0
    for sign, (a, b, c, d) in [(1, (1, 2, 3, 4)), (-1, (1, 3, 2, 4)), (1, (1, 4, 2, 3))]:
        total += sign * np.einsum("...ij,...ji->...", strength(a, b), strength(c, d)).real
    return -total / (4 * np.pi**2)
