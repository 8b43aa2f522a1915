"""Attempts by their files, as a driver sees them that did not start them, and what it keeps of those on another machine."""

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from cloudtune.bundle.package import unpack_inside
from cloudtune.process.attempts import begin, news_of
from cloudtune.process.groups import start_ticks
from cloudtune.process.setting import TrialFiles
from cloudtune.testing.conformance import wait_until

GONE = f"{2**22 + 1} 1"
"""A line of a record for a process that is no more: no pid is as large."""


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    made = TrialFiles(str(tmp_path / "trial"), 1)
    made.make_folders()
    return made


def test_an_attempt_that_has_ended_is_not_lost_while_its_keeper_may_still_write_that_down(files: TrialFiles) -> None:
    ourselves = f"{os.getpid()} {start_ticks(os.getpid())}"
    Path(files.record).write_text(f"{GONE}\n{ourselves}\n")
    assert "ended" not in news_of(files, 0, 0)
    outcome = {"status": 0, "why": "", "message": "", "peak": 0}
    with Path(files.record).open("a") as record:
        record.write(json.dumps(outcome) + "\n")
    assert news_of(files, 0, 0)["ended"] == outcome


def test_an_attempt_is_lost_when_it_and_its_keeper_are_gone(files: TrialFiles) -> None:
    Path(files.record).write_text(f"{GONE}\n{GONE}\n")
    assert news_of(files, 0, 0)["ended"]["why"] == "lost"


def test_an_attempt_begins_once_and_tells_all_that_it_wrote(files: TrialFiles, tmp_path: Path) -> None:
    code = "import cloudtune.trial as t; print('hello'); t.report(score=t.params()['x'])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for _ in range(2):  # as when the answer to the first order was lost
        words = [sys.executable, "-c", code]
        begin(files, 0, words, parameters={"x": 2.5}, environment=environment, folder=tmp_path)
    wait_until(lambda: "ended" in news_of(files, 0, 0))
    news = news_of(files, 0, 0)
    assert news["ended"]["status"] == 0
    assert news["log"] == b"hello\n"
    assert json.loads(news["lines"])["metrics"] == {"score": 2.5}
    assert news_of(files, len(news["log"]), len(news["lines"]))["log"] == b""


def test_what_comes_from_another_machine_stays_inside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    with tarfile.open(tmp_path / "came.tar", "w") as archive:
        for name in ("good", "../bad"):
            archive.add(tmp_path / "secret", name)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    with tarfile.open(tmp_path / "came.tar") as archive:
        unpack_inside(archive, tmp_path / "in" / "folder")
    assert [path.name for path in (tmp_path / "in").rglob("*")] == ["folder", "good"]
