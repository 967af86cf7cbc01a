"""What is natural to try first and is not there: the answer names what is; hints cost nothing where all is well."""

import abc
import inspect
import pickle
import pydoc
import traceback
import types
import warnings

import numpy as np
import plaq as pq
import pytest
from plaq.ground import names
from plaq.ground.names import Explained

PUBLIC = list(dict.fromkeys(obj for obj in names._public(pq) if callable(obj)))
CLASSES = [obj for obj in PUBLIC if isinstance(obj, type) and not issubclass(obj, BaseException)]
FUNCTIONS = [obj for obj in PUBLIC if isinstance(obj, types.FunctionType)]
PLAIN = pq.actions.Wilson(2.0)


def title(obj):
    return f"{obj.__module__}.{obj.__qualname__}"


def field():
    return pq.GaugeField.cold((4, 4), "U(1)")


@pytest.mark.parametrize("cls", CLASSES, ids=title)
def test_every_class_answers_an_attribute_that_it_does_not_have(cls):
    assert type(cls) is Explained
    known = [name for name in dir(cls) if not name.startswith("_")]
    for name in known[:3]:
        with pytest.raises(AttributeError, match=rf"has no attribute '{name}x'; did you mean {cls.__name__}\.\w+\?"):
            getattr(cls, f"{name}x")
    with pytest.raises(AttributeError, match=f"type object '{cls.__name__}' has no attribute 'qqqq'"):
        cls.qqqq  # noqa: B018
    with pytest.raises(AttributeError) as caught:
        cls.__qqqq__  # noqa: B018
    assert ";" not in str(caught.value)


LOADING = [cls for cls in CLASSES if hasattr(cls, "load")]


@pytest.mark.parametrize("cls", LOADING, ids=title)
def test_reading_is_called_load(cls):
    for name in ("read", "open", "from_file"):
        with pytest.raises(AttributeError, match=rf"did you mean {cls.__name__}\.load\?"):
            getattr(cls, name)


SAMPLERS = [cls for cls in CLASSES if issubclass(cls, pq.Sampler) and not hasattr(cls, "sample")]


@pytest.mark.parametrize("cls", SAMPLERS, ids=title)
def test_sampling_is_called_run(cls):
    with pytest.raises(AttributeError, match=rf"did you mean {cls.__name__}\.run\?"):
        cls.sample  # noqa: B018


GUESSES = {
    "GaugeField.read": "did you mean plaq.read_gauge",
    "GaugeField.load": "did you mean plaq.read_gauge",
    "GaugeField.random": "did you mean GaugeField.hot?",
    "GaugeField.ones": "did you mean GaugeField.cold?",
    "GaugeField.plaquette": "did you mean plaq.observables.plaquette?",
    "GaugeField.save": "did you mean GaugeField.write?",
    "Chain.write": "did you mean Chain.save?",
    "actions.Wilson.beta": "of the object that Wilson(..) makes",
    "actions.Wilson.energy": "did you mean Wilson(..)(..)?",
    "GaussianRBM.train": "did you mean GaussianRBM.fit?",
}


@pytest.mark.parametrize("call", GUESSES)
def test_first_guesses(call):
    with pytest.raises(AttributeError) as caught:
        eval(f"pq.{call}")
    assert GUESSES[call] in str(caught.value)


def test_a_method_that_is_called_on_its_class():
    with pytest.raises(
        TypeError, match=r"Worm\.sample is a method of an object: make a Worm first, as in Worm\(\.\.\)"
    ):
        pq.Worm.sample(100)
    with pytest.raises(TypeError, match="with GaugeField in the place of the object"):
        pq.Heatbath.run(field(), 10)


ARGUMENTS = {
    "GaugeField.hot((4, 4), seed=1)": "rng",
    "GaugeField.hot((4, 4), random_state=1)": "rng",
    "Heatbath(PLAIN).run(field(), 10, seed=1)": "rng",
    "Heatbath(PLAIN).run(field(), n_samples=10)": "draws",
    "Heatbath(PLAIN).run(field(), 10, burn_in=3)": "warmup",
    "Heatbath(PLAIN).run(field(), 10, skip=3)": "thin",
    "Heatbath(PLAIN).run(field(), 10, verbose=False)": "progress",
    "HMC(PLAIN, n_steps=3)": "steps",
    "HMC(PLAIN, trajectory_length=3)": "length",
    "GaussianRBM(3, 2, mu2=3.0, seed=1)": "rng",
    "GaussianRBM(3, 2, mu2=3.0, rng=1).fit([[1.0]], epochs=1, lr=0.1)": "learning_rate",
    "GaussianRBM(3, 2, mu2=3.0, rng=1).fit([[1.0]], epochs=1, batch_size=1)": "batch",
    "actions.Pseudofermion(pq.dirac.Wilson(mass=0.1), nf=2)": "n_flavors",
    "dirac.Wilson(m0=0.1)": "mass",
    "Chain({}, rng=1)": "seed",
}


