"""Budgets of the built module: kernels stay in vector code, their number and the wheel stay small.

Usage: python scripts/budgets.py [MODULE]. Reads the module with `nm` and `objdump` of binutils, which linkers bring.

1. A function of `core::arch` that stands alone is an intrinsic that was not inlined: whoever calls it was compiled
   without the instruction set (one such function made HYP smearing 12 times slower than site by site). No kernel may.
   Nor may vector code call `[T; N]::map` or `array::from_fn` as functions: their closures have left it (networks on
   fields took four times as long in one build of two; `plaq::number::each` stays).
2. Bodies of kernels: what `Real::vectorize` was compiled for. Each costs build time and size.
3. A wheel in dist/ stays below 7.8 MB (6 were the aim; unrolled loops took 0.9 of it, `docs/performance.md`).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_BODIES = 2200
MOST_WHEEL_BYTES = 7_800_000
ENTERED = re.compile(r"enter_avx2$|enter_avx512$|as plaq::number::real::Real>::vectorize$")


def output(*command: str) -> str:
    """What a command prints."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        sys.exit(f"{command[0]} is missing: install binutils")


def strays(module: Path) -> Counter[str]:
    """Functions that call an intrinsic which was not inlined, with the number of calls."""
    callers: Counter[str] = Counter()
    function = ""
    left = re.compile(r"\bcall\b.*<core::array::")
    for line in output("objdump", "-d", "-C", "--no-show-raw-insn", str(module)).splitlines():
        if line.endswith(">:"):
            function = line[line.index("<") + 1 : -2]
        elif "core::core_arch::" in line and re.search(r"\b(call|jmp)\b", line) and "core_arch" not in function:
            callers[function] += 1
        elif re.search(r"enter_avx\w+$", function) and left.search(line):
            callers[f"{function} to {line.split('<', 1)[1]}"] += 1
    # The standard library asks the processor what it can do; faer multiplies small complex matrices.
    known = ("std_detect", "compiler_builtins", "pulp::Simd::mul_e_c64s")
    return Counter({name: n for name, n in callers.items() if not name.startswith(known)})


def bodies(module: Path) -> int:
    """Kernels that were compiled."""
    names = (line.split(" ", 2)[-1] for line in output("nm", "-C", "--defined-only", str(module)).splitlines())
    return sum(1 for name in names if ENTERED.search(name))


def main() -> int:
    """Compare with the budgets."""
    found = sorted((ROOT / "python" / "plaq").glob("_plaq*.so"))
    module = Path(sys.argv[1]) if len(sys.argv) > 1 else found[0] if found else None
    if module is None:
        sys.exit("no built module: make test-python builds one")
    failures = []
    callers = strays(module)
    print(f"intrinsics called outside vector code: {sum(callers.values())} in {len(callers)} functions")
    failures += [f"  {calls:4d} in {name}" for name, calls in callers.most_common()]
    count = bodies(module)
    print(f"bodies of kernels: {count} (at most {MOST_BODIES})")
    if count > MOST_BODIES:
        failures.append(f"  {count} bodies of kernels")
    for wheel in sorted((ROOT / "dist").glob("*.whl")):
        size = wheel.stat().st_size
        print(f"{wheel.name}: {size / 1e6:.2f} MB (at most {MOST_WHEEL_BYTES / 1e6:.1f})")
        if size > MOST_WHEEL_BYTES:
            failures.append(f"  {wheel.name} has {size} bytes")
    if failures:
        print("over budget:", *failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
