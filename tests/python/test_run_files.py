"""Run files: every one that `plaq new` writes runs, scans are shared and reproducible, reports say what chains say."""

import base64
import dataclasses
import html.parser
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.cli import build, config, jobs, main, new
from plaq.cli.toml import STRANGE, default_of, kind_of, written
from plaq.ground import progress

SMALL = {
    "run": {"draws": 2, "warmup": 1, "thin": 1},
    "training": {
        **{"steps": 2, "epochs": 2, "configurations": 4, "samples": 24, "rounds": 1, "draws": 5},
        **{"batch": 2, "k": 1, "temperatures": [0.4]},
    },
    "sampler": {"steps": 3},
}
SHAPES = {"2D": "4,4", "3D": "2,4,2", "4D": "2,2,2,4"}


def answers_of(**given):
    """All combinations of answers to the questions of a system; those given have one answer only."""

    def extended(answers, questions):
        if not questions:
            yield answers
            return
        question, *rest = questions
        default = question.default(answers)
        if default is None:
            yield from extended(answers, rest)
            return
        allowed = question.choices(answers) or given.get(question.name, [default])
        for answer in (each for each in allowed if each in given.get(question.name, allowed)):
            yield from extended({**answers, question.name: answer}, rest)

    yield from extended({}, [*new.QUESTIONS])


def table(system, **given):
    return list(answers_of(system=[system], **given))


OTHERS = [answers for system in config.SYSTEMS if system != "links" for answers in table(system, shape=["4,4"])]
EVERY = [*table("links", shape=list(SHAPES.values())), *OTHERS]
RUN = [
    # every way to combine quarks, samplers and networks in groups and dimensions of different kinds
    *table("links", shape=[SHAPES["2D"]], group=["U(1)", "SU(3)"], action=["Wilson"]),
    *table("links", shape=[SHAPES["4D"]], group=["SU(2)"], action=["Wilson"]),
    # every action, every group, three dimensions
    *table("links", shape=[SHAPES["2D"]], group=["SU(2)"], quarks=["none"], network=["none"]),
    *table("links", shape=[SHAPES["3D"]], action=["Wilson"], quarks=["none"], network=["none"], sampler=["heatbath"]),
    *OTHERS,
]


def name_of(answers):
    return "-".join(value for key, value in answers.items() if key not in ("draws", "seed") and value != "none")


def small(answers, **run):
    """The sections of a run file with few steps of everything."""
    made = new.table_of(answers)
    for section, values in SMALL.items():
        if section in made:
            known = {each.name for each in _keys(section, made)}
            made[section] |= {key: value for key, value in values.items() if key in known}
    made["run"] |= run
    return made


def _keys(section, made):
    return dataclasses.fields(kind_of(section, made))


def test_every_file_that_new_can_write_is_valid():
    assert len(EVERY) > 400
    for answers in EVERY:
        text = new.text_of(answers)
        settings = config.parse(config.tomllib.loads(text))
        assert settings.system == answers["system"]
        assert settings.sampler.name == answers["sampler"]
        build._sampler(settings)


def test_every_key_stands_in_the_file_as_a_value_or_as_a_comment():
    """In every file that can be written; what the comments say are the defaults."""
    for answers in EVERY:
        made, text = new.table_of(answers), new.text_of(answers)
        strange = STRANGE.get(answers["system"])
        for part in text.split("\n[")[1:]:
            section = part.partition("]")[0]
            rows = [line.partition(" = ") for line in part.splitlines()[1:] if line]
            keys = [each for each in _keys(section, made) if each.name != strange]
            assert [name.removeprefix("# ") for name, _, _ in rows] == [each.name for each in keys], (answers, section)
            for (name, _, rest), each in zip(rows, keys, strict=True):
                shown, _, about = rest.partition(" # ")
                assert about.strip()
                if name.startswith("# "):
                    default = default_of(each)
                    known = None if shown.strip() == ".." else config.tomllib.loads(f"x = {shown}")["x"]
                    assert known == default