@pytest.mark.parametrize("call", ARGUMENTS)
def test_names_of_arguments_in_other_packages(call):
    with pytest.raises(TypeError, match=f'did you mean "{ARGUMENTS[call]}"'):
        eval(f"pq.{call}")


WITH_RNG = [obj for obj in [*CLASSES, *FUNCTIONS] if "rng" in inspect.signature(obj).parameters]


@pytest.mark.parametrize("obj", WITH_RNG, ids=title)
def test_a_seed_is_called_rng(obj):
    if "seed" in inspect.signature(obj).parameters or "**" in str(inspect.signature(obj)):
        return
    with pytest.raises(TypeError, match='unknown argument "seed"; did you mean "rng"'):
        obj(seed=1)


NET = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
CALLS = {
    "pq.observables.pion": (AttributeError, "did you mean .*pion_correlator"),
    "pq.observables.nucleon": (AttributeError, "did you mean .*nucleon_correlator"),
    "pq.flow": (AttributeError, r"did you mean .*plaq\.smear\.flow"),
    "pq.plaquette": (AttributeError, r"did you mean plaq\.observables\.plaquette"),
    "pq.smear.gradient_flow": (AttributeError, 'did you mean "flow"'),
    "pq.write_gauge": (AttributeError, r"did you mean GaugeField\.write"),
    "field().to_numpy": (AttributeError, r"np\.asarray\(U\)"),
    "pq.Heatbath(PLAIN).sample": (AttributeError, r"object has no attribute 'sample'; did you mean Heatbath\.run"),
    "pq.Worm((4, 4), eta=4.5, lam=1.0, mu=0.0).generate": (AttributeError, r"did you mean Worm\.(run|sample)"),
    "pq.dirac.Wilson(mass=0.1).on(field()).inverse": (AttributeError, "object has no attribute 'inverse'; known: "),
    "pq.dirac.Wilson(mass=0.1).on(field()).solver": (AttributeError, r"did you mean Operator\.solve"),
    "pq.plot.history(pq.HMC(PLAIN, steps=2).run(field(), 9, rng=1, progress=False))": (TypeError, r"as chain\["),
    "pq.StoutLayer(0.1)": (TypeError, "loops is a list of names or paths; got 0.1"),
    "pq.dirac.Wilson(mass=0.1).propagator()": (AttributeError, r"what acts on quarks is Wilson\(\.\.\)\.on\(U\)"),
    "pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.1))(field())": (
        ValueError,
        "no value without their pseudofermion",
    ),
    "pq.observables.pion_correlator((D := pq.dirac.Wilson(mass=0.1).on(field())), D.propagator())": (
        TypeError,
        r"G, info = D\.propagator",
    ),
    "pq.transform.u1_2d('0.1')": (TypeError, "coefficients is a sequence of 1 numbers"),
    "pq.GaussianRBM(2, 2, mu2=9.0, rng=1).fit([[1.0, 2.0], [3.0]], epochs=1)": (TypeError, "rows of different lengths"),
    "setattr(pq.GaussianRBM(4, 4, mu2=9.0, rng=1), 'weights', 10 * np.eye(4))": (ValueError, "K has eigenvalue -91"),
    "pq.Chain.load(__file__)": (pq.CheckpointError, r"a gauge configuration is read with plaq\.read_gauge"),
    "pq.dirac.Wilson(mass=0.1).on(field()).propagator((0, 0))": (TypeError, r"its site at=\(x, \.\.\)"),
    "pq.dirac.Wilson(mass=0.1).on(field()).propagator(0)": (TypeError, r"its site at=\(x, \.\.\)"),
    "pq.dirac.Wilson(field())": (TypeError, r"bind it: Wilson\(mass=0\.1\)\.on\(U\)"),
    "pq.dirac.Wilson(field(), mass=0.1)": (TypeError, r"bind it: Wilson\(mass=0\.1\)\.on\(U\)"),
    "pq.dirac.Staggered(field(), mass=0.1)": (TypeError, r"bind it: Staggered\(mass=0\.1\)\.on\(U\)"),
    "pq.HMC(PLAIN, PLAIN)": (TypeError, "HMC: 2 arguments are given by position; known by position: action; by name"),
    "pq.HMC(PLAIN, 8)": (TypeError, "by name alone: .*steps"),
    "pq.HMC([PLAIN, PLAIN])": (TypeError, r"add them, as in Wilson\(beta=2\.0\) \+ Wilson\(beta=2\.0\)"),
    "pq.HMC(NET)": (TypeError, r"pq\.actions\.Mapped\(action, map\)"),
    "pq.SelfLearningHMC(PLAIN, NET)": (TypeError, r"proposal is an action.*Mapped\(action, map\)"),
    "pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.1), NET)": (TypeError, r"Mapped\(Pseudofermion\(\.\.\), map\)"),
    "pq.transform.u1_2d((8, 8), 0.1)": (
        TypeError,
        "u1_2d: 2 arguments are given by position; .* coefficients; by name",
    ),
    "pq.GaugeField.hot((4, 4), 'U(1)', 3)": (TypeError, "hot: 3 arguments are given by position"),
    "pq.nn.Sequential([pq.nn.GlobalAvgPool()], rng=1).fit(np.ones((3, 1, 4, 4)))": (TypeError, r"fit\(x, y\)"),
}


