"""Bad input and faults of the spin-fermion model: a table of calls with what their message must say."""

import numpy as np
import plaq as pq
import pytest

MODEL = pq.SpinFermion((4, 4), J=1.0, T=0.2)
LINEAR = pq.LinearSpinModel((4, 4), 2)
S4x = pq.spin.random((4, 4), rng=3, count=12)
W4 = MODEL.log_weight(S4x)


def NETWORK():
    return pq.EquivariantAttention((4, 4), 1, 2, rng=1)


def train(effective=LINEAR, **options):
    return pq.SelfLearningMC(MODEL, effective).train(S4x[0], rng=1, progress=False, **({"draws": 10} | options))


def with_nan():
    model = pq.LinearSpinModel((4, 4), 2)
    model.couplings[0] = np.nan
    return model


S4 = pq.spin.random((4, 4), rng=1)
BAD = {
    "spins not of unit length": (lambda: pq.SpinFermion((4, 4), J=1, T=1).log_weight(1.01 * S4), "unit vectors"),
    "spins with NaN": (lambda: pq.SpinFermion((4, 4), J=1, T=1).energies(S4 * np.nan), "unit vectors"),
    "spins of another shape": (lambda: pq.SpinFermion((4, 6), J=1, T=1).log_weight(S4), r"needs \(..., 4, 6, 3\)"),
    "complex spins": (lambda: pq.SpinFermion((4, 4), J=1, T=1).log_weight(S4 + 0j), "real numbers"),
    "T = 0": (lambda: pq.SpinFermion((4, 4), J=1, T=0), "T = 0"),
    "T < 0": (lambda: pq.SpinFermion((4, 4), J=1, T=-1), "T = -1"),
    "J = NaN": (lambda: pq.SpinFermion((4, 4), J=np.nan, T=1), "J = nan; it must be finite"),
    "T = NaN": (lambda: pq.SpinFermion((4, 4), J=1, T=np.nan), "T = nan; it must be finite"),
    "shape an int": (lambda: pq.SpinFermion(6, J=1, T=1), r"shape = 6: .*\(6, 6\)"),
    "shape of floats": (lambda: pq.spin.random((4.5, 4), rng=1), "square lattice"),
    "mu = inf": (lambda: pq.SpinFermion((4, 4), J=1, mu=np.inf, T=1), "mu = inf"),
    "direction of no length": (lambda: pq.spin.ferromagnet((4, 4), (0, 0, 0)), "not all zero"),
    "shells without pairs": (lambda: pq.LinearSpinModel((4, 4), [1, 2]), "names such as"),
    "layers a float": (
        lambda: pq.EquivariantAttention((4, 4), 1.5, 2, rng=1),
        "layers is an int of at least 0; got 1.5",
    ),
    "no rng": (lambda: pq.EquivariantAttention((4, 4), 1, 2), "rng is missing"),
    "sweeps a float": (lambda: pq.SelfLearningMC(MODEL, LINEAR, sweeps=2.5), "sweeps is an int of at least 1; got 2.5"),
    "hits a float": (lambda: pq.SpinMetropolis(MODEL, hits=1.0), "hits is an int"),
    "width = 0": (lambda: pq.SelfLearningMC(MODEL, LINEAR, width=0.0), "width = 0: it must be greater than 0"),
    "T = 0 in temperatures": (lambda: train(temperatures=[0.2, 0.0]), "each is positive"),
    "one temperature": (lambda: train(temperatures=0.2), "give a sequence"),
    "negative ridge": (lambda: train(ridge=-1.0), "ridge = -1: it must be at least 0"),
    "draws a float": (lambda: train(draws=10.0), "draws is an int"),
    "fit options of a linear model": (lambda: train(fit={"steps": 3}), "networks with blocks"),
    "unknown option of fit": (lambda: train(NETWORK(), fit={"stepz": 3}), "steps"),
    "optimizer by name": (lambda: NETWORK().fit(S4x, W4, optimizer="adam", rng=1), "AMSGrad of plaq"),
    "batch 0": (lambda: NETWORK().fit(S4x, W4, batch=0, rng=1), "batch = 0"),
    "steps a float": (lambda: NETWORK().fit(S4x, W4, steps=1e3, rng=1), "steps is an int"),
    "validation of everything": (lambda: NETWORK().fit(S4x, W4, validation=1.0, rng=1), "fraction between 0 and 1"),
    "nothing to hold out": (lambda: NETWORK().fit(S4x[[0] * 9], W4[[0] * 9], rng=1), "distinct"),
    "setting of a model": (lambda: setattr(MODEL, "T", 0.3), r"T of a SpinFermion is fixed.*model\.at"),
    "setting of a sampler": (
        lambda: setattr(pq.SelfLearningMC(MODEL, LINEAR), "sweeps", 3),
        r"sweeps of a SelfLearningMC is fixed.*make another",
    ),
    "setting of the exact sampler": (lambda: setattr(pq.SpinMetropolis(MODEL), "width", 0.1), "is fixed"),
    "NaN put in place": (lambda: with_nan().log_weight(S4), "must be finite"),
    "three extents": (lambda: pq.SpinFermion((4, 4, 4), J=1, T=1), "square lattice"),
    "extent 0": (lambda: pq.SpinFermion((4, 0), J=1, T=1), "at least 1"),
    "unknown shell": (lambda: pq.LinearSpinModel((4, 4), [(3, 0)]), r"shell \(3, 0\) does not exist"),
    "shell given twice": (lambda: pq.LinearSpinModel((4, 4), [(1, 0), (1, 0)]), "twice"),
    "too many shells": (lambda: pq.LinearSpinModel((4, 4), 9), "has 5"),
    "no shell": (lambda: pq.LinearSpinModel((4, 4), 0), "empty"),
    "unknown block": (lambda: pq.EquivariantAttention((4, 4), 1, 2, block="tanh", rng=1), "relu, softmax, local"),
    "shells missing on a smaller lattice": (
        lambda: pq.EquivariantAttention((6, 6), 1, 9, rng=1).on((4, 4)),
        "does not exist on a 4x4",
    ),
    "wrong number of parameters": (
        lambda: setattr(pq.LinearSpinModel((4, 4), 2), "parameters", np.zeros(5)),
        "5 parameters; this network has 3",
    ),
    "NaN parameters": (
        lambda: setattr(pq.LinearSpinModel((4, 4), 2), "parameters", np.full(3, np.nan)),
        "must be finite",
    ),
    "NaN targets": (lambda: pq.LinearSpinModel((4, 4), 2).fit(S4[None], [np.nan]), "finite targets"),
    "targets of another length": (lambda: pq.LinearSpinModel((4, 4), 2).fit(S4[None], [1, 2]), "one a configuration"),
    "one configuration": (lambda: pq.LinearSpinModel((4, 4), 2).fit(S4[None], [1.0]), "at least two"),
    "models of two shapes": (
        lambda: pq.SelfLearningMC(pq.SpinFermion((4, 4), J=1, T=1), pq.LinearSpinModel((6, 6), 2)),
        "shape",
    ),
    "heat bath for a network": (
        lambda: pq.SelfLearningMC(
            pq.SpinFermion((4, 4), J=1, T=1), pq.EquivariantAttention((4, 4), 1, 2, rng=1), inner="heatbath"
        ),
        "allowed are metropolis, hmc",
    ),
    "step size 0": (
        lambda: pq.SelfLearningMC(
            pq.SpinFermion((4, 4), J=1, T=1), pq.EquivariantAttention((4, 4), 1, 2, rng=1), hmc_step_size=0.0
        ),
        "hmc_step_size = 0: it must be greater than 0",
    ),
    "no sweeps": (lambda: pq.SpinMetropolis(pq.SpinFermion((4, 4), J=1, T=1), sweeps=0), "at least 1"),
    "learning rate NaN": (lambda: pq.optimizers.Adam(np.nan).start(3), "learning_rate"),
    "momentum 1": (lambda: pq.optimizers.SGD(0.1, momentum=1.0).start(3), "momentum"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises((ValueError, TypeError, AttributeError), match=message):
        call()


def test_other_architectures_are_refused_by_name(tmp_path):
    path = tmp_path / "net.safetensors"
    pq.EquivariantAttention((6, 6), 2, 4, 3, rng=1).save(path)
    network = pq.EquivariantAttention((6, 6), 1, 4, 2, rng=1)
    before = network.parameters
    with pytest.raises(ValueError, match="another architecture") as caught:
        network.load_weights(path)
    assert "blocks: the file has ['relu', 'relu']" in str(caught.value)
    assert "coupling_shells" in str(caught.value)
    assert np.array_equal(network.parameters, before)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(pq.FormatError):
        pq.EquivariantAttention.load(path)
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(pq.FormatError):
        pq.EquivariantAttention.load(path)


def test_divergent_training_is_reported():
    spins = pq.spin.random((4, 4), rng=1, count=40)
    weights = pq.SpinFermion((4, 4), J=1.0, T=0.2).log_weight(spins)
    network = pq.EquivariantAttention((4, 4), 1, 2, rng=1)
    with pytest.raises(ValueError, match=r"(loss is|gradient\[).*learning rate"):
        network.fit(spins, weights, steps=20, optimizer=pq.optimizers.SGD(1e200), rng=1, progress=False)
