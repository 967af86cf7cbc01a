"""One table of bad calls: what is raised, and what the message must say of what was given and what is allowed."""

import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq import actions as A

DATA = Path(__file__).parents[1] / "data"
U = pq.GaugeField.cold((4, 4, 4, 4))
V = pq.GaugeField.cold((4, 4), "U(1)")
LINE = pq.GaugeField.cold((4,))
LINKS = np.asarray(U)
NAN, INF = float("nan"), float("inf")
SAMPLER = pq.Heatbath(A.Wilson(1))
TWO = A.Wilson(1) + A.Symanzik(1)
MILC, BRIDGE = DATA / "lat.sample.l4444", DATA / "testconf.txt"


def run(*arguments, **options):
    return SAMPLER.run(*arguments, **{"rng": 1, "progress": False, **options})


# (what is called, the expected class, pieces that the message must hold)
TABLE = {
    # fields
    "G.cold(())": (ValueError, ["0 dimensions", "1 to 4"]),
    "G.cold((4,) * 5)": (ValueError, ["5 dimensions", "1 to 4"]),
    "G.cold(4)": (TypeError, ["got 4", "sequence of 1 to 4 ints"]),
    "G.cold('44')": (TypeError, ["'44'", "sequence of 1 to 4 ints"]),
    "G.cold((4, 0))": (ValueError, ["extent 0", "2 to"]),
    "G.cold((4, 1))": (ValueError, ["extent 1", "2 to"]),
    "G.cold((4, -4))": (ValueError, ["extent -4", "2 to"]),
    "G.cold((4, 10**9))": (ValueError, ["extent 1000000000", "2 to"]),
    "G.cold((10**9,) * 4)": (ValueError, ["extent 1000000000", "2 to"]),
    "G.hot((2**20,) * 4, rng=1)": (ValueError, ["1048576", "sites"]),
    "G.cold((4.5, 4))": (TypeError, ["4.5", "ints"]),
    "G.cold((4, NAN))": (TypeError, ["nan", "ints"]),
    "G.cold((4, 4), 'SU(9)')": (ValueError, ['"SU(9)"', "SU(8)"]),
    "G.cold((4, 4), 'SU(1)')": (ValueError, ['"SU(1)"', 'did you mean "U(1)"']),
    "G.cold((4, 4), 'su3')": (ValueError, ['"su3"', 'did you mean "SU(3)"']),
    "G.cold((4, 4), 3)": (TypeError, ["got 3", "'SU(3)'"]),
    "G.hot((4, 4))": (TypeError, ["'rng'"]),
    "G.hot((4, 4), rng=None)": (TypeError, ["None", "rng=1"]),
    "G.hot((4, 4), rng=-1)": (ValueError, ["-1", "0 to 2**64 - 1"]),
    "G.hot((4, 4), rng=2**64)": (ValueError, ["18446744073709551616", "0 to 2**64 - 1"]),
    "G.hot((4, 4), rng=1.5)": (TypeError, ["1.5", "rng=1"]),
    "G.hot((4, 4), rng=True)": (TypeError, ["True", "rng=1"]),
    "G.from_numpy('links')": (TypeError, ["<U5", "complex"]),
    "G.from_numpy(None)": (TypeError, ["object", "complex"]),
    "G.from_numpy(LINKS.astype(object))": (TypeError, ["object", "complex"]),
    "G.from_numpy(LINKS[0])": (ValueError, ["(4, 4, 4, 4, 3, 3)", "(D, L_0"]),
    "G.from_numpy(LINKS[..., :2])": (ValueError, ["3, 2)", "(D, L_0"]),
    "G.from_numpy(np.zeros(0))": (ValueError, ["(0,)", "(D, L_0"]),
    "G.from_numpy(np.zeros((2, 4, 1, 3, 3)))": (ValueError, ["extent 1", "2 to"]),
    "G.from_numpy(np.zeros((2, 4, 4, 9, 9)))": (ValueError, ["N = 9", "1 (U(1)) to 8"]),
    "G.from_numpy(LINKS * NAN)": (ValueError, ["NaN", "index (0, 0, 0, 0, 0, 0, 0)"]),
    "G.from_numpy(LINKS + INF)": (ValueError, ["infinity", "index"]),
    "G.from_numpy(LINKS * 1.1)": (ValueError, ["SU(3)", "0.331", "1e-05", "allow_nonunitary"]),
    "G.from_numpy(LINKS * 0)": (ValueError, ["SU(3)", "allow_nonunitary"]),
    "U.gauge_transform('x')": (TypeError, ["<U1", "complex matrices"]),
    "U.gauge_transform(np.ones(3))": (ValueError, ["(3,)", "(4, 4, 4, 4, 3, 3)"]),
    "U.gauge_transform(np.ones((4, 4, 4, 4, 3, 3)))": (ValueError, ["not in SU(3)", "1e-05"]),
    "U.gauge_transform(np.full((4, 4, 4, 4, 3, 3), NAN))": (ValueError, ["NaN", "index (0, 0, 0, 0, 0, 0)"]),
    "U.gauge_transform(np.full((4, 4, 4, 4, 3, 3), -np.eye(3)))": (ValueError, ["det g"]),
    "U.random_gauge_transform(rng='x')": (TypeError, ["'x'", "rng=1"]),
    "np.asarray(U, float)": (TypeError, ["complex", "float64"]),
    "U + 1": (TypeError, ["GaugeField"]),
    # files
    "U.write(tmp / 'a.ildgg')": (ValueError, ["a.ildgg", "format=", "ildg"]),
    "U.write(tmp / 'a', format='nercs')": (ValueError, ["nercs", "nersc"]),
    "U.write(tmp / 'a', format=3)": (TypeError, ["got 3", "'ildg'"]),
    "U.write(tmp / 'a', format='milc')": (ValueError, ["milc"]),
    "U.write(tmp / 'a.ildg', precision=16)": (ValueError, ["16", "32 and 64"]),
    "U.write(tmp / 'a.ildg', precision='64')": (TypeError, ["precision", "'64'"]),
    "U.write(tmp / 'a.nersc', rows=7)": (ValueError, ["rows = 7", "3 rows"]),
    "U.write(tmp / 'a.nersc', rows='2')": (TypeError, ["rows", "'2'"]),
    "U.write(tmp / 'a.ildg', rows=2)": (ValueError, ["rows = 2", "leave rows out"]),
    "V.write(tmp / 'a.ildg')": (ValueError, ["four-dimensional", "npz"]),
    "U.write(tmp / 'no' / 'a.ildg')": (FileNotFoundError, ["a.ildg"]),
    "U.write(BRIDGE / 'a.ildg')": (NotADirectoryError, ["a.ildg"]),
    "U.write('/proc/a.ildg')": (OSError, ["/proc/a.ildg"]),
    "U.write(tmp, format='ildg')": (OSError, ["directory"]),
    "U.write(3)": (TypeError, ["PathLike", "int"]),
    "pq.read_gauge(tmp / 'missing')": (FileNotFoundError, ["missing"]),
    "pq.read_gauge(tmp)": (OSError, ["is a directory"]),
    "pq.read_gauge(3)": (TypeError, ["PathLike", "int"]),
    "pq.read_gauge('/dev/zero')": (OSError, ["/dev/zero", "not a regular file"]),
    "pq.read_gauge(DATA / 'README.md')": (pq.FormatError, ["byte 0", "known formats", "nersc"]),
    "pq.read_gauge(BRIDGE, shape=(4, 4, 4, 8), group='SU(3)')": (pq.FormatError, ["18432 numbers", "[4, 4, 4, 8]"]),
    "pq.read_gauge(BRIDGE, shape=(4, 4, 4, 4), group='SU(2)')": (
        pq.FormatError,
        ["18432 numbers", "correct shape or group"],
    ),
    "pq.read_gauge(MILC, shape=(4, 4, 4, 8))": (ValueError, ["[4, 4, 4, 8]", "[4, 4, 4, 4]"]),
    "pq.read_gauge(MILC, shape=(4, 4, 4, 10**9))": (ValueError, ["extent 1000000000"]),
    "pq.read_gauge(MILC, group='SU(2)')": (ValueError, ["2", "the file says 3"]),
    "pq.read_gauge(MILC, format='ildg')": (pq.FormatError, ["LIME magic", "byte 0"]),
    "pq.read_gauge(MILC, format='milk')": (ValueError, ["milk", "milc"]),
    "pq.read_gauge(MILC, format=3)": (TypeError, ["got 3", "'ildg'"]),
    "pq.read_header(tmp / 'missing')": (FileNotFoundError, ["missing"]),
    "pq.read_header(tmp)": (OSError, ["is a directory"]),
    "pq.datasets.gauge('lat.sample.l4488')": (ValueError, ["l4488", 'did you mean "lat.sample.l4448"']),
    # actions
    "A.Wilson('6')": (TypeError, ["beta", "'6'"]),
    "A.Wilson(None)": (TypeError, ["beta", "None"]),
    "A.Wilson(1j)": (TypeError, ["beta", "1j"]),
    "A.Wilson(NAN)": (ValueError, ["beta = nan", "finite"]),
    "A.Wilson(INF)": (ValueError, ["beta = inf", "finite"]),
    "A.Wilson(-1)": (ValueError, ["beta = -1", "at least 0"]),
    "A.Symanzik(-1)": (ValueError, ["beta = -1", "at least 0"]),
    "A.Iwasaki('x')": (TypeError, ["beta", "'x'"]),
    "A.DBW2(NAN)": (ValueError, ["beta = nan", "finite"]),
    "A.Loops([])": (ValueError, ["at least one"]),
    "A.Loops(3)": (TypeError, ["(coefficient, loop)", "got 3"]),
    "A.Loops([(1.0,)])": (TypeError, ["(coefficient, loop)"]),
    "A.Loops([(1.0, 'plaquete')])": (ValueError, ['"plaquete"', 'did you mean "plaquette"']),
    "A.Loops([('x', 'plaquette')])": (TypeError, ["coefficient", "'x'"]),
    "A.Loops([(NAN, 'plaquette')])": (ValueError, ["coefficient = nan", "finite"]),
    "A.Loops([(1.0, [1, 2, -1, -5])])": (ValueError, ["-5", "+-1 to +-4"]),
    "A.Loops([(1.0, [1.5, 2])])": (TypeError, ["1.5", "steps"]),
    "A.Loops([(1.0, [])])": (TypeError, ["got []", "steps"]),
    "A.Loops([(1.0, [1, 2, -1])])(U)": (ValueError, ["[1, 2, -1]", "close"]),
    "A.Loops([(1.0, [3, 1, -3, -1])])(V)": (ValueError, ["step 3", "+-1 to +-2"]),
    "A.Loops([(1.0, 'chair')])(V)": (ValueError, ["chair", "3 dimensions", "has 2"]),
    "A.Wilson(1)(LINE)": (ValueError, ["2 dimensions", "has 1"]),
    "A.Wilson(1)(LINKS)": (TypeError, ["GaugeField", "ndarray"]),
    "A.Wilson(1).force(None)": (TypeError, ["GaugeField", "NoneType"]),
    "A.Wilson(1) + 2": (TypeError, ["Wilson", "int"]),
    "A.Custom(3)": (TypeError, ["got 3", "function"]),
    # observables
    "O.plaquette(LINKS)": (TypeError, ["ndarray", "from_numpy"]),
    "O.plaquette(LINE)": (ValueError, ["2 dimensions", "has 1"]),
    "O.wilson_loop(U, 0, 1)": (ValueError, ["r = 0", "1 to 1000"]),
    "O.wilson_loop(U, 1, 10**9)": (ValueError, ["t = 1000000000", "1 to 1000"]),
    "O.wilson_loop(U, 1, 1.5)": (TypeError, ["t is an int", "1.5"]),
    "O.loop(U, [1, 2, -1])": (ValueError, ["[1, 2, -1]", "close"]),
    "O.loop(U, [1, 7, -1, -7])": (ValueError, ["7", "+-1 to +-4"]),
    "O.loop(U, [0])": (ValueError, ["[0]", "+-1 to +-4"]),
    "O.loop(U, [])": (ValueError, ["0 steps", "1 to"]),
    "O.loop(U, [1.5, -1.5])": (TypeError, ["1.5", "steps"]),
    "O.loop(U, 'plaquette')": (TypeError, ["'plaquette'", "steps"]),
    "O.loop(V, [3, -3])": (ValueError, ["step 3", "+-1 to +-2"]),
    "O.polyakov(U, 4)": (ValueError, ["direction 4", "0 to 3"]),
    "O.polyakov(V, -3)": (ValueError, ["direction -3", "0 to 1"]),
    "O.polyakov(U, 1.0)": (TypeError, ["direction", "1.0"]),
    "O.topological_charge(U, 'clovr')": (ValueError, ['"clovr"', 'did you mean "clover"']),
    "O.topological_charge(U, 'geometric')": (ValueError, ["U(1) in 2 dimensions", "SU(3) in 4"]),
    "O.topological_charge(V, 'clover')": (ValueError, ["4 dimensions", "has 2"]),
    "O.energy_density(U, 'improved')": (ValueError, ['"improved"', "plaquette, clover"]),
    # samplers
    "pq.Heatbath('wilson')": (TypeError, ["'wilson'", "plaq.actions"]),
    "pq.Heatbath(A.Wilson(1), overrelaxation=-1)": (ValueError, ["overrelaxation = -1", "0 to"]),
    "pq.Heatbath(A.Wilson(1), overrelaxation=1.5)": (TypeError, ["overrelaxation", "1.5"]),
    "SAMPLER.step(LINKS, rng=1)": (TypeError, ["GaugeField", "ndarray"]),
    "SAMPLER.step(U)": (TypeError, ["'rng'"]),
    "pq.Heatbath(A.Symanzik(1)).step(G.cold((2, 2)), rng=1)": (ValueError, ["[2, 2]", "twice", "HMC"]),
    "pq.HMC(A.Wilson(1), steps=0)": (ValueError, ["steps = 0", "1 to"]),
    "pq.HMC(A.Wilson(1), steps=-1)": (ValueError, ["steps = -1", "1 to"]),
    "pq.HMC(A.Wilson(1), steps=2.0)": (TypeError, ["steps", "2.0"]),
    "pq.HMC(A.Wilson(1), length=0)": (ValueError, ["length = 0", "greater than 0"]),
    "pq.HMC(A.Wilson(1), length=INF)": (ValueError, ["length = inf", "finite"]),
    "pq.HMC(A.Wilson(1), length='1')": (TypeError, ["length", "'1'"]),
    "pq.HMC(A.Wilson(1), integrator='omelyan3')": (ValueError, ['"omelyan3"', 'did you mean "omelyan']),
    "pq.HMC(A.Wilson(1), levels=3)": (TypeError, ["(action, steps)", "got 3"]),
    "pq.HMC(A.Wilson(1), levels=[(A.Wilson(2), 3)])": (ValueError, ["Wilson(beta=2.0)", "not a term"]),
    "pq.HMC(A.Wilson(1), levels=[(A.Wilson(1), 3)])": (ValueError, ["leave the slowest out"]),
    "pq.HMC(TWO, levels=[(A.Wilson(1), 0)])": (ValueError, ["= 0", "1 to"]),
    "pq.HMC(TWO, levels=[(A.Wilson(1), 2, 'omelyan3')])": (ValueError, ["omelyan3", "did you mean"]),
    "pq.HMC(TWO, levels=[(A.Wilson(1), 2, 'leapfrog', 3)])": (TypeError, ["(action, steps, integrator)"]),
    "pq.HMC(TWO, levels=[('x', 2)])": (TypeError, ["'x'", "(action, steps)"]),
    "pq.HMC(TWO, levels=[(A.Wilson(1), 2), (A.Wilson(1), 2)])": (ValueError, ["named twice"]),
    # runs
    "run(U, -1)": (ValueError, ["draws = -1", "at least 0"]),
    "run(U, 10**12)": (ValueError, ["draws = 1000000000000", "at most"]),
    "run(U, 1.5)": (TypeError, ["draws", "1.5"]),
    "run(U, 1, warmup=-1)": (ValueError, ["warmup = -1", "at least 0"]),
    "run(U, 1, thin=0)": (ValueError, ["thin = 0", "at least 1"]),
    "run(U, 1, checkpoint_every=0)": (ValueError, ["checkpoint_every = 0", "at least 1"]),
    "run(U, 1, rng='seed')": (TypeError, ["'seed'", "rng=1"]),
    "run(LINKS, 1)": (TypeError, ["GaugeField", "ndarray"]),
    "run(U, 1, observables=['plaquete'])": (ValueError, ["did you mean", "plaquette"]),
    "run(U, 1, observables='plaquette')": (TypeError, ["dict", "str"]),
    "run(U, 1, observables={'p': 3})": (TypeError, ['"p"', "function", "3"]),
    "run(U, 1, observables={'p': lambda V: 'x'})": (pq.ObservableError, ['"p"', "'x'"]),
    "run(U, 1, observables={'p': lambda V: 1 / 0})": (pq.ObservableError, ['"p"', "ZeroDivisionError"]),
    "run(U, 1, checkpoint=tmp / 'no' / 'c')": (FileNotFoundError, ["folder", "create it first"]),
    "run(U, 1, checkpoint=BRIDGE / 'c')": (OSError, ["testconf.txt"]),
    "run(U, 1, checkpoint='/proc/c')": (OSError, ["/proc"]),
    "run(U, 1, checkpoint=tmp)": (OSError, ["is a folder", "name of a file"]),
    "run(U, 1, checkpoint=BRIDGE)": (pq.CheckpointError, ["testconf.txt", "no chain file", "resume=False"]),
    "pq.Chain.load(tmp / 'missing')": (FileNotFoundError, ["missing"]),
    "pq.Chain.load(BRIDGE)": (pq.CheckpointError, ["testconf.txt", "no chain file"]),
    "pq.Chain({'x' * 70000: [1.0]}).save(tmp / 'c')": (ValueError, ["xxx", "at most 60000 bytes"]),
    "pq.Chain({'a\\0b': [1.0]}).save(tmp / 'c')": (ValueError, ["no zero byte"]),
    "pq.History({'x' * 70000: [1.0]}).save(tmp / 'c')": (ValueError, ["xxx", "at most 60000 bytes"]),
    # machines and spins
    "pq.GaussianRBM(10**6, 10**6, mu2=1.0, rng=1)": (ValueError, ["1000000 x 1000000 units", "GiB", "available"]),
    "pq.BernoulliRBM(10**6, 10**6, rng=1)": (ValueError, ["1000000 x 1000000 units", "GiB", "available"]),
    "pq.GaussianRBM(6, 4, mu2=6.0, rng=1).fit(np.zeros((20, 6)), method='exact', epochs=2, progress=False)": (
        ValueError,
        ["no second moments", "data are zero"],
    ),
    "pq.LinearSpinModel((4, 4), [(-1, 0)])": (ValueError, ["(-1, 0)", "4x4 lattice has", "(1, 0)"]),
    "pq.LinearSpinModel((4, 4), [(2**80, 0)])": (ValueError, ["4x4 lattice has"]),
    "pq.EquivariantAttention((4, 4), coupling_shells=[(1, -1)], rng=1)": (ValueError, ["(1, -1)", "4x4 lattice has"]),
    "pq.set_num_threads(0)": (ValueError, ["threads = 0", "1 to 1024"]),
    "pq.set_num_threads(-1)": (ValueError, ["threads = -1", "1 to 1024"]),
    "pq.set_num_threads(10**9)": (ValueError, ["threads = 1000000000", "1 to 1024"]),
    "pq.set_num_threads('2')": (TypeError, ["threads", "'2'"]),
}