@pytest.mark.parametrize("call", CALLS)
def test_first_calls(call):
    kind, message = CALLS[call]
    with pytest.raises(kind, match=message):
        eval(call)


def test_a_machine_keeps_its_weights_where_new_ones_make_none():
    machine = pq.GaussianRBM(4, 4, mu2=9.0, rng=1)
    before = machine.weights.copy()
    with pytest.raises(ValueError, match="K has eigenvalue"):
        machine.weights = 10 * np.eye(4)
    np.testing.assert_array_equal(machine.weights, before)


def test_trained_networks_come_out_of_self_learning():
    quark = pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.4), n_flavors=4)
    proposal = PLAIN + pq.actions.Scaled(pq.actions.Mapped(quark, NET)) + pq.actions.Mapped(PLAIN, NET)
    sampler = pq.SelfLearningHMC(PLAIN + quark, proposal, steps=2)
    sampler.parameters = np.arange(3.0) / 100
    numbers = [float(net.parameters[0]) for net in sampler.networks]
    assert len(numbers) == 2
    assert set(numbers) < set(sampler.parameters)
    assert not NET.parameters.any()


def test_warnings_point_at_the_line_of_the_user():
    chain = pq.HMC(PLAIN, steps=4).run(field(), 12, rng=1, progress=False)
    for call in (lambda: chain.estimate("plaquette"), lambda: pq.GaussianRBM(2, 3, mu2=99.0, rng=1)):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        assert found
        assert {each.filename for each in found} == {__file__}


def test_signatures_have_short_names():
    for obj in [*CLASSES, *FUNCTIONS]:
        methods = [each for name, each in inspect.getmembers(obj, callable) if not name.startswith("_")]
        for each in (obj, *(methods if isinstance(obj, type) else ())):
            assert "numpy." not in str(inspect.signature(each)).replace("numpy.ndarray", ""), each


def test_data_are_fitted_as_they_come():
    data = pq.datasets.flux_regression(20, (4, 4), mu=1.0, eta=4.01, lam=1.0, rng=1, progress=False)
    layers = [pq.nn.Conv(1, 4, 2), pq.nn.GlobalAvgPool()]
    one, other = (pq.nn.Sequential(layers, rng=1) for _ in range(2))
    options = {"epochs": 2, "rng": 1, "progress": False}
    np.testing.assert_array_equal(one.fit(data, **options).loss, other.fit(data.x, data.y, **options).loss)


FAMILIES = [pq.dirac.Wilson(mass=0.1), pq.dirac.Staggered(mass=0.2), pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4)]
OPERATORS = [*FAMILIES, *map(type, FAMILIES), *(family.on(field()) for family in FAMILIES)]
WANTED = {
    "HMC": pq.HMC,
    "Heatbath": pq.Heatbath,
    "a sum": lambda D: PLAIN + D,
    "a sum, first": lambda D: D + PLAIN,
    "sum": lambda D: sum([PLAIN, D]),
    "target": lambda D: pq.SelfLearningHMC(D, PLAIN),
    "proposal": lambda D: pq.SelfLearningHMC(PLAIN, D),
    "Scaled": pq.actions.Scaled,
    "Mapped": lambda D: pq.actions.Mapped(D, pq.CovariantNet([pq.StoutLayer(["plaquette"])])),
}


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda D: repr(D)[:40])
def test_an_operator_in_the_place_of_an_action(wanted, operator):
    with pytest.raises(TypeError, match=r"quarks are an action as pq\.actions\.Pseudofermion\(pq\.dirac\.\w+\("):
        WANTED[wanted](operator)


