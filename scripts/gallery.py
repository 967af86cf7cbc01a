"""Make the pictures of docs/gallery.md by the code beside them: each block leaves a `figure`."""

import io
import re
from pathlib import Path

import matplotlib
from PIL import Image

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n!\[.*?\]\((.*?)\)", re.MULTILINE | re.DOTALL)


def main():
    """Run every block and store its figure with 64 colours, which plots do not miss."""
    matplotlib.use("agg")
    for code, picture in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        names = {"__name__": "__main__"}
        exec(compile(code, picture, "exec"), names)
        content = io.BytesIO()
        names["figure"].savefig(content, format="png", dpi=100)
        small = Image.open(content).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(PAGE.parent / picture, optimize=True)
        print(picture)


if __name__ == "__main__":
    main()
