"""plaq in torch and JAX: gradients by their own checkers, and what lies below by differences without either."""

import importlib.util
import subprocess
import sys
from functools import partial

import numpy as np
import plaq as pq
import pytest
from plaq.bridges.reverse import force_of, gradient_of, reverse_of_action, reverse_of_network

LATTICES = {"U(1) 2D": ("U(1)", (2, 4)), "SU(2) 3D": ("SU(2)", (2, 2, 2)), "SU(3) 2D": ("SU(3)", (2, 2))}
STOUT = [pq.StoutLayer(["plaquette", "rectangle"], [0.05, 0.02]), pq.StoutLayer(["plaquette"], [0.08])]


def lcnn(group, ndim):
    layers = [pq.lcnn.Loops(), pq.lcnn.LCB(ndim * (ndim - 1) // 2, 2, 2), pq.lcnn.LExp(2), pq.lcnn.Trace()]
    net = pq.LCNN([*layers, pq.lcnn.Dense(4, 2)], ndim=ndim, group=group, rng=1)
    net.parameters = np.random.default_rng(3).normal(scale=0.2, size=net.n_parameters)
    return net


KINDS = {
    "Wilson": lambda group, ndim: reverse_of_action(pq.actions.Wilson(1.7)),
    "mapped": lambda group, ndim: reverse_of_action(pq.actions.Mapped(pq.actions.Wilson(1.7), pq.CovariantNet(STOUT))),
    "stout": lambda group, ndim: reverse_of_network(pq.CovariantNet(STOUT)),
    "transform": lambda group, ndim: reverse_of_network(pq.FieldTransform([pq.transform.StoutMask(0.03, ndim=ndim)])),
    "L-CNN": lambda group, ndim: reverse_of_network(lcnn(group, ndim)),
}
CASES = [(lattice, kind) for lattice in LATTICES for kind in KINDS]


def links_of(lattice):
    group, shape = LATTICES[lattice]
    return np.asarray(pq.GaugeField.hot(shape, group, rng=1))


def generators(n):
    """Anti-Hermitian matrices i T with tr T^a T^b = delta / 2; i for U(1)."""
    if n == 1:
        return np.full((1, 1, 1), 1j)
    found = []
    for a in range(n):
        for b in range(a):
            for entry in (1.0, -1j):
                T = np.zeros((n, n), complex)
                T[a, b], T[b, a] = entry / 2, np.conj(entry) / 2
                found.append(T)
        if a:
            found.append(np.diag([1.0] * a + [-a] + [0.0] * (n - a - 1)) / np.sqrt(2 * a * (a + 1)))
    return 1j * np.array(found)


def weights_of(reverse, links):
    """Random numbers by which the outputs are added to one."""
    rng = np.random.default_rng(2)
    outputs = reverse.values(reverse.parameters, links)
    return tuple(rng.normal(size=each.shape) + 1j * rng.normal(size=each.shape) for each in outputs)


def total(outputs, weights):
    return sum(float(np.sum((w.conj() * v).real)) for v, w in zip(outputs, weights, strict=True))


@pytest.mark.parametrize(("lattice", "kind"), CASES)
def test_pullbacks_are_derivatives(lattice, kind):
    group, shape = LATTICES[lattice]
    links, reverse = links_of(lattice), KINDS[kind](group, len(shape))
    weights, theta, h = weights_of(reverse, links), reverse.parameters, 1e-5
    above = tuple(
        w if v.dtype.kind == "c" else w.real for v, w in zip(reverse.values(theta, links), weights, strict=True)
    )
    at_theta, at_links = reverse.pullback(theta, links, above)
    rng, algebra = np.random.default_rng(5), generators(links.shape[-1])
    for _ in range(3):
        direction = np.tensordot(rng.normal(size=(*links.shape[:-2], len(algebra))), algebra, 1)
        values, vectors = np.linalg.eigh(-1j * direction)
        turned = [
            (vectors * np.exp(1j * s * values)[..., None, :]) @ vectors.conj().swapaxes(-1, -2) @ links for s in (h, -h)
        ]
        found = np.subtract(*(total(reverse.values(theta, each), weights) for each in turned)) / (2 * h)
        assert found == pytest.approx(np.sum((at_links.conj() * (direction @ links)).real), rel=1e-6, abs=1e-7)
        along = rng.normal(size=theta.shape)
        found = np.subtract(*(total(reverse.values(theta + s * along, links), weights) for s in (h, -h))) / (2 * h)
        assert found == pytest.approx(at_theta @ along, rel=1e-6, abs=1e-7)


def test_forces_and_gradients_are_inverse_and_tangent():
    for lattice in LATTICES:
        links = links_of(lattice)
        noise = np.random.default_rng(1).normal(size=links.shape) + 1j * np.random.default_rng(2).normal(
            size=links.shape
        )
        force = force_of(noise, links)
        assert np.allclose(force, -force.conj().swapaxes(-1, -2), atol=1e-14)
        assert links.shape[-1] == 1 or np.allclose(np.trace(force, axis1=-2, axis2=-1), 0, atol=1e-14)
        tangent = gradient_of(force, links)
        assert np.allclose(force_of(tangent, links), force, atol=1e-13)
        assert np.linalg.norm(tangent) < np.linalg.norm(noise)


def test_shapes_are_those_of_the_values():
    for lattice, kind in CASES:
        group, shape = LATTICES[lattice]
        links, reverse = links_of(lattice), KINDS[kind](group, len(shape))
        values = reverse.values(reverse.parameters, links)
        assert reverse.shapes(links.shape) == [(each.shape, each.dtype) for each in values]


def test_scalar_fields_have_plain_gradients():
    phi, S = pq.ScalarField.random((4, 4), 2, rng=1), pq.actions.Scalar(1.0, 0.5)
    reverse = reverse_of_action(S)
    assert np.array_equal(reverse.pullback(np.zeros(0), np.asarray(phi), (np.array(2.0),))[1], 2 * S.force(phi))


def test_networks_are_copied():
    net = pq.CovariantNet(STOUT)
    reverse = reverse_of_network(net)
    reverse.values(np.zeros(3), links_of("SU(2) 3D"))
    assert np.array_equal(net.parameters, [0.05, 0.02, 0.08])
    net.parameters = np.zeros(3)
    assert np.array_equal(reverse.parameters, [0.05, 0.02, 0.08])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reverse_of_action(3), "action is one of plaq.actions"),
        (lambda: reverse_of_action(pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.1), n_flavors=4)), "pseudoferm"),
        (lambda: reverse_of_network(pq.nn.zoo["task3/ST2"]), "CovariantNet, FieldTransform or LCNN"),
    ],
)
def test_what_has_no_gradient_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_frameworks_are_optional(name):
    code = f"import sys\nsys.modules['{name}'] = None\ntry:\n    import plaq.{name}\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{name} is needed here: pip install {name} (of the extra plaq[{name}])\n"