def test_sums_of_actions():
    assert sum([PLAIN, pq.actions.Symanzik(1.0)]).terms() == [PLAIN, pq.actions.Symanzik(1.0)]
    with pytest.raises(TypeError):
        PLAIN + 1.0
    with pytest.raises(TypeError):
        1.0 + PLAIN


READING = {
    "read_gauge": pq.read_gauge,
    "read_header": pq.read_header,
    "read_propagator": pq.dirac.read_propagator,
    "mnist": pq.datasets.mnist,
} | {title(cls): cls.load for cls in LOADING}


@pytest.mark.parametrize("name", READING)
def test_files_that_are_not_there(name, tmp_path, monkeypatch):
    (tmp_path / "chain-12.npz").touch()
    with pytest.raises(FileNotFoundError, match=r"did you mean chain-12\.npz\?") as caught:
        READING[name](tmp_path / "chain_12.npz")
    assert str(tmp_path) in str(caught.value)
    assert caught.value.filename == str(tmp_path / "chain_12.npz")
    with pytest.raises(FileNotFoundError, match=r"it has chain-12\.npz"):
        READING[name](tmp_path / "else")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there is no folder run, from .*; did you mean runs\?"):
        READING[name]("run/a.npz")


# What the hints cost: nothing but 0.2 microseconds a call and one frame that IPython hides.


@pytest.mark.parametrize("function", FUNCTIONS, ids=title)
def test_functions_are_what_they_were(function):
    inside = inspect.unwrap(function)
    assert inside is not function
    assert inspect.signature(function) == inspect.signature(inside)
    assert pydoc.render_doc(function) == pydoc.render_doc(inside)
    assert inspect.getsource(function) == inspect.getsource(inside)
    assert pickle.loads(pickle.dumps(function)) is function
    assert (function.__module__, function.__qualname__) == (inside.__module__, inside.__qualname__)


def test_an_error_has_one_more_frame_which_asks_to_be_hidden():
    with pytest.raises(TypeError) as caught:
        pq.observables.plaquette(3)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    inside = [frame for frame in frames if frame.f_code.co_filename == names.__file__]
    assert len(inside) == 1
    assert inside[0].f_locals["__tracebackhide__"]


def test_classes_of_users_mix_with_others():
    class Other(abc.ABC):
        @abc.abstractmethod
        def advance(self, state, seed, sweep): ...

    class Mine(pq.Sampler, Other):
        def advance(self, state, seed, sweep):
            return state, {}

        def fingerprint(self):
            return {}

    assert isinstance(Mine(), Other)
    assert isinstance(Mine(), pq.Sampler)
    assert not isinstance(3, Mine)
    with pytest.raises(AttributeError) as caught:
        Mine.sampel  # noqa: B018
    assert str(caught.value) == "type object 'Mine' has no attribute 'sampel'"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert issubclass(Mine, Other)


