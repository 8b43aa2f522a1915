"""The report of a run: one HTML page that needs only a browser."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune.results.view import RunView


def write_report(run: "RunView", path: Path) -> Path:
    """Write the report of a run and return its path; create missing folders.

    Raises:
        StoreError: the run cannot be read.
        OSError: the file cannot be written.
    """
    from cloudtune.report.page import page  # noqa: PLC0415  # imported only when a report is written
    from cloudtune.report.study import study_of  # noqa: PLC0415

    text = page(study_of(run))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", newline="\n")
    return path