@pytest.mark.parametrize("call", TABLE)
def test_bad_calls_say_what_was_given_and_what_is_allowed(call, tmp_path):
    error, pieces = TABLE[call]
    before = sorted(DATA.iterdir()), pq.num_threads()
    start = time.process_time()
    with pytest.raises(error) as caught:
        eval(call, {**globals(), "G": pq.GaugeField, "O": pq.observables, "tmp": tmp_path})
    assert time.process_time() - start < 1
    message = str(caught.value)
    for piece in pieces:
        assert piece in message, message
    assert (sorted(DATA.iterdir()), pq.num_threads()) == before
    assert not list(tmp_path.iterdir())


def test_the_table_is_long_enough():
    assert len(TABLE) >= 150


def command_line(*arguments):
    command = [sys.executable, "-m", "plaq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


CONFIG = """
[field]
shape = [4, 4]
group = "SU(2)"
start = "hot"
[action]
name = "Wilson"
beta = 2.0
[sampler]
name = "heatbath"
[run]
draws = 2
seed = 1
output = "out.npz"
"""
COMMANDS = {
    "info missing": (["missing"], "No such file"),
    "info FOLDER": (["directory"], "a directory"),
    "info README": (["known formats"], "byte 0"),
    "convert MILC b.nothing": (["b.nothing"], "extension"),
    "convert missing b.ildg": (["missing"], "No such file"),
    "demo gage": (["gage"], "gauge"),
    "run missing.toml": (["missing.toml"], ""),
    "run beta=-2.0": (["beta"], "at least 0"),
    "run bta=2.0": (["bta"], "beta"),
    "run group='SU(12)'": (["SU(12)"], ""),
    "run name='Wilso'": (["Wilso"], "Wilson"),
    "run draws=-2": (["draws"], "-2"),
    "run [[": (["run.toml"], ""),
}


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_line_answers_with_one_line(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pieces, other = COMMANDS[line]
    names = {"FOLDER": tmp_path, "README": DATA / "README.md", "MILC": MILC}
    verb, *words = line.split(" ")
    if verb == "run" and words[0] != "missing.toml":
        key = words[0].split("=")[0]
        old = {"bta": "beta = 2.0"}.get(key) or next((x for x in CONFIG.splitlines() if x.startswith(key)), "[field]")
        Path("run.toml").write_text(CONFIG.replace(old, words[0], 1))
        words = ["run.toml"]
    done = command_line(verb, *(names.get(word, word) for word in words))
    assert done.returncode == 2, done
    assert done.stderr.startswith("plaq: ")
    assert done.stderr.count("\n") == 1
    for piece in (*pieces, other):
        assert piece in done.stderr, done.stderr


def test_a_good_configuration_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(CONFIG)
    assert command_line("run", "run.toml", "--quiet").returncode == 0
    assert len(pq.Chain.load("out.npz")) == 2


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    """The size of files is limited instead of the disk: the write fails half-way in the same place."""
    script = f"""
import resource, signal, sys
import plaq as pq
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
U = pq.GaugeField.cold((4, 4, 4, 4))
for name in ("a.ildg", "a.nersc", "a.npz"):
    try:
        U.write({str(tmp_path)!r} + "/" + name)
    except OSError as error:
        print(name, error.errno)
try:
    pq.Heatbath(pq.actions.Wilson(1)).run(U, 3, rng=1, progress=False, checkpoint={str(tmp_path)!r} + "/c")
except OSError as error:
    print("checkpoint", error.errno)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:-1] == ["a.ildg 27", "a.nersc 27", "a.npz 27", "checkpoint 27"], done
    assert not list(tmp_path.iterdir())


def test_impossible_lattices_take_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for shape in [(10**9,), (2**27, 2**27), (10**6,) * 3, (2**20,) * 4, (2**28 - 1,) * 4]:
        for make in (pq.GaugeField.cold, lambda shape: pq.GaugeField.hot(shape, rng=1)):
            with pytest.raises(ValueError, match=re.escape(str(shape[0]))):
                make(shape)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB
