"""Files as users meet them: odd files of other codes, open boundaries, memory, pipes, links and modes."""

import os
import stat
import subprocess
import sys
import threading
from itertools import combinations
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.cli.main import main

DATA = Path(__file__).parents[1] / "data"


def random_field(shape, group="SU(3)", seed=3):
    return np.asarray(pq.GaugeField.hot(shape, group, rng=seed))


def opened(links):
    """Links without those of the last slice in time."""
    links = links.copy()
    links[-1][..., -1, :, :] = 0
    return links


@pytest.fixture(scope="module")
def rough():
    """An open field 4^3 x 6, a little smoothed so that charge and energy are of order one."""
    U = pq.smear.stout(pq.GaugeField.hot((4, 4, 4, 6), rng=7), 0.1, n=4)
    return pq.GaugeField.from_numpy(opened(np.asarray(U)))


# A plain flow in numpy: x is shifted by np.roll, links are u[mu][x..].


def dagger(m):
    return m.conj().swapaxes(-1, -2)


def plane(u, mu, nu):
    """Plaquettes at x in the plane (mu, nu)."""
    return u[mu] @ np.roll(u[nu], -1, mu) @ dagger(np.roll(u[mu], -1, nu)) @ dagger(u[nu])


def staples(u, mu, nu):
    """The two products that close U_mu(x) in the plane (mu, nu), as sums of U_nu U_mu U_nu^dagger."""
    up = u[nu] @ np.roll(u[mu], -1, nu) @ dagger(np.roll(u[nu], -1, mu))
    down = np.roll(dagger(u[nu]) @ u[mu] @ np.roll(u[nu], -1, mu), 1, nu)
    return up + down


def traceless(m):
    anti = (m - dagger(m)) / 2
    return anti - np.trace(anti, axis1=-2, axis2=-1)[..., None, None] * np.eye(3) / 3


def exponential(a):
    """exp of anti-Hermitian matrices."""
    values, vectors = np.linalg.eigh(-1j * a)
    return (vectors * np.exp(1j * values)[..., None, :]) @ dagger(vectors)


def generator(u):
    """TA(staples U^dagger); links in space on the two boundary slices feel the staples in time twice."""
    z = []
    for mu in range(4):
        total = np.zeros_like(u[mu])
        for nu in range(4):
            if nu == mu:
                continue
            part = staples(u, mu, nu)
            if mu < 3 and nu == 3:
                part[..., [0, -1], :, :] *= 2
            total += part
        z.append(traceless(total @ dagger(u[mu])))
    return np.array(z)


def flowed(u, step, steps):
    for _ in range(steps):
        z0 = step * generator(u)
        w1 = exponential(z0 / 4) @ u
        z1 = step * generator(w1)
        w2 = exponential(8 / 9 * z1 - 17 / 36 * z0) @ w1
        z2 = step * generator(w2)
        u = exponential(3 / 4 * z2 - 8 / 9 * z1 + 17 / 36 * z0) @ w2
    return u


def field_strength(u, mu, nu):
    """TA of the mean of four leaves; leaves that do not exist count as zero (openQCD's ftensor.c)."""
    p = u[mu] @ np.roll(u[nu], -1, mu) @ dagger(np.roll(u[mu], -1, nu)) @ dagger(u[nu])
    q = u[nu] @ dagger(np.roll(np.roll(u[mu], 1, mu), -1, nu)) @ dagger(np.roll(u[nu], 1, mu)) @ np.roll(u[mu], 1, mu)
    r_mu, r_nu = np.roll(u[mu], 1, mu), np.roll(u[nu], 1, nu)
    corner_mu, corner_nu = np.roll(r_mu, 1, nu), np.roll(r_nu, 1, mu)
    r = dagger(r_mu) @ dagger(corner_nu) @ corner_mu @ r_nu
    s = dagger(r_nu) @ np.roll(u[mu], 1, nu) @ np.roll(r_nu, -1, mu) @ dagger(u[mu])
    return traceless((p + q + r + s) / 4)


def trace(a, b):
    return np.einsum("...ab,...ba->...", a, b).real


def test_flow_with_open_boundaries_is_that_of_a_plain_one(rough):
    result = pq.smear.flow(rough, 0.2, step=0.05)
    u = flowed(np.asarray(rough), 0.05, 4)
    assert np.abs(np.asarray(result.field) - u).max() < 1e-10
    f = {(mu, nu): field_strength(u, mu, nu) for mu, nu in combinations(range(4), 2)}
    energy = -sum(trace(a, a) for a in f.values()).mean()
    charge = -(trace(f[0, 1], f[2, 3]) - trace(f[0, 2], f[1, 3]) + trace(f[0, 3], f[1, 2])).sum() / (4 * np.pi**2)
    assert abs(result.energy[-1] - energy) < 1e-10
    assert abs(result.charge[-1] - charge) < 1e-10
    assert abs(charge) > 1e-3
    assert result.field.boundary == "open"
    adaptive = pq.smear.flow(rough, 0.2, step=0.05, adaptive=True, tolerance=1e-7)
    assert abs(adaptive.energy[-1] - energy) < 1e-4 * energy


