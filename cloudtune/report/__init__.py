"""The report: one HTML page about a run, which needs nothing but a browser."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune.run import Run


def write_report(run: "Run", path: Path) -> Path:
    """Writes the report of a run and returns its path.

    Raises:
        OSError: the file cannot be written.
    """
    from cloudtune.report.page import page  # noqa: PLC0415
    from cloudtune.report.study import study_of  # noqa: PLC0415

    path.write_text(page(study_of(run)), "utf-8")
    return path