# What follows runs where the frameworks are installed.
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def public(module, kind, group, ndim):
    """The functions of a framework for a kind, as functions of parameters and links."""
    if kind == "Wilson":
        return np.zeros(0), lambda theta, links: module.action(pq.actions.Wilson(1.7))(links)
    if kind == "mapped":
        S = pq.actions.Mapped(pq.actions.Wilson(1.7), pq.CovariantNet(STOUT))
        return np.zeros(0), lambda theta, links: module.action(S)(links)
    net = {
        "stout": lambda: pq.CovariantNet(STOUT),
        "transform": lambda: pq.FieldTransform([pq.transform.StoutMask(0.03, ndim=ndim)]),
        "L-CNN": lambda: lcnn(group, ndim),
    }[kind]()
    return net.parameters, module.network(net)


@needs_torch
@pytest.mark.parametrize(("lattice", "kind"), CASES)
def test_gradients_by_the_checker_of_torch(lattice, kind):
    import plaq.torch
    import torch

    group, shape = LATTICES[lattice]
    links, algebra = links_of(lattice), torch.from_numpy(generators(links_of(lattice).shape[-1]))
    start, weights = torch.from_numpy(links), weights_of(KINDS[kind](group, len(shape)), links)
    theta, made = public(plaq.torch, kind, group, len(shape))

    def value(theta, x):
        moved = torch.linalg.matrix_exp(torch.tensordot(x.to(torch.complex128), algebra, 1)) @ start
        if kind in ("Wilson", "mapped"):
            outputs = made(theta, moved)
        else:
            outputs = torch.func.functional_call(made, {"theta": theta}, (moved,))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum((torch.as_tensor(w).conj() * v).real.sum() for v, w in zip(outputs, weights, strict=True))

    x = torch.from_numpy(np.random.default_rng(1).normal(scale=0.3, size=(*links.shape[:-2], len(algebra))))
    inputs = torch.from_numpy(theta.copy()).requires_grad_(bool(theta.size)), x.requires_grad_()
    assert torch.autograd.gradcheck(value, inputs, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)