def test_loops_of_an_open_field_are_means_over_those_that_exist(rough):
    u, observe = np.asarray(rough), pq.observables
    values = []
    for mu, nu in combinations(range(4), 2):
        p = np.trace(plane(u, mu, nu), axis1=-2, axis2=-1).real / 3
        values.append(p if nu < 3 else p[..., :-1])
    assert np.isclose(observe.plaquette(rough), np.concatenate([v.ravel() for v in values]).mean(), rtol=0, atol=1e-13)
    assert np.isclose(observe.plaquettes(rough)[3, 0], values[2].mean(), rtol=0, atol=1e-13)
    cold = pq.GaugeField.from_numpy(opened(np.asarray(pq.GaugeField.cold((4, 4, 4, 6)))))
    for value in (observe.plaquette(cold), observe.rectangle(cold), observe.wilson_loop(cold, 2, 3)):
        assert abs(value - 1) < 1e-14
    assert observe.loop(cold, [4, 4, 1, -4, -4, -1]) == 1.0
    assert observe.polyakov(cold, 0) == 1
    for missing in (lambda: observe.polyakov(cold), lambda: observe.wilson_loop(cold, 1, 6)):
        with pytest.raises(ValueError, match="open"):
            missing()


def test_boundaries_stay_and_are_shown(rough, tmp_path):
    import pickle

    assert rough.boundary == "open"
    assert pq.GaugeField.cold((4, 4)).boundary == "periodic"
    assert ", open in time, plaquette" in repr(rough)
    assert "open in time" in rough._repr_html_()
    assert pickle.loads(pickle.dumps(rough)).boundary == "open"
    assert rough.random_gauge_transform(rng=1).boundary == "open"
    assert rough.unitarity_violation() < 1e-12
    slightly = pq.GaugeField.from_numpy(np.asarray(rough) * (1 + 1e-7))
    assert slightly.reunitarize().boundary == "open"
    assert slightly.unitarity_violation() < 1e-13
    for name in ("c.openqcd", "c.ildg", "c.nersc"):
        rough.write(tmp_path / name)
        back = pq.read_gauge(tmp_path / name)
        assert back == rough
        assert back.boundary == "open"
        assert back.header["boundary"] == "open"


REFUSING = {
    "ape": lambda U: pq.smear.ape(U, 0.5),
    "hyp": lambda U: pq.smear.hyp(U),
    "stout": lambda U: pq.smear.stout(U, 0.1),
    "action": lambda U: pq.actions.Wilson(6.0)(U),
    "force": lambda U: pq.actions.Wilson(6.0).force(U),
    "heatbath": lambda U: pq.Heatbath(pq.actions.Wilson(6.0)).run(U, 1, rng=1, progress=False),
    "hmc": lambda U: pq.HMC(pq.actions.Wilson(6.0)).run(U, 1, rng=1, progress=False),
    "mapped": lambda U: pq.actions.Mapped(
        pq.actions.Wilson(6.0), pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    )(U),
    "improved charge": lambda U: pq.observables.topological_charge(U, "improved"),
}


@pytest.mark.parametrize("name", REFUSING)
def test_what_is_wrong_with_open_boundaries_refuses(rough, name):
    with pytest.raises(ValueError, match="open boundaries"):
        REFUSING[name](rough)


@pytest.mark.parametrize("name", [*REFUSING, "flow", "charge"])
def test_links_outside_the_group_are_refused(name):
    links = random_field((4, 4, 4, 4))
    links[0, 0, 0, 0, 0] *= 1.01
    U = pq.GaugeField.from_numpy(links, allow_nonunitary=True)
    more = {"flow": lambda U: pq.smear.flow(U, 0.1), "charge": pq.observables.topological_charge}
    with pytest.raises(ValueError, match="reunitarize"):
        (REFUSING | more)[name](U)
    assert np.isfinite(pq.observables.plaquette(U))
    (REFUSING | more)[name](U.reunitarize())


def test_symanzik_flow_is_not_known_with_open_boundaries(rough):
    with pytest.raises(ValueError, match="Wilson flow"):
        pq.smear.flow(rough, 0.1, action="symanzik")


