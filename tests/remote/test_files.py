"""What trials left beside a driver that is a job elsewhere: it comes with the driver's log, in pieces, and stays in the run's folder."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.errors import TrialError
from cloudtune.remote import files
from cloudtune.remote.files import Sender
from cloudtune.remote.journal import Journal, Reader
from cloudtune.store.records import RunRecord, Trial, TrialState
from cloudtune.store.store import RunStore, Store


def run_in(folder: Path) -> RunStore:
    return Store(folder).create(RunRecord(id="r", name="j", provider="p", profile="p", job="{}", plan="{}"))


def beside(folder: Path, lines: list[str]) -> Journal:
    """A driver's run with a trial that runs."""
    journal = Journal(run_in(folder).store, "r", lines.append)
    journal.write(trials=[Trial(0, {"x": 0.5}, TrialState.RUNNING, attempt=1, place="trials/00000")])
    (journal.folder / "trials" / "00000" / "output" / "deep").mkdir(parents=True)
    return journal


@given(steps=st.lists(st.one_of(st.binary(max_size=300), st.just("trim"), st.just("look")), max_size=12))
@settings(max_examples=30)
def test_logs_and_outputs_arrive_as_they_are(
    steps: list[bytes | str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines: list[str] = []
    journal, here = beside(tmp_path_factory.mktemp("far"), lines), run_in(tmp_path_factory.mktemp("here"))
    trial, sender, reader = journal.folder / "trials" / "00000", Sender(journal), Reader(here)
    log = trial / "log.txt"
    log.touch()
    piece, files._PIECE = files._PIECE, 64
    try:
        for step in steps:
            if step == "look":
                sender.look()
            elif step == "trim":
                log.write_bytes(log.read_bytes()[: len(log.read_bytes()) // 2])
            else:
                assert isinstance(step, bytes)
                log.open("ab").write(step)
                (trial / "output" / "deep" / "model.bin").write_bytes(step)
        (trial / "output" / "run.sh").touch(0o755)
        journal.write(trials=[Trial(0, {"x": 0.5}, TrialState.COMPLETED, attempt=1, place="trials/00000")])
        sender.look()
        sent = len(lines)
        sender.look()
        assert len(lines) == sent, "nothing is sent twice"
    finally:
        files._PIECE = piece
    for line in lines:
        reader.read(line)
    assert not reader.gap
    assert _tree(here.folder) == _tree(journal.folder)
    here.store.close()
    journal.store.close()


def _tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    paths = [path for path in (folder / "trials").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode) for path in paths}


def test_outputs_that_are_too_large_stay_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST", 10)
    journal = beside(tmp_path, [])
    (journal.folder / "trials" / "00000" / "output" / "model.bin").write_bytes(bytes(11))
    journal.write(trials=[Trial(0, {"x": 0.5}, TrialState.COMPLETED, attempt=1, place="trials/00000")])
    Sender(journal).look()
    ((_, number, message),) = journal.events()
    assert (number, message) == (
        0,
        "its outputs are 11B, and no more than 10B travel; say where they go: output",
    )


def test_no_file_lands_outside_of_the_runs_folder(tmp_path: Path) -> None:
    lines: list[str] = []
    journal, here = beside(tmp_path / "far", lines), run_in(tmp_path / "here")
    journal.send_file("../../evil", 0, b"x", 0o644)
    reader = Reader(here)
    reader.read(lines[0])
    with pytest.raises(TrialError, match="leads out of the folder"):
        reader.read(lines[1])