ESTIMATE = pq.Estimate(1.0, 0.1, 0.5, 0.1)
MEANT = {
    "value": (lambda: ESTIMATE.value, "Estimate.mean"),
    "dvalue": (lambda: ESTIMATE.dvalue, "Estimate.error"),
    "err": (lambda: ESTIMATE.err, "Estimate.error"),
    "tau_int": (lambda: ESTIMATE.tau_int, "Estimate.tau"),
    "fields": (lambda: ESTIMATE.foo, "known: error, mean, tau, tau_error"),
    "Wilson": (lambda: pq.Wilson, "plaq.actions.Wilson or plaq.dirac.Wilson"),
    "Pseudofermion": (lambda: pq.Pseudofermion, "plaq.actions.Pseudofermion"),
    "StoutMask": (lambda: pq.StoutMask, "plaq.transform.StoutMask"),
    "FluxField": (lambda: pq.FluxField, "plaq.flux.FluxField"),
    "Adam": (lambda: pq.Adam, "plaq.optimizers.Adam"),
    "solve": (lambda: pq.solve, "D.solve of an operator"),
    "jackknife": (lambda: pq.statistics.jackknife, "plaq.statistics.estimate"),
    "hist": (lambda: pq.plot.hist, 'did you mean "histogram"'),
    "omelyan": (lambda: pq.HMC(PLAIN, integrator="omelyan"), 'did you mean "omelyan2"'),
    "beta": (lambda: pq.SpinFermion((4, 4), J=1.0, beta=10), 'did you mean "T"'),
    "executor": (lambda: pq.run_many([], type("Pool", (), {}), rng=1), "at least 1"),
    "bins": (lambda: pq.plot.histogram([1.0, 2.0], bins=20.0), "[20] is a sequence"),
    "lags": (lambda: pq.statistics.autocorrelation(np.arange(20.0) % 7, lags=3.0), "lags is an int of at least 0"),
    "rate": (lambda: pq.optimizers.Adam(-1e-3), "learning_rate = -0.001"),
    "betas": (lambda: pq.optimizers.Adam(1e-3, betas=(0.9, 1.5)), "betas"),
    "momentum": (lambda: pq.optimizers.SGD(0.1, momentum=2.0), "momentum"),
    "observable": (lambda: pq.Heatbath(PLAIN).run(field(), 5, observables=["plaquete"], rng=1), '"plaquette"'),
    "two of a name": (
        lambda: pq.Heatbath(PLAIN).run(field(), 5, observables=[lambda U: 1.0, lambda U: 2.0], rng=1),
        'two observables are called "<lambda>"',
    ),
    "field distance": (lambda: pq.losses.FieldDistance(field()), "one for each configuration"),
    "divisor": (lambda: PLAIN / 0, "divisor of an action is 0"),
}


@pytest.mark.parametrize("name", MEANT)
def test_what_was_meant(name):
    call, fragment = MEANT[name]
    with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
        call()
    assert fragment in str(caught.value)


def test_natural_forms_work():
    options = {"rng": 1, "progress": False}
    chain = pq.Heatbath(PLAIN).run(field(), 10, observables=["plaquette", pq.observables.rectangle], **options)
    assert chain.names == ["plaquette", "rectangle"]
    U = chain.state
    assert (PLAIN / 2)(U) == pytest.approx(PLAIN(U) / 2)
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(3, 50))
    assert pq.statistics.r_hat(rows) == pq.statistics.r_hat(list(rows)) == pq.statistics.r_hat(rows.ravel(), [50] * 3)
    D = pq.dirac.Staggered(mass=0.2).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    spectrum = D.eigenvalues(3)
    drawn = [pq.plot.spectrum(each).lines[0].get_ydata() for each in (spectrum, spectrum.values)]
    assert np.array_equal(*drawn)
    assert pq.plot.fluxes(pq.flux.FluxField.cold((4, 4))).get_xlabel() == "$x$"


def test_a_meson_has_one_matrix_at_both_ends_and_noise_is_asked_for():
    D = pq.dirac.Wilson(mass=0.4).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    rho = pq.observables.meson_correlator(D, "0")
    assert np.array_equal(rho, pq.observables.meson_correlator(D, "0", "0"))
    assert abs(rho[0]) > 0.1
    for wrong in ({"rng": 1}, {"n_noise": 20}):
        with pytest.raises(ValueError, match='noise="Z2"'):
            pq.observables.chiral_condensate(D, **wrong)
    with pytest.raises(TypeError, match="source=G"):
        pq.observables.meson_correlator(D, "5", propagator=np.zeros(3))
    with pytest.raises(TypeError, match="source=G"):
        pq.observables.meson_correlator(D, np.zeros(3))


def test_few_effective_samples_and_rising_losses_are_named():
    samples = pq.flows.Flow(pq.flows.Haar((4, 4)), []).reweight(pq.actions.Wilson(2.0), 1000, rng=1)
    for average in (samples.log_z, lambda: samples.mean(pq.observables.plaquette)):
        with pytest.warns(pq.StatisticsWarning, match="effective samples of 1000") as told:
            average()
        assert told[0].filename == __file__
    flow = pq.flows.u1_2d((4, 4), rng=1)
    rule = pq.optimizers.Adam(0.01)
    with pytest.warns(RuntimeWarning, match="the loss rose from 2"):
        flow.fit(pq.actions.Wilson(2.0), steps=200, batch=64, optimizer=rule, rng=2, progress=False)
