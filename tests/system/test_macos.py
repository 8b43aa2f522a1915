"""What macOS does otherwise than Linux, as far as it can be had on Linux; no macOS machine has run any of it."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from cloudtune.process import groups
from cloudtune.process.attempts import kept, watched
from cloudtune.process.groups import start_ticks
from cloudtune.process.setting import TrialFiles
from cloudtune.trial.hearing import event_files


def test_without_proc_a_process_is_told_from_a_later_one_of_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_PROC", str(tmp_path / "none"))
    born = start_ticks(os.getpid())
    assert float(born) > 0
    assert start_ticks(os.getpid()) == born
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert start_ticks(ended.pid) == ""
    files = TrialFiles(str(tmp_path / "trial"), 1)
    files.make_folders()
    Path(files.record).write_text(f"{os.getpid()} {born}\n{os.getppid()} {start_ticks(os.getppid())}\n")
    assert kept(files)
    Path(files.record).write_text(f"{os.getpid()} 1.000000\n{os.getppid()} 1.000000\n")
    assert not kept(files), "a stranger's process would be signalled in the place of a trial's"
    assert not watched(files)


def test_event_files_that_are_open_are_found_by_their_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getpath(descriptor: int, command: int, buffer: bytes) -> bytes:
        assert (command, len(buffer)) == (50, 1024)
        return os.fsencode(Path(f"/proc/self/fd/{descriptor}").readlink()).ljust(1024, b"\0")

    monkeypatch.setattr(event_files, "_LINUX", str(tmp_path / "none"))
    monkeypatch.setattr(fcntl, "fcntl", getpath)
    path = tmp_path / "events.out.tfevents.1"
    with path.open("wb"), (tmp_path / "other").open("wb"):
        assert event_files._open_event_files() == {str(path)}
    assert event_files._open_event_files() == set()
