"""Runs notebooks and stores their outputs, figures with a palette of 256 colours so that files stay small.

python notebooks/execute.py notebooks/*.ipynb
"""

import base64
import sys
from io import BytesIO
from pathlib import Path

import nbclient
import nbformat
from PIL import Image


def reduced(png: str) -> str:
    image, content = Image.open(BytesIO(base64.b64decode(png))).convert("RGB"), BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode() + "\n"


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, kernel_name="python3", resources=resources, record_timing=False).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = reduced(data["image/png"])
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        execute(Path(name))