@needs_torch
def test_a_torch_model_around_ours_trains():
    """Stout links in front, a layer of torch behind an L-CNN: all parameters learn, and the loss falls."""
    import plaq.torch
    import torch

    fields = [torch.from_numpy(np.asarray(pq.GaugeField.hot((4, 4), "SU(2)", rng=k))) for k in range(8)]
    S = plaq.torch.action(pq.actions.Wilson(1.0))
    targets = torch.stack([S(U) for U in fields]) / 16
    net = pq.LCNN([pq.lcnn.Loops(), pq.lcnn.Trace(), pq.lcnn.Mean()], ndim=2, group="SU(2)", rng=1)
    model = torch.nn.Sequential(
        plaq.torch.network(pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.05])])),
        plaq.torch.network(net),
        torch.nn.Linear(2, 1, dtype=torch.float64),
    )
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.05), []
    for _ in range(150):
        optimizer.zero_grad()
        loss = ((torch.cat([model(U) for U in fields]) - targets) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert abs(model[0].theta.item() - 0.05) > 0.01, "our layer learnt, too"


def plaquettes(backend, links):
    """Wilson's action of SU(N) in two dimensions by the framework."""
    a, b = links[0], links[1]
    dagger = (lambda M: M.mH) if backend.__name__ == "torch" else (lambda M: backend.conj(M).swapaxes(-1, -2))
    roll = partial(backend.roll) if backend.__name__ != "torch" else lambda M, s, axis: backend.roll(M, s, axis)
    loop = a @ roll(b, -1, axis=0) @ dagger(roll(a, -1, axis=1)) @ dagger(b)
    return 2.2 * (1 - backend.einsum("xyii->xy", loop).real / links.shape[-1]).sum()


@needs_torch
def test_an_action_of_torch_in_hmc():
    import plaq.torch
    import torch

    S, W = plaq.torch.custom(partial(plaquettes, torch), "plaquettes"), pq.actions.Wilson(2.2)
    for group in ("U(1)", "SU(2)", "SU(3)"):
        U = pq.GaugeField.hot((4, 4), group, rng=1)
        assert S(U) == pytest.approx(W(U), rel=1e-12)
        assert np.allclose(S.force(U), W.force(U), atol=1e-12)
    chains = [pq.HMC(each, steps=6).run(U, 10, rng=1, progress=False) for each in (S, W)]
    assert np.allclose(*(chain["plaquette"] for chain in chains), atol=1e-9)
    with pytest.raises(TypeError, match="a real tensor without axes"):
        plaq.torch.custom(lambda links: links).force(U)
    with pytest.raises(TypeError, match=r"take U\.to"):
        plaq.torch.action(W)(torch.zeros((2, 4, 4, 1, 1), dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"as torch\.from_numpy"):
        plaq.torch.action(W)(np.asarray(U))


@pytest.fixture
def x64():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


@needs_jax
@pytest.mark.parametrize(("lattice", "kind"), CASES)
def test_gradients_by_the_checker_of_jax(lattice, kind, x64):
    import plaq.jax
    from jax.test_util import check_grads

    jnp = x64.numpy
    group, shape = LATTICES[lattice]
    links, algebra = links_of(lattice), generators(links_of(lattice).shape[-1])
    weights = weights_of(KINDS[kind](group, len(shape)), links)
    theta, made = public(plaq.jax, kind, group, len(shape))
    exponential = x64.numpy.vectorize(x64.scipy.linalg.expm, signature="(n,n)->(n,n)")

    @x64.jit
    def value(theta, x):
        outputs = made(theta, exponential(jnp.tensordot(x, algebra, 1)) @ links)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum((jnp.conj(w) * v).real.sum() for v, w in zip(outputs, weights, strict=True))

    x = np.random.default_rng(1).normal(scale=0.3, size=(*links.shape[:-2], len(algebra)))
    check_grads(value, (jnp.asarray(theta), jnp.asarray(x)), order=1, modes=["rev"], atol=1e-6, rtol=1e-5)


@needs_jax
def test_an_action_of_jax_in_hmc(x64):
    import plaq.jax

    S, W = plaq.jax.custom(partial(plaquettes, x64.numpy), "plaquettes"), pq.actions.Wilson(2.2)
    for group in ("U(1)", "SU(2)", "SU(3)"):
        U = pq.GaugeField.hot((4, 4), group, rng=1)
        assert S(U) == pytest.approx(W(U), rel=1e-12)
        assert np.allclose(S.force(U), W.force(U), atol=1e-12)
    chains = [pq.HMC(each, steps=6).run(U, 10, rng=1, progress=False) for each in (S, W)]
    assert np.allclose(*(chain["plaquette"] for chain in chains), atol=1e-9)


@needs_jax
def test_vmap_and_single_precision(x64):
    import plaq.jax

    W = pq.actions.Wilson(2.2)
    fields = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(3)]
    found = x64.vmap(plaq.jax.action(W))(np.stack([np.asarray(U) for U in fields]))
    assert np.allclose(found, [W(U) for U in fields], rtol=1e-14)
    with pytest.raises(TypeError, match="complex128"):
        plaq.jax.action(W)(np.zeros((2, 4, 4, 1, 1), np.complex64))
    x64.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(TypeError, match="jax_enable_x64"):
            plaq.jax.action(W)(np.asarray(fields[0]))
    finally:
        x64.config.update("jax_enable_x64", True)
