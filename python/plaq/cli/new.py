"""`plaq new`: a few answers make a commented run file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plaq.cli import config
from plaq.cli.toml import written
from plaq.ground.arguments import unknown

__all__ = ["QUESTIONS", "Question", "answered", "help_of", "table_of", "text_of"]

Answers = dict[str, str]
GROUPS = ("U(1)", *(f"SU({n})" for n in range(2, 9)))
NONE = "none"
LARGEST_GROUP_OF_QUARKS = 4
STRENGTH = {"Wilson": 1.0, "Symanzik": 0.8, "Iwasaki": 0.45, "DBW2": 0.17, "Loops": 1.0}
"""Couplings of about the same lattice spacing, in units of that of the Wilson action."""


@dataclass(frozen=True)
class Question:
    """Something a user is asked.

    Attributes
    ----------
    name : str
        Name of the option of `plaq new`.
    text : str
        The question.
    choices : callable
        From the answers so far to the words that are allowed; empty where anything is.
    default : callable
        From the answers so far to the answer that a plain return gives; None if the question does not arise.
    """

    name: str
    text: str
    choices: Callable[[Answers], tuple[str, ...]]
    default: Callable[[Answers], str | None]


def _shape(answers: Answers) -> str | None:
    shapes = {"scalar": "8,8", "spin_fermion": "4,4", "complex_scalar": "8,8", "ising": "8,8", "free_field": "10"}
    if answers["system"] == "links":
        return "16,16" if answers["group"] == "U(1)" else "8,8,8,8"
    return shapes.get(answers["system"])


def _extents(answers: Answers) -> list[int]:
    try:
        return [int(part) for part in answers["shape"].replace("x", ",").split(",")]
    except ValueError:
        raise ValueError(f"shape = {answers['shape']}: extents are whole numbers, as in 8,8,8,8") from None


def _quark_choices(answers: Answers) -> tuple[str, ...]:
    """Quarks live on even lattices of two to four dimensions, in groups up to SU(4); not all in three."""
    shape, group = _extents(answers), answers["group"]
    fits = GROUPS.index(group) < LARGEST_GROUP_OF_QUARKS and all(extent % 2 == 0 for extent in shape)
    if not fits or not 2 <= len(shape) <= 4:
        return (NONE,)
    return tuple(name for name in (NONE, *config.QUARKS) if name != "domain_wall" or len(shape) != 3)


def _sampler_choices(answers: Answers) -> tuple[str, ...]:
    known = config.SYSTEMS[answers["system"]].samplers
    if answers["system"] != "links":
        return known
    if answers["quarks"] != NONE:
        return ("hmc", "self_learning_hmc")
    shape = _extents(answers)
    masked = GROUPS.index(answers["group"]) < 3 and all(extent % 2 == 0 for extent in shape)
    return ("heatbath", "hmc", "field_transform_hmc") if masked else ("heatbath", "hmc")


def _network_choices(answers: Answers) -> tuple[str, ...]:
    system, sampler = answers["system"], answers["sampler"]
    known = config.SYSTEMS[system].networks
    if sampler in ("self_learning_mc", "gibbs"):
        return known
    if sampler in ("heatbath", "hmc") and system == "links":
        return (NONE, *(() if GROUPS.index(answers["group"]) >= LARGEST_GROUP_OF_QUARKS else known))
    return (NONE, *known) if sampler == "worm" and len(_extents(answers)) == 2 else (NONE,)


REASONS = {
    "network": "the networks of self-learning HMC are in its section [proposal]",
    "quarks": "quarks live on even extents, in two to four dimensions, in groups up to SU(4); no walls in three",
    "sampler": "what is known depends on the other answers: quarks need hmc or self_learning_hmc, field_transform_hmc "
    "even extents and U(1), SU(2) or SU(3) without quarks",
}
"""Why an answer may be missing."""


def _of(name: str, *systems: str) -> Callable[[Answers], str | None]:
    return lambda answers: name if answers["system"] in systems else None


def _anything(answers: Answers) -> tuple[str, ...]:
    return ()


QUESTIONS = (
    Question("system", "What is simulated?", lambda _: tuple(config.SYSTEMS), lambda _: "links"),
    Question("group", "Gauge group?", lambda _: GROUPS, _of("SU(2)", "links")),
    Question("shape", "Extents of the lattice, time last?", _anything, _shape),
    Question("action", "Action?", lambda _: tuple(STRENGTH), _of("Wilson", "links")),
    Question("quarks", "Dynamical quarks?", _quark_choices, _of(NONE, "links")),
    Question("sampler", "Sampler?", _sampler_choices, lambda answers: _sampler_choices(answers)[0]),
    Question("network", "Network to train?", _network_choices, lambda answers: _network_choices(answers)[0]),
    Question(
        "draws", "How many draws?", _anything, lambda answers: "200" if answers.get("quarks", NONE) != NONE else "1000"
    ),
    Question("seed", "Seed of the random numbers?", _anything, lambda _: "1"),
)


def help_of(question: Question) -> str:
    """The question with the answers that are allowed and the defaults, for all answers to those before it.

    Examples
    --------
    >>> help_of(QUESTIONS[0])
    'What is simulated? links (default), scalar, spin_fermion, complex_scalar, ising, free_field, digits'
    """
    allowed: dict[str, None] = {}
    defaults: dict[str, list[str]] = {}
    for answers in _answers_before(question):
        default = question.default(answers)
        if default is None:
            continue
        allowed |= dict.fromkeys(question.choices(answers))
        where = answers.get("system", "")
        where += " with quarks" if question.name == "draws" and answers.get("quarks", NONE) != NONE else ""
        if where not in defaults.setdefault(default, []):
            defaults[default].append(where)
    if len(defaults) == 1:
        only = next(iter(defaults))
        words = ", ".join(f"{each} (default)" if each == only else each for each in allowed)
        return f"{question.text} {words or f'{only} by default'}"
    by_default = "; ".join(f"{default} of {', '.join(where)}" for default, where in defaults.items())
    return f"{question.text} {', '.join(allowed) + '; ' if allowed else ''}by default {by_default}"


def _answers_before(question: Question) -> list[Answers]:
    """All combinations of allowed answers to the questions before one; what may be anything has its default, and in
    two dimensions another.
    """
    found: list[Answers] = [{}]
    for each in QUESTIONS[: QUESTIONS.index(question)]:
        longer: list[Answers] = []
        for answers in found:
            default = each.default(answers)
            if default is None:
                longer.append(answers)
                continue
            flat = ("16,16",) if each.name == "shape" and default != "16,16" else ()
            longer += [answers | {each.name: one} for one in each.choices(answers) or (default, *flat)]
        found = longer
    return found


def answered(given: Mapping[str, str | None], ask: Callable[[str], str] | None = None) -> Answers:
    """Answers to all questions that arise: those given, those asked for, else the defaults.

    Parameters
    ----------
    given : mapping
        Answers by the name of the question; None asks.
    ask : callable, optional
        From a question to what the user typed; without it nobody is asked.

    Raises
    ------
    ValueError
        An answer that is not allowed, or to a question that does not arise, with what is.
    """
    answers: Answers = {}
    for question in QUESTIONS:
        default, answer = question.default(answers), given.get(question.name)
        if default is None:
            if answer is not None:
                raise ValueError(f"--{question.name} = {answer}: {answers['system']} has none; leave it out")
            continue
        choices = question.choices(answers)
        if answer is None and ask is not None and choices != (default,):
            among = f" ({', '.join(choices)})" if choices else ""
            answer = ask(f"{question.text}{among} [{default}] ").strip()
        answers[question.name] = _checked(question.name, answer or default, choices)
    return answers


def _checked(name: str, answer: str, choices: tuple[str, ...]) -> str:
    lower = {each.lower(): each for each in choices}
    if choices and answer.lower() not in lower:
        inside = f"; {REASONS[name]}" if name in REASONS else ""
        raise ValueError(f"--{name}: {unknown(name, answer, choices)}{inside}")
    if name == "shape":
        _extents({"shape": answer})
    if name in ("draws", "seed") and not answer.isdecimal():
        raise ValueError(f"--{name} = {answer}: a whole number of at least 0 is needed, as 1000")
    return lower.get(answer.lower(), answer)


def table_of(answers: Answers, name: str = "run") -> dict[str, dict[str, Any]]:
    """The sections of a run file."""
    system, sampler = answers["system"], answers["sampler"]
    shape = _extents(answers) if "shape" in answers else []
    draws = int(answers["draws"])
    table: dict[str, dict[str, Any]] = {}
    if system == "links":
        table["field"] = {"start": "hot", "shape": shape, "group": answers["group"]}
        table["action"] = _gauge_action(answers, len(shape))
        table |= _quarks(answers)
    elif system == "scalar":
        table["field"] = {"start": "hot", "shape": shape}
        table["action"] = {"name": "Scalar", "mass2": -1.0, "lam": 1.0}
    else:
        table["model"] = _model(system, shape)
    if sampler == "field_transform_hmc":
        table["transform"] = {"loops": ["plaquette"], "coefficients": [0.0], "sweeps": 1}
        table["training"] = {"epochs": 20, "configurations": 8}
    if answers["network"] != NONE:
        table["network"], table["training"] = _network(answers, shape)
    table["sampler"] = {"name": sampler} | ({"overrelaxation": 3} if sampler == "heatbath" else {})
    warmup = max(draws // 5, 1)
    table["run"] = {"draws": draws, "seed": int(answers["seed"]), "warmup": warmup}
    table["run"] |= {"checkpoint": f"{name}.checkpoint.npz", "output": f"{name}.npz"}
    table["observables"] = {"names": list(config.SYSTEMS[system].measured)}
    return table


def _gauge_action(answers: Answers, ndim: int) -> dict[str, Any]:
    name, group = answers["action"], answers["group"]
    n = 1 if group == "U(1)" else int(group[3:-1])
    # From strong to weak coupling at about beta = 0.6 N^2 in four dimensions; two have no such place.
    beta = 2.0 * n * n if ndim == 2 else {1: 1.0, 2: 2.3, 3: 5.7}.get(n, 0.67 * n * n)
    beta = float(f"{beta * STRENGTH[name]:.3g}")
    if name == "Loops":
        return {"name": name, "terms": [[beta, "plaquette"], [round(-0.05 * beta, 3), "rectangle"]]}
    return {"name": name, "beta": beta}


def _quarks(answers: Answers) -> dict[str, dict[str, Any]]:
    dirac = answers["quarks"]
    if dirac == NONE:
        return {}
    more: dict[str, dict[str, Any]] = {
        "staggered": {"n_flavors": 4},
        "wilson": {"n_flavors": 2, "csw": 0.0},
        "domain_wall": {"n_flavors": 2, "m5": 1.8 if len(_extents(answers)) == 4 else 1.2, "ls": 8},
    }
    found: dict[str, dict[str, Any]] = {"quarks": {"dirac": dirac, "mass": 0.3} | more[dirac]}
    if answers["sampler"] == "self_learning_hmc":
        found["proposal"] = {"mass": 0.4, "loops": ["plaquette"], "layers": 1}
        found["training"] = {"steps": 60}
    return found


def _model(system: str, shape: list[int]) -> dict[str, Any]:
    about: dict[str, dict[str, Any]] = {
        "spin_fermion": {"shape": shape, "J": 1.0, "T": 0.2},
        "complex_scalar": {"shape": shape, "eta": 2.0 * len(shape) + 0.25, "lam": 1.0, "mu": 1.0},
        "ising": {"shape": shape, "beta": 0.4},
        "free_field": {"shape": shape, "mass2": 4.0},
        "digits": {},
    }
    return {"name": system} | about[system]


def _network(answers: Answers, shape: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections [network] and [training]."""
    name, system = answers["network"], answers["system"]
    annealing = {"temperatures": [0.4, 0.2], "rounds": 3, "draws": 100}
    sites = math.prod(shape) if shape else 64
    images = (
        {"epochs": 50, "method": "em"}
        if system == "digits"
        else {
            "epochs": 3000,
            "method": "exact",
            "learning_rate": 0.5,
        }
    )
    known: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "linear": ({"shells": 3}, annealing),
        "attention": ({"layers": 1, "shells": 3, "coupling_shells": 3}, annealing),
        "gaussian_rbm": ({"n_hidden": sites, "mu2": 20.0 if system == "digits" else 4.0 + 4.0 * len(shape)}, images),
        "bernoulli_rbm": ({"n_hidden": max(sites // 2, 1)}, {"epochs": 50, "method": "pcd"}),
        "zoo": ({"architecture": "task1/EQ"}, {"samples": 400, "epochs": 10}),
        "lcnn": ({"channels": [2], "kernel": 2}, {"configurations": 40, "epochs": 100}),
        "stout": ({"loops": ["plaquette"], "layers": 1}, {"configurations": 10, "epochs": 30}),
    }
    network, training = known[name]
    return {"name": name} | network, dict(training)


def text_of(answers: Answers, name: str = "run") -> str:
    """The run file of some answers."""
    about = ", ".join(f"{key} {answers[key]}" for key in answers if key not in ("draws", "seed"))
    title = f"{about}.\nplaq run {name}.toml makes the chain, plaq report {name}.toml a page about it."
    return written(table_of(answers, name), title)
