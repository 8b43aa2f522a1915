"""The report: one HTML page about a run, which needs nothing but a browser."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune.results.view import RunView


def write_report(run: "RunView", path: Path) -> Path:
    """Writes the report of a run, and returns its path. Folders on the way are made.

    Raises:
        StoreError: the run cannot be read.
        OSError: the file cannot be written.
    """
    from cloudtune.report.page import page  # noqa: PLC0415  # loaded only where a report is written
    from cloudtune.report.study import study_of  # noqa: PLC0415

    text = page(study_of(run))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", newline="\n")
    return path