def test_labels_and_extents(tmp_path):
    for name in ("su2_claims_su3.nersc", "su2_claims_su3.ildg"):
        U = pq.read_gauge(DATA / name, group="SU(2)")
        assert U.group == "SU(2)"
        assert any("says 3 colours" in w for w in U.header["warnings"])
    with pytest.raises(pq.FormatError, match=r"extent_one\.nersc.*extent 1"):
        pq.read_gauge(DATA / "extent_one.nersc")
    assert pq.read_header(DATA / "extent_one.nersc")["shape"] == [4, 4, 1, 4]
    with pytest.raises(pq.FormatError, match=r"lfs_pointer\.ildg.*Git LFS pointer"):
        pq.read_gauge(DATA / "lfs_pointer.ildg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX systems")
def test_pipes_are_neither_read_nor_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (pq.read_gauge, pq.read_header):
        with pytest.raises(OSError, match="regular file"):
            read(pipe)
    with pytest.raises(OSError, match="pipe"):
        pq.GaugeField.cold((4, 4)).write(pipe, format="npz")
    chain = pq.Heatbath(pq.actions.Wilson(1.0)).run(pq.GaugeField.cold((4, 4)), 3, rng=1, progress=False)
    with pytest.raises(OSError, match="pipe"):
        chain.save(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX systems")
def test_links_and_modes_stay(tmp_path):
    U, sampler = pq.GaugeField.cold((4, 4)), pq.Heatbath(pq.actions.Wilson(1.0))
    chain = sampler.run(U, 3, rng=1, progress=False)
    for name, save in (("f.npz", U.write), ("c.npz", chain.save)):
        (tmp_path / "there").mkdir(exist_ok=True)
        link, target = tmp_path / name, tmp_path / "there" / name
        link.symlink_to(Path("there") / name)
        save(link)
        target.chmod(0o600)
        save(link)
        assert link.is_symlink()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert sorted(p.name for p in (tmp_path / "there").iterdir()) == sorted(
            {name} | ({"f.npz"} if name[0] == "c" else set())
        )


def test_threads_may_write_one_path(tmp_path):
    chain = pq.Heatbath(pq.actions.Wilson(1.0)).run(pq.GaugeField.cold((4, 4)), 3, rng=1, progress=False)
    U, failures = pq.GaugeField.cold((4, 4)), []

    def write():
        try:
            for _ in range(10):
                U.write(tmp_path / "f.npz")
                chain.save(tmp_path / "c.npz")
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.npz", "f.npz"]
    assert pq.read_gauge(tmp_path / "f.npz") == U
    assert len(pq.Chain.load(tmp_path / "c.npz")) == 3


COUNTS = {
    "links": lambda: pq.GaugeField.cold((500, 500, 500, 2), "SU(8)"),
    "scalars": lambda: pq.ScalarField.random((16384, 16383), 1024, rng=1),
    "spins": lambda: pq.spin.random((4, 4), rng=1, count=2**31 - 1),
    "samples": lambda: pq.GaussianRBM(6, 4, mu2=6.0, rng=1).sample(300, steps=2**31 - 1, every=1, rng=1),
}


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the system does not say how much memory is free")
@pytest.mark.parametrize("name", COUNTS)
def test_more_than_memory_is_refused_with_both_numbers(name):
    with pytest.raises(ValueError, match=r"needs [\d.]+ GiB of memory; [\d.]+ GiB are available"):
        COUNTS[name]()


def test_info_takes_names_of_shipped_configurations(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["info", "lat.sample.l4444.ildg", "--measure"]) == 0
    assert "0.594850158947" in capsys.readouterr().out
    assert main(["info", "nothing.ildg"]) == 2
    text = capsys.readouterr().err
    assert text.count("No such file") == 1
    assert text.count("[Errno 2]") == 1
    assert "os error" not in text
    pq.GaugeField.cold((4, 4)).write(tmp_path / "lat.sample.l4448", format="npz")
    assert main(["info", "lat.sample.l4448"]) == 0
    assert "npz" in capsys.readouterr().out


def test_info_of_an_open_field(rough, tmp_path, capsys):
    rough.write(tmp_path / "c.openqcd")
    assert main(["info", str(tmp_path / "c.openqcd"), "--measure"]) == 0
    assert "open in time" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_what_a_killed_writer_left_goes_with_the_next(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom plaq.ground.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n    file.write(b'half')\n    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "c.npz"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    pq.Heatbath(pq.actions.Wilson(1.0)).run(pq.GaugeField.cold((4, 4)), 3, rng=1, progress=False).save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]
