"""A run as runs of Weights & Biases, offline, read back from the files that the library writes."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from published_runs import StagedRun, finished_run, report, trial

from cloudtune.errors import ConfigError
from cloudtune.store.records import TrialState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of W&B's file: LevelDB's format of logs, behind seven bytes of its own."""
    at, whole, block = 7, b"", 1 << 15
    while at + 7 <= len(data):
        if block - at % block < 7:  # no room for a header: the block's end is padded
            at += block - at % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # full, last
            yield whole
            whole = b""


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what W&B has of each run, by its id: config, history, summary, and the run's own fields."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # ends its process, which writes on for a moment after a run has finished

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        run: dict[str, Any] = {"config": {}, "history": [], "summary": {}}
        for data in records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                own = record.run
                assert own.run_id not in found, "the same run twice"
                found[own.run_id] = run
                run |= {"group": own.run_group, "type": own.job_type, "tags": list(own.tags), "notes": own.notes}
                run["config"] |= {each.key: json.loads(each.value_json) for each in own.config.update}
            elif kind == "history":
                items = {each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.history.item}
                run["history"].append({key: value for key, value in items.items() if not key.startswith("_")})
            elif kind == "summary":
                run["summary"] |= {
                    each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.summary.update
                }
            elif kind == "exit":
                run["exit"] = record.exit.exit_code
    return found


def test_each_trial_is_a_run_in_the_runs_group(folder: Path) -> None:
    run = finished_run(folder)
    (published,) = run.publish(wandb="team/digits")
    assert published.name == "project team/digits, group digits-1a2b"
    assert published.look.startswith("wandb sync ")
    found = read(folder)
    assert set(found) == {*(f"digits-1a2b-{number:05d}" for number in range(6)), "digits-1a2b-tuning"}
    best = found["digits-1a2b-00002"]
    assert (best["group"], best["type"], set(best["tags"])) == ("digits-1a2b", "trial", {"digits", "completed"})
    assert {name: best["config"][name] for name in ("lr", "kernel")} == {"lr": 0.03, "kernel": "poly"}
    assert best["config"]["cloudtune"]["trial"] == 2
    assert [(row["step"], round(row["accuracy"], 6)) for row in best["history"][:3]] == [(1, 0.3), (2, 0.6), (3, 0.9)]
    assert best["summary"]["accuracy"] == 0.9
    pruned, failed = found["digits-1a2b-00003"], found["digits-1a2b-00004"]
    assert (pruned["exit"], failed["exit"], best["exit"]) == (0, 1, 0)
    assert pruned["notes"] == "pruned at step 2 by the median rule"
    whole = found["digits-1a2b-tuning"]
    assert whole["config"]["job"]["name"] == "digits"
    assert "***" in json.dumps(whole["config"]["job"]["trial"])
    assert whole["summary"]["accuracy"] == 0.9


def test_publishing_again_writes_nothing_twice(folder: Path) -> None:
    run = finished_run(folder)
    run.publish(wandb="digits")
    places = {path: path.stat().st_mtime_ns for path in folder.glob("wandb/offline-run-*/*.wandb")}
    run.publish(wandb="digits")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("wandb/offline-run-*/*.wandb")} == places
    for kept in run.folder.glob("published-wandb-*"):
        kept.unlink()  # as after a kill before it was written
    run.publish(wandb="digits")
    assert len(read(folder)) == 7


def test_a_running_trial_waits_for_its_end(folder: Path) -> None:
    run = StagedRun(folder)
    run.tell(trial(0), trial(1, TrialState.RUNNING), reports=[report(1, 1, accuracy=0.5)])
    run.publish(wandb="digits")
    assert set(read(folder)) == {"digits-1a2b-00000"}
    run.tell(trial(1))
    run.publish(wandb="digits")
    assert set(read(folder)) == {"digits-1a2b-00000", "digits-1a2b-00001"}


@pytest.mark.parametrize("address", ["", "a/b/c", "https://wandb.ai/team/project", "team/"])
def test_what_is_no_project_is_refused(folder: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="PROJECT"):
        finished_run(folder).publish(wandb=address)