def test_help_lists_answers_and_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["new", "--help"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("--")}
    for question in new.QUESTIONS:
        line = lines[f"--{question.name}"]
        said = set(re.findall(r"[\w()\d,]+", line)) | {word.strip(",;") for word in line.split()}
        for answers in EVERY:
            before = (
                {key: answers[key] for key in list(answers)[: list(answers).index(question.name)]}
                if question.name in answers
                else None
            )
            if before is not None:
                assert {question.default(before)} | set(question.choices(before)) <= said | {"4,4", "2,4,2", "2,2,2,4"}
    assert "U(1), SU(2) (default)" in lines["--group"]
    assert "1000" in lines["--draws"]


@pytest.mark.filterwarnings("ignore::plaq.StatisticsWarning", "ignore::plaq.rbm.StabilityWarning")
@pytest.mark.filterwarnings("ignore:training at T:RuntimeWarning")
@pytest.mark.parametrize("answers", RUN, ids=name_of)
def test_files_of_new_run(answers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if answers["system"] == "digits":
        pytest.importorskip("sklearn")
    text = written(small(answers))
    settings = config.parse(config.tomllib.loads(text))
    outcome = build.run(settings, progress=False)
    assert len(outcome.chain) == 2
    assert set(settings.observables.names) <= set(outcome.chain.names)
    assert (outcome.history is None) == (settings.training is None)
    files = build.save(outcome, Path("run.npz"))
    assert len(pq.Chain.load(files[0])) == 2
    if settings.network is not None:
        assert len(files) == 3


LEARNERS = {answers["network"] if answers["network"] != "none" else answers["sampler"]: answers for answers in RUN}


@pytest.mark.filterwarnings("ignore::plaq.StatisticsWarning", "ignore:training at T:RuntimeWarning")
@pytest.mark.parametrize("name", config.TRAININGS)
def test_a_run_that_trains_goes_on_from_its_checkpoint(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if LEARNERS[name]["system"] == "digits":
        pytest.importorskip("sklearn")
    chains = []
    for draws, checkpoint in ((2, "check.npz"), (4, "check.npz"), (4, "other.npz")):
        made = small(LEARNERS[name], draws=draws, checkpoint=checkpoint)
        chains.append(build.run(config.parse(made), progress=False).chain)
    for each in chains[0].names:
        assert np.array_equal(chains[1][each], chains[2][each])
        assert np.array_equal(chains[0][each], chains[1][each][:2])


def test_a_transformation_with_networks_trains():
    made = small(LEARNERS["field_transform_hmc"] | {"group": "U(1)", "shape": "4,4"})
    del made["run"]["checkpoint"]
    made["transform"] = {"loops": ["plaquette", "rectangle"], "sweeps": 1, "channels": 2}
    outcome = build.run(config.parse(made), progress=False)
    layers = outcome.network.layers
    assert len(layers) == 8
    assert outcome.network.n_parameters == 8 * layers[0].network.n_parameters
    assert len(outcome.history.loss) == 2
    made["field"]["shape"] = [4, 4, 4, 4]
    with pytest.raises(config.ConfigError, match="networks are for two dimensions; the field has 4"):
        build.run(config.parse(made), progress=False)


def test_a_network_of_a_run_file_learns_the_observable():
    answers = new.answered({"group": "U(1)", "shape": "6,6", "network": "lcnn", "draws": "100"})
    made = new.table_of(answers)
    del made["run"]["checkpoint"]
    outcome = build.run(config.parse(made), progress=False)
    rates = outcome.history.learning_rate
    assert rates[len(rates) // 2] == pytest.approx(0.005, rel=0.1), "the schedule ends with the training"
    off = outcome.chain["network(rectangle)"] - outcome.chain["rectangle"]
    assert np.mean(off**2) < 0.1 * np.var(outcome.chain["rectangle"])


def test_a_machine_of_a_run_file_samples_the_free_field():
    answers = new.answered({"system": "free_field", "shape": "8", "draws": "1500"})
    made = new.table_of(answers)
    made["training"]["epochs"] = 1000
    del made["run"]["checkpoint"]
    chain = build.run(config.parse(made), progress=False).chain
    exact = {"action": 0.5, "phi2": np.mean(1 / np.linalg.eigvalsh(pq.rbm.free_field_kernel(8, 4.0)))}
    for name, value in exact.items():
        found = chain.estimate(name)
        assert abs(found.mean - value) < 4 * found.error
        assert found.error < 0.05 * value


@pytest.mark.parametrize("name", config.SECTIONS)
def test_every_key_says_what_it_is(name):
    found = config.SECTIONS[name]
    for kind in found.values() if isinstance(found, dict) else [found]:
        assert all(spec.metadata["text"] for spec in dataclasses.fields(kind))


FIT = "\n[network]\nname = 'linear'\n[training]\nrounds = 1\ndraws = 5"
SPINS = "[model]\nname = 'spin_fermion'\nshape = [4, 4]\nJ = 1.0\nT = 0.2\n[sampler]\nname = 'self_learning_mc'"
LINKS = "[field]\nshape = [4, 4]\n[action]\nname = 'Wilson'\nbeta = 2.0\n[sampler]\nname = 'hmc'"
QUARKS = "\n[quarks]\ndirac = 'wilson'\nmass = 0.3\nn_flavors = 2"
WALLS = QUARKS.replace("wilson", "domain_wall") + "\nm5 = 1.4\nls = 4"
SPLIT = "\nhasenbusch = [0.6]"
BAD = {
    "no network": (SPINS, "self_learning_mc needs the sections [network] and [training]"),
    "network of others": (SPINS + FIT.replace("linear", "lcnn"), "[network] name: lcnn does not go with spin_fermion"),
    "sampler of others": (
        SPINS.replace("self_learning_mc", "heatbath"),
        "heatbath does not sample spin_fermion; known",
    ),
    "network unused": (SPINS.replace("self_learning_mc", "spin_metropolis") + FIT, "[network] belongs to [sampler]"),
    "two systems": (SPINS + "\n[field]\nshape = [4, 4]", "either [model] or [field] and [action]"),
    "unknown model": (SPINS.replace("spin_fermion", "spin_boson"), 'did you mean "spin_fermion"?'),
    "training of nothing": (LINKS + "\n[training]\nsteps = 3", "[training] belongs to a [network], or to"),
    "untrained network": (LINKS + "\n[network]\nname = 'lcnn'", "[network] needs the section [training]"),
    "no transform": (LINKS.replace("hmc", "field_transform_hmc"), "needs the section [transform]"),
    "transform unused": (LINKS + "\n[transform]", '[transform] belongs to [sampler] name = "field_transform_hmc"'),
    "proposal unused": (LINKS + "\n[proposal]\nmass = 0.1", '[proposal] belongs to [sampler] name = "self_learning_h'),
    "choice": (LINKS + "\nintegrator = 'omelian2'", 'unknown integrator "omelian2"; did you mean "omelyan2"?'),
    "scalar quarks": (
        LINKS.replace("'Wilson'\nbeta", "'Scalar'\nmass2") + "\n[quarks]\ndirac = 'wilson'\nmass = 1\nn_flavors = 2",
        "a scalar field has no quarks",
    ),
    "no operator": (
        LINKS + "\n[quarks]\nmass = 1",
        "dirac: wanted one of staggered, wilson, domain_wall; it is missing",
    ),
    "unknown operator": (
        LINKS + QUARKS.replace("wilson", "wilsom"),
        'unknown operator "wilsom"; did you mean "wilson"?',
    ),
    "csw of staggered": (
        LINKS + QUARKS.replace("wilson", "staggered") + "\ncsw = 1.0",
        '[quarks] unknown key "csw"; known: dirac, mass, n_flavors, hasenbusch',
    ),
    "walls without height": (LINKS + QUARKS.replace("wilson", "domain_wall"), "[quarks] m5: missing; wanted a number"),
    "one heavier mass": (LINKS + QUARKS + "\nhasenbusch = 0.5", "hasenbusch: wanted a list of numbers, given 0.5"),
    "three flavours": (LINKS + QUARKS.replace("= 2", "= 3"), "[quarks]: n_flavors = 3 of Wilson fermions; 1 or 2"),
    "a wall too high": (LINKS + WALLS.replace("1.4", "2.5"), "[quarks]: m5 = 2.5; it lies between 0 and 2"),
    "another number of masses": (
        LINKS.replace("hmc", "self_learning_hmc") + WALLS + SPLIT + "\n[proposal]\nmass = 0.4\nhasenbusch = [0.6, 0.9]",
        "[proposal] hasenbusch: wanted as many masses as [quarks] has, 1; given 2",
    ),
    "coefficients of HYP": (
        LINKS.replace("hmc", "self_learning_hmc") + QUARKS + "\n[proposal]\nmass = 0.4\nhyp = [0.5]",
        "[proposal]: alphas has 1 coefficients; HYP smearing takes",
    ),
    "three extents": (SPINS.replace("[4, 4]", "[4, 4, 4]") + FIT, "two extents are needed"),
    "observable of others": (SPINS + FIT + "\n[observables]\nnames = ['plaquette']", 'unknown observable "plaquette"'),
    "index without scan": (LINKS, "--index is of run files with a section [scan]", "--index", "0"),
    "scan of nothing": (LINKS + "\n[scan]\nvalues = {'action.bet' = [1.0]}", 'did you mean "beta"?'),
    "scan of no section": (LINKS + "\n[scan]\nvalues = {'acton.beta' = [1.0]}", 'did you mean "action.beta"?'),
    "scan of a type": (LINKS + "\n[scan]\nvalues = {'action.beta' = ['x']}", "[action] beta: wanted a number, given"),
    "scan of no list": (LINKS + "\n[scan]\nvalues = {'action.beta' = 1.0}", "wanted a table of lists"),
    "scan of seeds": (LINKS + "\n[scan]\nvalues = {'run.seed' = [1]}", '"run.seed" is chosen for each run'),
    "no chains": (LINKS + "\n[scan]\nvalues = {}\nchains = 0", "[scan] chains: at least 1 is needed"),
    "index too large": (LINKS + "\n[scan]\nvalues = {}", "the scan has runs 0 to 0", "--index", "1"),
}


CLOVER = QUARKS + "\ncsw = 1.0"
Quark, Clover, Wall = pq.actions.Pseudofermion, pq.dirac.Wilson, pq.dirac.DomainWall
MADE = {
    "clover": (CLOVER, lambda m: Quark(Clover(mass=m, csw=1.0))),
    "split clover": (
        CLOVER + "\nhasenbusch = [0.5, 1]",
        lambda m: Quark(Clover(mass=m, csw=1.0), hasenbusch=[0.5, 1.0]),
    ),
    "one flavour": (CLOVER.replace("flavors = 2", "flavors = 1"), lambda m: Quark(Clover(mass=m, csw=1.0), 1)),
    "split staggered": (
        QUARKS.replace("wilson", "staggered") + SPLIT,
        lambda m: Quark(pq.dirac.Staggered(m), 2, hasenbusch=[0.6]),
    ),
    "domain walls": (WALLS, lambda m: Quark(Wall(m, m5=1.4, ls=4))),
    "Moebius": (WALLS + "\nb = 1.5\nc = 0.5" + SPLIT, lambda m: Quark(Wall(m, 1.4, 4, 1.5, 0.5), hasenbusch=[0.6])),
}


@pytest.mark.filterwarnings("ignore::plaq.StatisticsWarning")
@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("sampler", ["hmc", "self_learning_hmc"])
def test_quarks_of_a_run_file_are_those_of_the_package(name, sampler):
    """Every key reaches its argument: the chain is that of the sampler written by hand."""
    text, quarks = MADE[name]
    learn = "\n[proposal]\nmass = 0.4\nloops = ['plaquette']" if sampler != "hmc" else ""
    text = LINKS.replace("'hmc'", f"'{sampler}'\nsteps = 3") + text + learn + "\n[run]\ndraws = 3\nseed = 1\n"
    settings = config.parse(config.tomllib.loads(text))
    found, gauge = build._sampler(settings), pq.actions.Wilson(2.0)
    made = pq.HMC(gauge + quarks(0.3), steps=3)
    if learn:
        net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
        terms = [pq.actions.Scaled(pq.actions.Mapped(term, net)) for term in quarks(0.4).terms()]
        made = pq.SelfLearningHMC(gauge + quarks(0.3), sum(terms, gauge), steps=3)
    assert found.fingerprint() == made.fingerprint()
    assert len(build.run(settings, progress=False).chain) == 3


def test_networks_of_a_run_file_have_a_hyp_layer_below_stout_layers():
    learn = "\n[proposal]\nmass = 0.4\nloops = ['plaquette']\nhyp = [0.5, 0.25]"
    text = LINKS.replace("'hmc'", "'self_learning_hmc'\nsteps = 3").replace("[4, 4]", "[4, 4, 4]") + QUARKS + learn
    found = build._sampler(config.parse(config.tomllib.loads(text + "\n[run]\ndraws = 3\nseed = 1\n")))
    assert [layer.spec()["kind"] for layer in found.proposal.parts[1].action.net.layers] == ["hyp", "stout"]
    assert list(found.parameters) == [1.0, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_go_together_is_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, message, *options = BAD[name]
    text = text + "\n[run]\ndraws = 4\nseed = 1\n"
    if "steps = 3" not in text and "[scan]" not in text and "'hmc'" in text:
        text = text.replace("name = 'hmc'", "name = 'hmc'\nsteps = 3")
    Path("run.toml").write_text(text)
    assert main(["run", "run.toml", "--quiet", *options]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path().iterdir()) == [Path("run.toml")]


def test_new_asks_what_is_left_out(monkeypatch):
    asked = []

    def ask(text):
        asked.append(text)
        return "2" if "draws" in text else ""

    answers = new.answered({"system": "links", "group": "u(1)", "shape": "4x4"}, ask)
    assert answers | {"quarks": "none"} == answers
    assert (answers["group"], answers["sampler"], answers["draws"]) == ("U(1)", "heatbath", "2")
    assert len(asked) == 6
    assert asked[0] == "Action? (Wilson, Symanzik, Iwasaki, DBW2, Loops) [Wilson] "


REFUSED = {
    "group": ({"group": "SU(9)"}, 'unknown group "SU(9)"; did you mean "SU(8)"?'),
    "quarks": ({"group": "SU(5)", "quarks": "wilson"}, 'unknown quarks "wilson"; known: none'),
    "shape": ({"shape": "four"}, "extents are whole numbers, as in 8,8,8,8"),
    "draws": ({"draws": "-3"}, "--draws = -3: a whole number of at least 0 is needed"),
    "no group": ({"system": "ising", "group": "U(1)"}, "--group = U(1): ising has none; leave it out"),
    "system": ({"system": "link"}, 'did you mean "links"?'),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_answers_that_are_not_allowed(given, message, tmp_path, capsys):
    options = [part for key, value in given.items() for part in (f"--{key}={value}",)]
    assert main(["new", str(tmp_path / "run.toml"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_new_without_a_terminal_asks_nothing_and_replaces_nothing(tmp_path):
    call = [sys.executable, "-m", "plaq", "new", "u1.toml", "--group", "U(1)", "--shape", "4,4", "--draws", "20"]
    for status, said in ((0, "next: plaq run u1.toml"), (2, "give --force")):
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == status
        assert said in done.stdout + done.stderr
    assert config.load(tmp_path / "u1.toml").run.output == "u1.npz"


SCAN = """
[field]
shape = [4, 4]
group = "U(1)"
[action]
name = "Wilson"
beta = 0.0
[sampler]
name = "heatbath"
[run]
draws = 40
seed = 5
warmup = 2
[observables]
names = ["plaquette"]
[scan]
values = {"action.beta" = [1.0, 2.0]}
chains = 2
"""


@pytest.fixture
def scan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("scan.toml").write_text(SCAN)
    return tmp_path


@pytest.mark.filterwarnings("ignore::plaq.StatisticsWarning")
def test_a_scan_has_the_draws_of_run_many(scan, capsys):
    assert main(["run", "scan.toml", "--quiet", "--index", "2"]) == 0
    assert "run 2 (beta = 2.0, chain 0)" in capsys.readouterr().out
    assert [path.name for path in Path("scan").iterdir()] == ["0002"]
    assert main(["run", "scan.toml", "--quiet"]) == 0
    assert "already, in scan/0002" in capsys.readouterr().out
    start = pq.GaugeField.cold((4, 4), "U(1)")
    measured = {"plaquette": pq.observables.plaquette}
    made = [pq.Job(pq.Heatbath(pq.actions.Wilson(b)), start, 40, warmup=2, observables=measured) for b in (1.0, 2.0)]
    wanted = pq.run_many(made, chains=2, rng=5, progress=False)
    for index, point in enumerate(jobs.points(config.read("scan.toml"))):
        chain = pq.Chain.load(point.output)
        j, k = divmod(index, 2)
        assert np.array_equal(chain["plaquette"], wanted[j]["plaquette"][40 * k : 40 * (k + 1)])
        # The file of a folder alone gives the same bits again.
        again = build.run(config.load(point.folder / "input.toml"), progress=False)
        assert np.array_equal(again.chain["plaquette"], chain["plaquette"])
    assert not list(Path("scan").rglob("claim"))


def test_values_added_at_the_end_change_nothing_before():
    table = config.tomllib.loads(SCAN)
    longer = config.tomllib.loads(SCAN.replace("[1.0, 2.0]", "[1.0, 2.0, 3.0]"))
    seeds = [[point.table["run"]["seed"] for point in jobs.points(each)] for each in (table, longer)]
    assert seeds[1][:4] == seeds[0]
    assert len(set(seeds[1])) == 6


CLAIMER = """
import sys, time
from pathlib import Path
from plaq.cli import jobs
folder = Path(sys.argv[1])
sys.stdin.readline()
try:
    with jobs.claim(folder):
        print("mine", flush=True)
        sys.stdin.readline()
except jobs.Claimed as error:
    print("theirs", flush=True)
"""


def claimers(folder, count):
    command = [sys.executable, "-c", CLAIMER, str(folder)]
    return [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]


@pytest.mark.parametrize("dead", [False, True], ids=["free", "left by a dead process"])
def test_one_of_many_processes_gets_a_claim(tmp_path, dead):
    if dead:
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
        (tmp_path / "claim").write_text(f"{platform.node()} {int(gone.stdout)} 1 x\n")
    several = claimers(tmp_path, 4)
    for each in several:
        each.stdin.write("go\n")
        each.stdin.flush()
    assert sorted(each.stdout.readline().strip() for each in several) == ["mine", "theirs", "theirs", "theirs"]
    for each in several:
        each.communicate("done\n")
    assert not (tmp_path / "claim").exists()


def test_claims_of_others_are_named(scan, capsys):
    for index, owner in enumerate((f"{platform.node()} {os.getpid()} 1 x", "elsewhere 17 1 x")):
        (scan / "scan" / f"000{index}").mkdir(parents=True)
        (scan / "scan" / f"000{index}" / "claim").write_text(owner + "\n")
    assert main(["run", "scan.toml", "--quiet", "--index", "0"]) == 2
    assert f"claimed by process {os.getpid()} on" in capsys.readouterr().err
    assert main(["run", "scan.toml", "--quiet", "--index", "1"]) == 2
    assert "process 17 on elsewhere; if it is gone, give --force" in capsys.readouterr().err
    assert main(["run", "scan.toml", "--quiet", "--index", "1", "--force"]) == 0
    assert main(["run", "scan.toml", "--quiet"]) == 0  # goes past the first
    assert [path.name for path in sorted(Path("scan").iterdir()) if (path / "chain.npz").exists()] == [
        "0001",
        "0002",
        "0003",
    ]


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.filterwarnings("ignore::plaq.StatisticsWarning")
def test_a_killed_run_of_a_scan_is_taken_over_and_goes_on(scan):
    text = SCAN.replace("draws = 40", "draws = 1000000\ncheckpoint_every = 5")  # no machine gets to its end
    Path("scan.toml").write_text(text)
    call = [sys.executable, "-m", "plaq", "run", "scan.toml", "--quiet", "--index", "0"]
    running, checkpoint = subprocess.Popen(call), Path("scan/0000/checkpoint.npz")
    while running.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert Path("scan/0000/claim").exists(), "killed while it had the claim"
    done = len(pq.Chain.load(checkpoint))
    Path("scan.toml").write_text(text.replace("1000000", str(done + 50)))
    assert main(call[3:]) == 0
    settings = config.load("scan/0000/input.toml")
    undisturbed = dataclasses.replace(settings, run=dataclasses.replace(settings.run, checkpoint=None))
    wanted = build.run(undisturbed, progress=False).chain
    assert np.array_equal(pq.Chain.load("scan/0000/chain.npz")["plaquette"], wanted["plaquette"])
    assert not Path("scan/0000/claim").exists()


class Page(html.parser.HTMLParser):
    """Checks that tags close, and collects pictures and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.addresses = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [attrs[key] for key in ("src", "href") if key in attrs]
        if tag == "img":
            self.images.append(attrs["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_one_page_that_says_what_the_chain_says(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    text = new.text_of(new.answered({"group": "U(1)", "shape": "4,4", "draws": "300"}), "u1")
    Path("u1.toml").write_text("# <b>my</b> run & notes\n" + text)
    assert main(["run", "u1.toml", "--quiet"]) == 0
    assert main(["report", "u1.toml"]) == 0
    written_page = Path("u1.html").read_text()
    found = Page(written_page)
    chain = pq.Chain.load("u1.npz")
    estimate = chain.estimate("plaquette")
    assert str(estimate) in written_page
    assert f">{pq.Estimate(estimate.tau, estimate.tau_error, 0.5, 0)!s}<" in written_page
    assert str(chain.estimate("polyakov", np.imag)) in written_page
    assert "Outcome: <b>accepted</b>" in written_page
    assert "&lt;b&gt;my&lt;/b&gt; run &amp; notes" in written_page
    assert pq.__version__ in written_page
    assert len(found.images) == 1
    assert all(address.startswith("data:image/svg+xml;base64,") for address in found.addresses)
    picture = base64.b64decode(found.images[0].split(",")[1])
    assert b"</svg>" in picture
    assert not re.search(r"(?<!\.org/)https?://", written_page)
    assert main(["report", "u1.npz", "--output", "other.html"]) == 0
    assert Path("other.html").read_text().replace("<title>u1", "") == written_page.replace("<title>u1", "")
    assert main(["report", "u1.toml"]) == 2
    assert main(["report", "u1.toml", "--force"]) == 0


@pytest.mark.filterwarnings("ignore:training at T:RuntimeWarning")
def test_a_report_of_a_training_and_of_a_short_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    answers = new.answered({"system": "spin_fermion", "sampler": "self_learning_mc", "network": "linear"})
    made = small(answers, draws=30, max_seconds=1e-9)
    Path("run.toml").write_text(written(made))
    assert main(["report", "run.toml"]) == 2
    assert "run.npz does not exist yet; plaq run run.toml makes it" in capsys.readouterr().err
    assert main(["run", "run.toml", "--quiet"]) == 0
    assert main(["report", "run.toml"]) == 0
    text = Path("run.html").read_text()
    Page(text)
    assert "Outcome: <b>incomplete</b>" in text
    assert "History of" in text
    assert "predicted" in text


@pytest.mark.filterwarnings("ignore::plaq.StatisticsWarning")
def test_a_report_of_a_scan_shows_outcomes_and_a_curve(scan):
    pytest.importorskip("matplotlib")
    for index in ("0", "1", "2"):
        assert main(["run", "scan.toml", "--quiet", "--index", index]) == 0
    assert main(["report", "scan.toml"]) == 0
    text = Path("scan.html").read_text()
    assert len(Page(text).images) == 1
    merged = pq.merge([pq.Chain.load(f"scan/000{k}/chain.npz") for k in (0, 1)])
    assert str(merged.estimate("plaquette")) in text
    assert "1 incomplete" in text


def test_a_frozen_chain_is_rejected():
    from plaq.cli import page

    values = np.random.default_rng(1).normal(size=100)
    assert page.verdict(pq.Chain({"x": values}, {"accepted": np.ones(100, bool)}), 100) == ("accepted", [])
    outcome, why = page.verdict(pq.Chain({"x": np.ones(100)}, {"accepted": np.zeros(100, bool)}), 100)
    assert outcome == "rejected"
    assert "none of the 100 updates was accepted" in why[0]
    assert page.verdict(pq.Chain({"x": values}), 101) == ("incomplete", ["100 of 101 draws"])


LONG = """
[field]
shape = [4, 4]
group = "U(1)"
[action]
name = "Wilson"
beta = 2.0
[sampler]
name = "heatbath"
[run]
draws = 2000000
seed = 1
output = "out.npz"
"""
SHORT = LONG.replace("draws = 2000000", "draws = 30")
CHECKPOINT = 'checkpoint = "check.npz"\n'


def ended(folder, wait):
    """`plaq run long.toml > log`, ended by SIGTERM when `wait` says so."""
    command = [sys.executable, "-m", "plaq.cli", "run", "long.toml"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not wait() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)
    process.terminate()
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.machine
def test_sigterm_says_where_the_checkpoint_is_and_gives_the_lock_back(tmp_path):
    text = LONG + CHECKPOINT + "checkpoint_every = 100\n"
    (tmp_path / "long.toml").write_text(text)
    code, said = ended(tmp_path, (tmp_path / "check.npz").exists)
    assert code == 143, said
    assert re.fullmatch(
        r"plaq: ended by SIGTERM after \d+ of 2000000 draws; the checkpoint check.npz holds everything so far: the "
        r"same command goes on from it\n",
        said,
    )
    assert sorted(os.listdir(tmp_path)) == ["check.npz", "long.toml"]
    drawn = len(pq.Chain.load(tmp_path / "check.npz"))
    assert drawn >= 100
    (tmp_path / "long.toml").write_text(text.replace("draws = 2000000", f"draws = {drawn + 1}"))
    command = [sys.executable, "-m", "plaq.cli", "run", "long.toml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert len(pq.Chain.load(tmp_path / "out.npz")) == drawn + 1


@pytest.mark.machine
def test_sigterm_without_a_checkpoint_saves_what_was_drawn(tmp_path):
    (tmp_path / "long.toml").write_text(LONG)
    begun = time.monotonic()
    code, said = ended(tmp_path, lambda: time.monotonic() > begun + 2.5)
    assert code == 143, said
    assert "what was drawn is saved in out.npz" in said
    assert "give [run] checkpoint = a file to go on from" in said
    assert sorted(os.listdir(tmp_path)) == ["long.toml", "out.npz"]
    assert len(pq.Chain.load(tmp_path / "out.npz")) > 0


def test_a_log_gets_lines_and_a_quiet_run_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "LOG_LEAST", 0.0)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    Path("run.toml").write_text(SHORT)
    assert main(["run", "run.toml"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("draws: ")]
    assert 5 <= len(lines) <= 11
    assert re.fullmatch(r"draws: \d+/30, \d+ s, \S+/s, plaquette 0\.\d+", lines[0])
    assert lines[-1].startswith("draws: 30/30, ")
    assert main(["run", "run.toml", "--quiet", "--force"]) == 0
    assert "draws: " not in capsys.readouterr().out
    pq.Heatbath(pq.actions.Wilson(2.0)).run(pq.GaugeField.cold((4, 4), "U(1)"), 5, rng=1)
    assert capsys.readouterr() == ("", "")


def test_a_short_run_writes_no_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(SHORT)
    assert main(["run", "run.toml"]) == 0
    assert "draws: " not in capsys.readouterr().out
