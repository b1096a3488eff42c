"""The files that tell of a validation: documentation, chart, page and the figures themselves."""

from __future__ import annotations

import json
from pathlib import Path

from sim.errors import InputError
from sim.folders import check_place, write_files
from sim.validation.markdown import GENERATED, validation_markdown
from sim.validation.page import validation_page
from sim.validation.payload import Payload
from sim.validation.svg import validation_svg

__all__ = ["check_report_folder", "save_validation"]

_PAGE, _FILES = "validation.md", ("validation.json", "validation.svg", "validation.html")


def check_report_folder(folder: Path) -> None:
    """Refuse a folder for reports before there is work to lose; it need not exist, and may hold other files.

    Raises:
        InputError: where it is a file, cannot be written, or holds a `validation.md` of somebody's own.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", "give a folder")
    for name in (_PAGE, *_FILES):
        check_place(folder / name)
    page = folder / _PAGE
    if page.is_file() and not page.read_text(encoding="utf-8", errors="replace").startswith(GENERATED):
        raise InputError(page, "was not written by `nightshift validate`", "move it, or give another folder")


def save_validation(payload: Payload, folder: Path) -> None:
    """Write `validation.md`, `.svg`, `.html` and `.json` into a folder, in the place of earlier ones.

    Raises:
        InputError: where they cannot be written.
    """
    texts = {
        _PAGE: validation_markdown(payload),
        "validation.svg": validation_svg(payload),
        "validation.html": validation_page(payload),
        "validation.json": json.dumps(payload, indent=1, allow_nan=False) + "\n",
    }
    write_files(folder, texts)
