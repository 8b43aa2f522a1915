"""The pictures of the documentation, made of real runs: ``python docs/generate/pictures.py`` writes those that are committed.

The build makes them anew where Chromium is installed, and shows the committed ones elsewhere.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent / "project"
COMMITTED = Path(__file__).parent.parent / "pictures"

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SIZE = (1280, 900)


def browser() -> str | None:
    """Return the path of a browser that takes pictures; None where there is none."""
    return next((path for name in _BROWSERS if (path := shutil.which(name)) is not None), None)


def sandboxed() -> list[str]:
    """Return the browser's options about its sandbox, which it has not as root."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []


def make_pictures(folder: Path, program: str) -> list[Path]:
    """Run the example job on this machine, and take pictures of what it leaves.

    Args:
        folder: where the pictures go; made if it is missing.
        program: the browser.

    Returns:
        The pictures.

    Raises:
        subprocess.CalledProcessError: the run or the browser failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "my-tuning"
        shutil.copytree(PROJECT, project)
        command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--quiet", "--report", "report.html"]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        return [
            take(program, (project / "report.html").as_uri(), folder / "report.png"),
            take(program, (project / "report.html").as_uri(), folder / "report-dark.png", dark=True),
        ]


def take(program: str, url: str, picture: Path, *, size: tuple[int, int] = _SIZE, dark: bool = False) -> Path:
    """Take a picture of a page, and return its path.

    Args:
        program: the browser.
        url: of the page.
        picture: the file, a PNG.
        size: of the window, in pixels.
        dark: whether the page is asked for its dark colours.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [program, "--headless", "--disable-gpu", "--hide-scrollbars"]
        command += ["--run-all-compositor-stages-before-draw", "--virtual-time-budget=8000"]
        command += [f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}"]
        command += ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
        subprocess.run([*command, *sandboxed(), url], check=True, capture_output=True, timeout=120)
    return picture


if __name__ == "__main__":
    found = browser()
    if found is None:
        sys.exit(f"none of {', '.join(_BROWSERS)} is installed")
    for each in make_pictures(COMMITTED, found):
        print(each)
