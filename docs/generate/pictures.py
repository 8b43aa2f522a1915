"""The pictures of the documentation, made of real runs: ``python docs/generate/pictures.py`` writes those that are committed.

The build makes them anew where Chromium is installed, and shows the committed ones elsewhere.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that it is a program, too

from generate.chromium import Page, opened, program

PROJECT = Path(__file__).parent / "project"
COMMITTED = Path(__file__).parent.parent / "pictures"

SIZE = (1280, 860)

_SLOWER = {
    "import random": "import random\nimport time",
    "    trial.report(": "    time.sleep(0.05)\n    trial.report(",
}
"""What becomes of the example's script, so that its run can be seen while it goes on."""

_CLOUDTUNE = [sys.executable, "-m", "cloudtune"]


def make_pictures(folder: Path, browser: str) -> list[Path]:
    """Run the example job on this machine, and take pictures of the live page and of the report.

    Args:
        folder: where the pictures go; made if it is missing.
        browser: the path of its program.

    Returns:
        The pictures.

    Raises:
        subprocess.CalledProcessError: the run failed.
        TimeoutError: a page never showed what it is to show.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, opened(browser) as page:
        project = Path(scratch) / "my-tuning"
        shutil.copytree(PROJECT, project)
        script = (project / "train.py").read_text("utf-8")
        for text, slower in _SLOWER.items():
            script = script.replace(text, slower)
        (project / "train.py").write_text(script, "utf-8")
        _run(project, "run", "job.yaml", "--trials", "32", "--parallel", "4", "--detach")
        made = _live(page, project, folder)
        _run(project, "resume", "--quiet")
        _run(project, "report", "-o", "report.html")
        return [*made, *_report(page, project / "report.html", folder)]


def _live(page: Page, project: Path, folder: Path) -> list[Path]:
    """Take pictures of the run's page when half of its trials have ended."""
    with _served(project) as address:
        page.show(address, size=SIZE)
        page.wait("document.querySelector('main a[href*=\"#/run/\"]')")
        run = page.value("document.querySelector('main a[href*=\"#/run/\"]').href")
        made = []
        for name, dark in (("live.png", False), ("live-dark.png", True)):
            page.show(run, size=SIZE, dark=dark)
            page.wait("/\\b(1[6-9]|2[0-9]) of 32/.test(document.body.innerText)")
            page.wait("document.querySelectorAll('main svg, main canvas').length > 1")
            page.picture(folder / name)
            made.append(folder / name)
        return made


def _report(page: Page, report: Path, folder: Path) -> list[Path]:
    made = []
    for name, dark in (("report.png", False), ("report-dark.png", True)):
        page.show(report.as_uri(), size=SIZE, dark=dark)
        page.wait("document.querySelector('main svg, body svg, canvas')")
        page.picture(folder / name)
        made.append(folder / name)
    return made


@contextmanager
def _served(project: Path) -> Iterator[str]:
    """Serve the live page for the time of the context, and yield its address with the token."""
    command = [*_CLOUDTUNE, "ui", "--no-browser"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        try:
            address = re.search(r"http://\S+", server.stdout.readline())
            if address is None:
                raise RuntimeError(f"`cloudtune ui` said: {server.stdout.read()}")
            yield address[0]
        finally:
            server.terminate()


def _run(project: Path, *words: str) -> None:
    subprocess.run([*_CLOUDTUNE, *words], cwd=project, check=True, capture_output=True)


if __name__ == "__main__":
    found = program()
    if found is None:
        sys.exit("no Chromium is installed")
    for each in make_pictures(COMMITTED, found):
        print(each)
