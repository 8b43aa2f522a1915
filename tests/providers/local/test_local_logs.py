"""Logs of trials: how much they keep, how they are read while they grow, and what a regex that explodes may cost."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudtune import api, tune
from cloudtune.driver.launcher import Remark
from cloudtune.process.log_file import CHUNK, LogReader, end_of_log, leave_out
from cloudtune.process.log_trimming import NOTE_SIZE, trim_log
from cloudtune.process.setting import TrialFiles
from cloudtune.process.tail import Tail
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunState, TrialState


def finished(folder: Path, script: str, **fields: Any) -> Run:
    (folder / "train.py").write_text(script)
    data = {
        "name": "j",
        "trial": {"command": f"{sys.executable} train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "strategy": {"type": "random", "seed": 1},
        "limits": {"trials": 1},
        **fields,
    }
    run = api.prepare(TuningJob.from_data(data), "local", project=folder, base=folder)
    run.wait()
    return run


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


# What a log keeps

_STEPS = st.lists(st.one_of(st.integers(0, 400), st.just("trim"), st.just("read")), max_size=40)


@given(steps=_STEPS, most=st.integers(1, 300))
def test_a_reader_gets_every_byte_at_its_offset_whenever_the_log_is_trimmed(
    steps: list[int | str], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    size, path = 512, tmp_path_factory.mktemp("logs") / "log"
    path.touch()
    reader, written = LogReader(str(path), size), b""
    for step in steps:
        if step == "trim":
            trim_log(str(path), size)
            assert path.stat().st_size <= size + 400
        elif step == "read":
            known = reader.offset
            piece = reader.read(most)
            assert piece.start >= known
            assert piece.data == written[piece.start : piece.stop]
            assert piece.end == len(written) == end_of_log(str(path), size)
        else:
            data = os.urandom(int(step))
            written += data
            append(path, data)
    while piece := reader.read(most).data:
        assert written[reader.offset - len(piece) : reader.offset] == piece
    assert reader.offset == len(written)
    reader.close()


def test_a_log_that_is_a_copy_can_leave_out_what_its_origin_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"a" * 300)
    leave_out(str(path), 1000, 512)
    append(path, b"b" * 10)
    assert path.stat().st_size == 256 + NOTE_SIZE + 10
    assert end_of_log(str(path), 512) == 1010


def test_a_log_keeps_its_beginning_and_its_end_and_says_what_is_left_out(tmp_path: Path) -> None:
    script = """
print("the beginning")
for number in range(60_000):
    print("line", number)
print("score=0.5")
print("the end")
"""
    run = finished(tmp_path, script, local={"log_size": "64KB"})
    (trial,) = run.trials()
    assert (trial.state, trial.metrics) == (TrialState.COMPLETED, {"score": 0.5})
    log = run.folder / trial.place / "log.txt"
    assert log.stat().st_size < 70_000
    lines = list(run.logs(0))
    assert lines[0] == "the beginning"
    assert lines[-2:] == ["score=0.5", "the end"]
    (note,) = [line for line in lines if "cloudtune" in line]
    assert "bytes of the output are left out here" in note


# Reading while it grows


def tail_of(folder: Path, *regexes: str) -> tuple[Tail, Path]:
    files = TrialFiles(str(folder), 1)
    return Tail(0, 1, files, {"score": None, **{f"m{n}": regex for n, regex in enumerate(regexes)}}), Path(files.log)


def test_a_tail_that_is_far_behind_skips_to_the_end_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudtune.process.tail.FAR_BEHIND", 1 << 20)
    monkeypatch.setattr("cloudtune.process.tail._CAUGHT_UP", 1 << 16)
    tail, log = tail_of(tmp_path)
    append(log, b"score=1\n" + b"val_" * 500_000 + b"score=2 no\n" + b"x\n" * 10 + b"score=3\n")
    said = list(tail.new(last=True))
    assert [each.metrics for each in said if isinstance(each, Report)] == [{"score": 3.0}]
    (remark,) = [each for each in said if isinstance(each, Remark)]
    assert remark.text.startswith("1.9 MB of its output were not searched for metrics")
    tail.close()


def test_one_look_reads_a_bounded_part(tmp_path: Path) -> None:
    tail, log = tail_of(tmp_path)
    append(log, b"score=1\n" * 400_000)
    assert 0 < len(list(tail.new())) <= CHUNK // 8
    tail.close()


def test_a_line_that_grows_for_long_is_read_once_it_ends(tmp_path: Path) -> None:
    tail, log = tail_of(tmp_path)
    found: list[Any] = []
    for piece in (b"score=", b"0.2", b"5", b"\r", b"score=0.7\rscore=0", b".75"):
        append(log, piece)
        found += tail.new()
    found += tail.new(last=True)
    assert [report.metrics["score"] for report in found] == [0.25, 0.7, 0.75]
    tail.close()


# Limits and signals win


def test_a_regex_that_explodes_neither_stops_a_limit_nor_the_other_trials(tmp_path: Path) -> None:
    script = """
