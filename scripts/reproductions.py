"""The tables of docs/reproductions.md, from the committed results in benches/physics.

python scripts/reproductions.py writes them between the marks of the page; the tests compare.
"""

import json
import math
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reproductions.md"
STORE = ROOT / "benches" / "physics"
FEWEST_CHARGES = 50
"""With fewer independent values of the charge its own fluctuations give no error of the susceptibility."""


def table(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def read(name):
    """A committed result."""
    return json.loads((STORE / name).read_text())


def quenched():
    """Plaquettes and rectangles."""
    rows = []
    for name, row in read("quenched_table.json").items():
        for key, loop in (("P", "plaquette"), ("R", "rectangle")):
            mean, error = row[key]["published"]
            rows.append([name, loop, row[key]["text"], f"{mean:g} +- {error:g}", f"{row[key]['sigma']:+.1f}"])
    return table(["group, lattice, action, sampler", "", "ours", "reference", "sigma"], rows)


def susceptibility():
    """Charge squared of 2D U(1)."""
    rows = read("u1_susceptibility.json")["rows"].items()
    return table(
        ["8^2", "<Q^2>", "exact", "sigma"],
        [[name, row["text"], f"{row['exact']:.5f}", f"{row['sigma']:+.1f}"] for name, row in rows],
    )


def lcnn():
    """Wilson loops by L-CNN."""
    rows = []
    for name, task in read("lcnn_wilson_loops.json")["tasks"].items():
        ours = [f"{task['medians'][size]['mean']:.0e}" for size in ("8", "64")]
        published = [f"{task['published'][key]:.1e}" if task["published"][key] else "-" for key in ("lcnn", "best_cnn")]
        rows.append([name, task["parameters"], *ours, *published, len(task["runs"])])
    head = ["loop", "parameters", "ours, 8^2", "ours, 64^2", "published L-CNN, 8^2", "published best CNN", "seeds"]
    return table(head, rows)


def short(mean, error, *_):
    """A mean with two digits of its error."""
    digits = 1 - math.floor(math.log10(error))
    return f"{mean:.{digits}f}({round(error * 10**digits)})"


def self_learning():
    """Averages of HMC and of self-learning HMC."""
    stored = read("self_learning.json")
    observables = ("plaquette", "polyakov", "condensate")
    rows = [["reference", *(short(*stored["reference"][name]) for name in observables), "", "", ""]]
    for name in ("HMC", "SLHMC untrained", "SLHMC trained"):
        row = stored["averages"]["1"][name]
        means = [short(*row[each]) for each in (*observables, "exp_minus_delta_h")]
        rows.append([name, *means, f"{row['acceptance']:.3f}", f"{row['solver_iterations']:.0f}"])
    head = ["", "plaquette", "abs Polyakov", "tr D^-1/V", "<exp(-dH)>", "acceptance", "solver iterations"]
    return table(head, rows)


def proposals():
    """Acceptances of trained proposals, and what the change of the difference of actions is left with."""
    stored, masses, found = read("self_learning.json"), ("0.4", "0.5", "0.75", "1.0"), {}
    for key, row in stored["untrained"].items():
        found.setdefault(("none", "no", 0), {}).setdefault(key.split()[0], []).append(row)
    for key, row in stored["trained"].items():
        mass, name = key.split(" ", 1)
        network, factor, _, _ = name.rsplit(" ", 3)
        kind = (network, "yes" if factor == "True" else "no", len(row["parameters"]))
        found.setdefault(kind, {}).setdefault(mass, []).append(row)
    rows = []
    for kind, values in sorted(found.items(), key=lambda each: ("attention" in each[0][0], each[0])):
        cells = []
        for mass in masses:
            each = values.get(mass, [])
            cells.append(", ".join(f"{row['acceptance']:.2f}" for row in each))
            if mass in masses[:2]:
                squares = [row["frozen"][0] for row in each if "frozen" in row]
                cells.append(", ".join(f"{square:.2f}" for square in squares))
        rows.append([*kind, *cells])
    head = ["network", "factor", "parameters", "0.4: acceptance", "<dH^2>", "0.5: acceptance", "<dH^2>", "0.75", "1.0"]
    return table(head, rows)


def trainings():
    """Acceptances of one proposal trained in other ways."""
    found = {}
    for key, row in read("self_learning.json")["trainings"].items():
        found.setdefault(key.rpartition(", seed ")[0], []).append(row)
    rows = []
    for name, each in found.items():
        mean = math.fsum(row["acceptance"] for row in each) / len(each)
        error = math.hypot(*(row["error"] for row in each)) / len(each)
        seeds = [", ".join(f"{row['acceptance']:.2f}" for row in each), short(mean, error)]
        squares = ", ".join(f"{row['frozen'][0]:.2f}" for row in each)
        rows.append([name, *seeds, squares, f"{math.fsum(row['processor'][0] for row in each) / len(each):.0f}"])
    return table(["training", "acceptance by seed", "mean", "<dH^2>", "seconds of training"], rows)


def bounds():
    """What regression leaves."""
    stored, rows = read("self_learning.json")["bounds"], []
    for label in next(iter(stored.values()))["rows"]:
        cells = []
        for each in stored.values():
            row = each["rows"][label]
            cells += [", ".join(f"{left:.2f}" for left in row["remains"]), f"{row['acceptance']:.2f}"]
        rows.append([label, *cells])
    heads = [head for mass in stored for head in (f"{mass}: <d^2>", "acceptance")]
    return table(["coefficients", *heads], rows)


def dynamical_quarks():
    """Plaquettes of SU(3) with staggered quarks."""
    stored, rows = read("dynamical_quarks.json"), []
    parts = {"starts": "8^4", "two_flavours": "4^4, Nf 2"}
    for part, lattice in parts.items():
        for name, row in stored.get(part, {}).items():
            if name.startswith("training"):
                continue
            (mean, error), (wanted, theirs) = row["plaquette"][:2], row["reference"]
            sigma = (mean - wanted) / math.hypot(error, theirs)
            facts = [short(mean, error), short(wanted, theirs), f"{sigma:+.1f}", f"{row['acceptance']:.3f}"]
            facts += [short(*row["exp_minus_delta_h"][:2]), f"{row['solver_iterations']:.0f}"]
            rows.append([f"{lattice}, {name}", row["trajectories"], *facts])
    head = ["SU(3), beta 5.7, m 0.5", "trajectories", "plaquette", "reference", "sigma"]
    return table([*head, "acceptance", "<exp(-dH)>", "solver iterations"], rows)


def eight_flavours():
    """SU(2) with eight light staggered flavours from two starts, and both together."""
    stored, names = read("dynamical_quarks.json").get("eight", {}), ("plaquette", "condensate", "polyakov")
    starts = list(stored.values())
    reference = starts[0]["reference"]
    counts = [row["trajectories"] - row["left_out"] for row in starts]
    lines = [
        (
            name,
            count,
            {each: row[each][:2] for each in names},
            [f"{row['acceptance']:.3f}", short(*row["exp_minus_delta_h"][:2])],
        )
        for (name, row), count in zip(stored.items(), counts, strict=True)
    ]
    means = {name: math.fsum(row[name][0] for row in starts) / len(starts) for name in names}
    errors = {name: math.hypot(*(row[name][1] for row in starts)) / len(starts) for name in names}
    lines.append(("both", sum(counts), {name: (means[name], errors[name]) for name in names}, ["", ""]))
    rows = [["reference", 9491, *(cell for name in names for cell in (short(*reference[name]), "")), "", ""]]
    for name, count, found, facts in lines:
        cells = []
        for each in names:
            (mean, error), (wanted, theirs) = found[each], reference[each]
            cells += [short(mean, error), f"{(mean - wanted) / math.hypot(error, theirs):+.1f}"]
        rows.append([name, count, *cells, *facts])
    head = ["", "trajectories", "plaquette", "sigma", "tr D^-1/V", "sigma", "abs Polyakov", "sigma"]
    return table([*head, "acceptance", "<exp(-dH)>"], rows)


def pays():
    """Processor time for an independent configuration."""
    rows, stored = [], read("dynamical_quarks.json")["pays"]
    costs = {name: [2 * row["seconds"] * each for each in row["plaquette"][2:]] for name, row in stored.items()}
    for name, row in sorted(stored.items(), key=lambda item: item[0].rpartition(",")[0]):
        cost, error = costs[name]
        plain, its_error = costs[f"{name.rpartition(',')[0]}, HMC"]
        gain = plain / cost
        gain_error = gain * math.hypot(error / cost, its_error / plain)
        facts = [f"{row['acceptance']:.2f}", f"{row['solver_iterations']:.0f}", f"{1e3 * row['seconds']:.0f}"]
        taus = [f"{row['plaquette'][2]:.1f} +- {row['plaquette'][3]:.1f}", f"{1e3 * cost:.0f} +- {1e3 * error:.0f}"]
        last = "" if name.endswith("HMC") else f"{gain:.2f} +- {gain_error:.2f}"
        rows.append([name, row["trajectories"], *facts, *taus, last])
    head = ["SU(2), beta 2.7, Nf 4", "trajectories", "acceptance", "solver iterations", "ms a trajectory"]
    return table([*head, "tau of the plaquette", "ms x 2 tau", "HMC / this"], rows)


def dyson():
    """Spacings of singular values."""
    rows = []
    for run in read("dyson.json")["runs"]:
        ratios = ", ".join(f"{ratio:.3f}" for ratio in run["ratio"])
        rows.append([f"{run['learning_rate']:g}", run["batch"], ratios])
    return table(["learning rate", "batch", "mean of s^2 over square of mean s, four pairs; law: 4/pi = 1.273"], rows)


def spin_fermion():
    """Acceptances of effective models."""
    found = {}
    for part in ("reference", "acceptance", "acceptance_local", "acceptance_softmax"):
        for row in read(f"spin_fermion/{part}.json")["rows"]:
            found.setdefault(row["model"], []).append(row)
    rows = []
    for name, runs in found.items():
        moved = [run for run in runs if run["acceptance"] > 0]
        values = []
        for key in ("magnetization", "staggered_magnetization"):
            mean = sum(run[key][0] for run in moved) / len(moved)
            error = sum(run[key][1] ** 2 for run in moved) ** 0.5 / len(moved)
            values.append(f"{mean:.4f} +- {error:.4f}" if len(moved) == len(runs) else "chains frozen")
        rows.append([name, ", ".join(f"{run['acceptance']:.3f}" for run in runs), *values])
    return table(["effective model", "acceptance, by seed", "|m|", "staggered |m|"], rows)


def tunnelling(file="u1_tunnelling.json"):
    """Changes of the charge in 2D U(1)."""
    rows = []
    for name, row in read(file)["rows"].items():
        published = row.get("published") or {}
        gain = f"{row['gain']:.2f} +- {row['gain_error']:.2f}" if "gain" in row else "-"
        theirs = [f"{published[key]:.4g}" if published.get(key) else "-" for key in ("dq2", "gain")]
        costs = [f"{row[key]:.2f}" if key in row else "-" for key in ("gain_per_step", "gain_per_second")]
        volume = int(name.split("^")[0]) ** 2
        charges = row["trajectories"] * row["dq2"] / (8 * row["chi"]["exact"] * volume)
        chi = f"{row['chi']['sigma']:+.1f}" if charges >= FEWEST_CHARGES else "-"
        quality = [f"{row['plaquette']['sigma']:+.1f}", f"{charges:.0f}", chi]
        rows.append([name, row["trajectories"], row["text"], theirs[0], gain, theirs[1], *costs, *quality])
    head = ["", "trajectories", "<dQ^2(16)>", "published", "gain", "published", "per step", "per second"]
    return table([*head, "plaquette, sigma", "independent charges", "susceptibility, sigma"], rows)


def flows():
    """Effective sample sizes and acceptances of flows."""
    rows = []
    for name, row in read("flows.json")["rows"].items():
        checks = [row.get("plaquette") or row["phi2"], row["log_z"]]
        found = [f"{each['text']}, {each['sigma']:+.1f}" if isinstance(each, dict) else f"{each}, -" for each in checks]
        facts = [row["couplings"], row["parameters"], row["steps"], f"{row['seconds']:.0f}"]
        rates = [f"{row[key]:.2f}" for key in ("efficiency", "acceptance")]
        rows.append([name, *facts, *rates, f"{row['tau']:.1f}", *found])
    head = ["", "couplings", "parameters", "steps of 64 samples", "seconds", "efficiency", "acceptance", "tau"]
    return table([*head, "phi^2 or plaquette, sigma", "ln Z, sigma"], rows)


def ladders():
    """Efficiencies by training time of flows that start from those of a smaller lattice or beta."""
    rows = []
    for name, row in read("flow_ladders.json")["rows"].items():
        checks = [row.get("plaquette") or row["phi2"], row["log_z"]]
        found = [f"{each['text']}, {each['sigma']:+.1f}" if isinstance(each, dict) else f"{each}, -" for each in checks]
        curve = ", ".join(f"{efficiency:.3f}" for _, efficiency in row["curve"])
        facts = [row["couplings"], row["parameters"], row["steps"], row["batch"], f"{row['seconds']:.0f}"]
        rates = [f"{row['seconds_of_the_ladder']:.0f}", curve, f"{row['acceptance']:.2f}", f"{row['tau']:.1f}"]
        rows.append([name, *facts, *rates, *found])
    head = ["", "couplings", "parameters", "steps", "batch", "seconds", "of the ladder", "efficiency, at 0, 1/5, .. 1"]
    return table([*head, "acceptance", "tau", "phi^2 or plaquette, sigma", "ln Z, sigma"], rows)


def partition_functions():
    """ln Z of SU(N) by weights of many samples."""
    rows = []
    for name, row in read("flow_log_z.json")["rows"].items():
        parts = [*((f"flow {k + 1}", each) for k, each in enumerate(row["flows"])), ("annealed", row["annealed"])]
        for label, each in parts:
            sigmas = each["sigmas_of_batches"]
            spread = (sum(sigma**2 for sigma in sigmas) / len(sigmas)) ** 0.5
            ratio = short(each["z_over_exact"], each["error"])
            facts = [each["samples"], f"{each['efficiency']:.3f}", f"{100 * each['largest_share']:.1f} %", ratio]
            rows.append([name, label, *facts, f"{each['sigma']:+.1f}", f"{spread:.1f}"])
    head = ["", "", "samples", "efficiency", "largest weight", "Z over exact", "sigma", "rms sigma of batches"]
    return table(head, rows)


def force_training():
    """Forces of 4D SU(3) before and after training."""
    rows = []
    for name, row in read("su3_transform.json")["training"].items():
        sizes = [row[key] for key in ("plain", "start", "trained")]
        soft = ", ".join(f"{each['difference_log_mean_exp']:.3f}" for each in sizes)
        root = ", ".join(f"{each['difference_rms']:.3f}" for each in sizes)
        forces = f"{row['plain']['force_rms']:.3f}, {row['trained']['force_rms']:.3f}"
        largest = f"{row['plain']['force_largest']:.2f}, {row['trained']['force_largest']:.2f}"
        facts = [row["parameters"], row["steps"], f"{row['seconds']:.0f}", f"{row['memory_gib']['peak']:.2f}"]
        rows.append([name, *facts, soft, root, forces, largest])
    head = ["", "parameters", "steps", "seconds", "peak GiB", "ln <exp f> of the difference: identity, start, trained"]
    return table([*head, "rms of the difference", "rms force, before and after", "largest force"], rows)


def force_costs():
    """Time and memory of a gradient of the size of the force."""
    rows = []
    for name, row in read("su3_transform.json")["gradient"].items():
        plain = row["seconds_of_a_plain_force"]
        times = [f"{row['seconds']:.2f}", f"{row['seconds_of_a_force'] / plain:.1f}", f"{row['seconds'] / plain:.0f}"]
        rows.append([name, row["sites"], *times, f"{row['memory_gib']['peak']:.2f}"])
    head = ["", "sites", "seconds of a gradient", "a force in plain forces", "a gradient in plain forces", "peak GiB"]
    return table(head, rows)


def blocks():
    """Gradients of the force on a block."""
    rows = []
    for name, row in read("su3_transform.json")["blocks"].items():
        lattice, kind, margin = name.split(", ")
        value, exact = row["value"]
        sites = math.prod(row["window"])
        costs = [sites, f"{row['seconds']:.2f}", f"{row['memory_gib']['peak'] - row['memory_gib']['before']:.2f}"]
        errors = [f"{abs(value / exact - 1):.1e}", f"{row['gradient_error']:.1e}"]
        rows.append([f"{lattice}, {kind}", margin.removeprefix("margin "), *costs, *errors])
    head = ["", "margin", "sites of the window", "seconds", "GiB more than before", "error of the loss"]
    return table([*head, "error of the gradient"], rows)


def force_blocks():
    """Losses of whole lattices by time, trained on them or on blocks."""
    rows = []
    for name, row in read("force_blocks.json")["rows"].items():
        curve = [f"{loss:.3f} ({seconds:.1f} s)" for seconds, loss in row["curve"]]
        rows.append([name, f"{1e3 * row['seconds_of_a_gradient']:.1f}", row["steps"], *curve])
    head = ["trained on", "ms a gradient", "steps of 2", "before"]
    return table([*head, *(f"after {k}/4" for k in range(1, 5))], rows)


def force_sampling():
    """Averages of HMC and of HMC in new variables."""
    rows = []
    for name, row in read("su3_transform.json")["sampling"].items():
        means = [row[key]["text"] for key in ("plaquette", "rectangle", "charge2", "exp_minus_delta_h")]
        rows.append([name, row["draws"], row["steps"], f"{row['acceptance']:.3f}", *means, f"{row['seconds']:.0f}"])
    head = ["variables", "trajectories", "steps", "acceptance", "plaquette", "rectangle", "Q^2 at flow time 1"]
    return table([*head, "<exp(-dH)>", "seconds"], rows)


def equivariance():
    """The three tasks of flux networks."""
    stored = read("flux_equivariance.json")
    parts = []
    for task, key in (("regression", "60x4"), ("violation", "8x8"), ("counting", "8x8")):
        if task not in stored:
            continue
        networks, settings = stored[task]["networks"], stored[task]["settings"]
        tests = [label for label in settings["test"] if label != key]
        if task == "counting":
            keys = ["validation", "8x8", "up to 64x64"]
            head = ["network", "parameters", *(f"{each}, ours / published" for each in keys)]
        else:
            keys = ["validation", key, *tests]
            head = ["network", "parameters", *keys]
        rows = []
        for name, entry in networks.items():
            cells = []
            for n, each in enumerate(keys):
                ours = f"{entry['medians'][each]:.1e}" if each in entry["medians"] else "-"
                theirs = entry["published medians"]
                cells.append(f"{ours} / {theirs[n]:.1e}" if theirs and theirs[n] else ours)
            rows.append([name, entry["parameters"], *cells])
        count = len(next(iter(networks.values()))["instances"])
        words = f"{settings['train']} samples, {settings['steps']} steps, medians of {count} instances"
        parts.append(f"{task.capitalize()}, {words}:\n\n{table(head, rows)}")
    if "sizes" in stored:
        settings, networks = stored["sizes"]["settings"], stored["sizes"]["networks"]
        sizes = [str(size) for size in sorted(settings["train"]) if any(str(size) in row for row in networks.values())]
        count, tests = settings["instances"], settings["test"]
        rows = [
            [
                name,
                *(
                    " / ".join(f"{row[size]['medians'][key]:.1e}" for key in tests) if size in row else "-"
                    for size in sizes
                ),
            ]
            for name, row in networks.items()
        ]
        words = f"{settings['steps']} steps each, medians of {count} instances, test losses {' / '.join(tests)}"
        parts.append(f"Regression by the number of training samples, {words}:\n\n{table(['network', *sizes], rows)}")
    return "\n\n".join(parts)


TABLES = {
    "quenched": quenched,
    "susceptibility": susceptibility,
    "lcnn": lcnn,
    "dyson": dyson,
    "self_learning": self_learning,
    "proposals": proposals,
    "trainings": trainings,
    "bounds": bounds,
    "dynamical_quarks": dynamical_quarks,
    "pays": pays,
    "eight_flavours": eight_flavours,
    "spin_fermion": spin_fermion,
    "tunnelling": tunnelling,
    "networks": lambda: tunnelling("u1_networks.json"),
    "flows": flows,
    "ladders": ladders,
    "partition_functions": partition_functions,
    "force_training": force_training,
    "force_costs": force_costs,
    "blocks": blocks,
    "force_blocks": force_blocks,
    "force_sampling": force_sampling,
    "equivariance": equivariance,
}


def filled(text: str) -> str:
    """The page with its tables."""
    return re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n{match[3]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
