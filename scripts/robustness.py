"""Write docs/robustness.md: bad calls with what they are answered, damaged files and kills that were tried.

The calls are those of tests/python/test_bad_input.py, made here again; the counts are in benches/robustness, written by
scripts/fuzz.py and scripts/soak.py with `--results`. `--check` compares only.
"""

import importlib.util
import json
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import plaq as pq

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "robustness.md"
COUNTS = ROOT / "benches" / "robustness"
TEMPLATE = """# Robustness

<!-- written by scripts/robustness.py -->

What was tried to break the package, and what it answers.

## Damaged files

`scripts/fuzz.py` feeds every reader with files that were flipped, cut, spliced and given lying numbers, and with files
of the package that were changed inside and sealed again with a right checksum (`-sealed`). Allowed is an error that the
reader documents, or success, with the content of the undamaged file where a checksum protects it. Anything else is a
finding: another exception, a signal, two seconds of processor time, more than 400 MB of memory. What was found is
mended; the inputs are in `tests/data/fuzz` and are read again by the tests, with some inputs of every reader
(`tests/python/test_fuzz.py`).

Counted so far, {inputs} inputs in all, on a part of one core that was shared with other work. **A million for each
reader was asked for**; eight of nine formats of links have it (28 November 2026, no finding), the others
have not: of processor time they take up to 6 ms (sealed trainings) an input. The rates in the table are of wall time on
the shared core; those below 100 are from before the fuzzer kept to one thread (a second one was woken for sixteen
sites). Findings are those before they were mended.

{files}

## Kills

`scripts/soak.py` kills (SIGKILL) samplers and trainings at random moments and starts them again from their checkpoints.
The draws, records and parameters at the end have the bits of an unbroken run; {killed} kills:

| case | kills | starts from a checkpoint | runs that came to their end | equal bits |
|---|---|---|---|---|
{kills}

`tests/python/test_soak.py` does the same in short and also has: two processes or threads with one checkpoint (the
second is refused with the number of the first, until that ends or dies), a disk that gets full, a folder that vanishes,
a checkpoint that is deleted during the run, a folder that cannot be written.

## Bad calls

`G` is `pq.GaugeField`, `A` `pq.actions`, `O` `pq.observables`, `U` and `V` are fields of SU(3) in four and of U(1) in
two dimensions, `LINE` is one in one dimension, `LINKS` the array of `U`, `tmp` an empty folder.

| call | answer |
|---|---|
{answers}
"""


def module(name: str, path: Path) -> ModuleType:
    """A file as a module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def answers() -> list[str]:
    """A row for each bad call."""
    tests = module("test_bad_input", ROOT / "tests" / "python" / "test_bad_input.py")
    rows = []
    for call in tests.TABLE:
        with tempfile.TemporaryDirectory() as place:
            names = {**vars(tests), "G": pq.GaugeField, "O": pq.observables, "tmp": Path(place)}
            try:
                eval(call, names)
                text = "no error"
            except Exception as error:
                said = error.args[0] if isinstance(error, KeyError) else error
                text = f"{type(error).__name__}: {said}"
        text = text.replace(place, "tmp").replace(str(tests.DATA), "tests/data").replace(str(ROOT), ".")
        text = re.sub(
            r"[\d.]+(e\+?\d+)? (GB are left|GiB are available)", r"... \2", re.sub(r"0x[0-9a-f]+", "0x...", text)
        )
        escaped = re.sub(r"([*_<>\[\]$`])", r"\\\1", _cell(text))
        rows.append(f"| `{_cell(call)}` | {escaped} |")
    return rows


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def counts(name: str) -> dict[str, dict[str, int]]:
    """What a script counted."""
    path = COUNTS / f"{name}.json"
    found: dict[str, dict[str, int]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def page() -> str:
    """The text of the page."""
    fuzz, soak = module("fuzz", ROOT / "scripts" / "fuzz.py"), counts("soak")
    kills = [
        f"| `{name}` | {each['kills']} | {each['resumed']} | {each['finished']} | {'yes' if each['equal'] else 'no'} |"
        for name, each in soak.items()
    ]
    return TEMPLATE.format(
        inputs=sum(each["inputs"] for each in counts("fuzz").values()),
        files=fuzz.table(counts("fuzz")),
        killed=sum(each["kills"] for each in soak.values()),
        kills="\n".join(kills),
        answers="\n".join(answers()),
    )


def main() -> int:
    """Write or compare."""
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE} does not follow from the code; run scripts/robustness.py")
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