import sys, time
print("loss=" + "a" * 64 + "!", "score=0.5", flush=True)
time.sleep(60)
"""
    objective = {"metric": "score", "goal": "maximize"}
    run = finished(
        tmp_path,
        script,
        objective=objective,
        metrics={"bad": "loss=((?:a+)+)$"},
        limits={"trials": 2, "parallel": 2, "trial_time": "3s"},
        local={"grace": 0},
    )
    assert run.state is RunState.FAILED
    for trial in run.trials():
        assert trial.reason == "it ran longer than 3s (limits.trial_time)"
        assert trial.metrics == {"score": 0.5}


# Workers, whose file holds the logs of several trials


_PARTS = st.lists(st.tuples(st.integers(0, 1500), st.booleans()), min_size=1, max_size=8)


@given(parts=_PARTS, most=st.integers(1, 300), before=st.integers(0, 900))
def test_a_log_within_a_file_is_read_like_one_of_its_own(
    parts: list[tuple[int, bool]], most: int, before: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    size, path = 512, tmp_path_factory.mktemp("logs") / "log"
    append(path, b"x" * before)
    written = b""
    reader = LogReader(str(path), size, begin=before)
    for count, trims in parts:
        data = os.urandom(count)
        written += data
        append(path, data)
        if trims:
            trim_log(str(path), size, before)
        piece = reader.read(most)
        assert piece.data == written[piece.start : piece.stop]
        assert piece.end == len(written)
    finish = path.stat().st_size
    append(path, b"another trial's" * 100)
    reader.close()
    reader = LogReader(str(path), size, begin=before, finish=finish)
    while piece := reader.read(most).data:
        assert written[reader.offset - len(piece) : reader.offset] == piece
    assert reader.offset == len(written)
    reader.close()


def chatty(x: float) -> float:
    print("the beginning", x)
    for number in range(40_000 if x > 0.5 else 40):
        print("line", number)
    sys.stdout.flush()
    print("the end", x)
    return x


@pytest.mark.parametrize(
    "isolate", [pytest.param(True, id="isolated", marks=pytest.mark.complete), pytest.param(False, id="pool")]
)
def test_a_function_keeps_as_much_of_its_output_as_a_program(isolate: bool, tmp_path: Path) -> None:
    run = tune(
        chatty,
        space={"x": {"type": "categorical", "values": [0.25, 0.75, 0.5, 1.0, 0.125]}},
        maximize="score",
        strategy="grid",
        isolate=isolate,
        local={"log_size": "16KB"},
        project=tmp_path,
    )
    assert len(run.trials()) == 5
    for trial in run.trials():
        x = trial.parameters["x"]
        lines = list(run.logs(trial.number))
        assert (lines[0], lines[-1]) == (f"the beginning {x}", f"the end {x}")
        notes = [line for line in lines if "bytes of the output are left out here" in line]
        assert len(notes) == (float(x) > 0.5)
        assert sum(len(line) + 1 for line in lines) < 17_000
    kept = sum(path.stat().st_size for path in run.folder.rglob("*.txt")) + sum(
        path.stat().st_size for path in run.folder.rglob("*.log")
    )
    assert kept < 5 * 17_000


def test_a_worker_that_prints_without_end_fills_no_disk(tmp_path: Path) -> None:
    """The log is made smaller while the trial runs, also the second of a worker; what its killed worker leaves is small."""

    def endless(x: float) -> float:
        while x > 0.5:
            os.write(1, b"a line of an endless trial\n" * 1000)
        return x

    run = tune(
        endless,
        space={"x": {"type": "categorical", "values": [0.25, 0.75]}},
        maximize="score",
        strategy="grid",
        limits={"trial_time": "2s"},
        local={"log_size": "16KB"},
        project=tmp_path,
    )
    assert sorted(trial.state.value for trial in run.trials()) == ["completed", "failed"]
    assert sum(path.stat().st_size for path in run.folder.rglob("workers/*")) < 40_000
