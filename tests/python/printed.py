"""Comparison of what an example prints with what is written beside it."""

import re

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?:\((\d+(?:\.\d+)?)\))?")
SIGMA, RELATIVE = 5.0, 1e-5


def numbers(text):
    """Values with errors (0 where there is none), the error in units of the last digit as physicists write it."""
    for match in NUMBER.finditer(text):
        value = match[0].split("(")[0]
        digits = len(value.split(".")[1]) if "." in value else 0
        scale = 1.0 if match[1] is None or "." in match[1] else 10.0**-digits
        yield float(value), scale * float(match[1] or 0)


def disagreement(printed, written):
    """What differs, or nothing: words must be equal, numbers to 1e-5, estimates within five combined errors."""
    words = [NUMBER.sub("#", text).split() for text in (printed, written)]
    if words[0] != words[1]:
        return f"printed {printed!r}, written {written!r}"
    for (value, error), (other, other_error) in zip(numbers(printed), numbers(written), strict=True):
        allowed = SIGMA * (error**2 + other_error**2) ** 0.5 + RELATIVE * abs(other)
        if abs(value - other) > allowed:
            return f"{value} +- {error} printed, {other} +- {other_error} written"
    return ""
