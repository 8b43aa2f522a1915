"""What a program logs by other libraries is heard in its own process, and reported at steps that grow."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cloudtune.trial as trial
from cloudtune.errors import SpecError
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob
from cloudtune.trial.hearing import hearing, variables
from cloudtune.trial.hearing.event_files import LONGEST, EventFile
from cloudtune.trial.hearing.events import scalars_of
from cloudtune.trial.hearing.metrics import Hearing, numbers_in
from cloudtune.trial.printed_metrics import PrintedMetrics, heard_regex

JOB: dict[str, Any] = {
    "name": "heard",
    "trial": {"command": ["python", "train.py"], "image": "an/image:1"},
    "objective": {"metric": "val/loss", "goal": "minimize", "source": "wandb"},
    "space": {"x": {"type": "float", "low": 0, "high": 1}},
    "limits": {"trials": 2},
}

WANDB = """
class Run:
    def log(self, data, step=None, commit=None):
        return "logged"
"""

SCRIPT = """
import wandb.sdk.wandb_run as w
run = w.Run()
assert run.log({"train": {"loss": 3.0}, "picture": object(), "text": "7"}) == "logged"
for epoch in range(2):
    run.log({"val/loss": 0.5 - epoch / 4, "epoch": epoch})
run.log({"after": 1})
try:
    run.log()
except TypeError:
    print("as ever")
"""


def heard_of(sources: dict[str, str], *taken: tuple[Any, ...]) -> list[tuple[int, dict[str, float]]]:
    """Return the reports that a trial makes of what is taken."""
    found: list[tuple[int, dict[str, float]]] = []
    trial.enter(trial.Context({}, sink=lambda step, _, metrics: found.append((step, metrics))))
    try:
        heard = Hearing(sources)
        for each in taken:
            heard.take(*each)
        heard.finish()
    finally:
        trial.leave()
    return found


def test_a_value_of_the_metric_makes_a_report_with_what_was_logged_before_it() -> None:
    found = heard_of(
        {"loss": "wandb"},
        ("wandb", {"lr": 0.1}),
        ("mlflow", {"loss": 9.0}),  # another library's: not the one that was asked for
        ("wandb", {"loss": 0.5, "acc": 1}),
        ("wandb", {"loss": 0.25}),
        ("wandb", {"last": 2}),
    )
    assert found == [(1, {"lr": 0.1, "loss": 0.5, "acc": 1.0}), (2, {"loss": 0.25}), (2, {"last": 2.0})]


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ([None, None], [1, 2]),
        ([0, 1, 2], [0, 1, 2]),
        ([10, 20], [10, 20]),
        ([0, 0, 0], [0, 1, 2]),  # MLflow's default
        ([5, 6, 0, 1], [5, 6, 7, 8]),  # a second run in the process
        ([-1, "x"], [1, 2]),
    ],
)
def test_steps_are_the_programs_own_where_they_grow(given: list[Any], reported: list[int]) -> None:
    found = heard_of({"loss": "mlflow"}, *(("mlflow", {"loss": 1.0}, step) for step in given))
    assert [step for step, _ in found] == reported


def test_the_part_that_logs_may_precede_the_name() -> None:
    found = heard_of(
        {"validation/epoch_loss": "tensorboard"},
        ("tensorboard", {"epoch_loss": 3.0}, 0, "train"),
        ("tensorboard", {"epoch_loss": 2.0}, 0, "validation"),
    )
    assert found == [(0, {"epoch_loss": 3.0, "validation/epoch_loss": 2.0})]


def test_what_is_no_number_is_left_out() -> None:
    values = {"a": {"b": {"c": 1}}, "t": "1", "o": object(), "n": None, "f": True}
    assert dict(numbers_in(values)) == {"a.b.c": 1.0, "f": 1.0}


def _run(
    folder: Path, code: str, *flags: str, files: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    for name, text in {"wandb/sdk/wandb_run.py": WANDB, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "parameters.json").write_text('{"parameters": {}}')
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WANDB")},
        **variables({"val/loss": "wandb"}),
        "CLOUDTUNE_PARAMETERS": str(folder / "parameters.json"),
        "CLOUDTUNE_REPORTS": str(folder / "reports.jsonl"),
        "CLOUDTUNE_OUTPUT_DIR": str(folder / "output"),
        "PYTHONPATH": str(folder),
        "HOME": str(folder),
    }
    words = [sys.executable, *flags, "-c", code]
    return subprocess.run(words, env=hearing(given), cwd=folder, capture_output=True, text=True, check=True)


def test_a_program_is_heard_without_a_change_and_goes_on_as_ever(tmp_path: Path) -> None:
    own = "import os; print('of the users', os.environ['WANDB_MODE'])"
    ended = _run(tmp_path, SCRIPT, files={"sitecustomize.py": own})
    assert ended.stdout.splitlines() == ["of the users offline", "as ever"]
    assert ended.stderr == ""
    reports = [json.loads(line) for line in (tmp_path / "reports.jsonl").read_text().splitlines()]
    assert [(each["step"], each["metrics"]) for each in reports] == [
        (1, {"train.loss": 3.0, "val/loss": 0.5, "epoch": 0.0}),
        (2, {"val/loss": 0.25, "epoch": 1.0}),
        (2, {"after": 1.0}),
    ]


def test_a_python_without_cloudtune_hears_by_the_copy_that_travels(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p and {str(Path.cwd())!r} != p]\n{SCRIPT}"
    hidden = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'ditable' not in repr(f)]\n" + code
    _run(tmp_path, hidden)
    assert len((tmp_path / "reports.jsonl").read_text().splitlines()) == 3


def test_what_is_printed_for_a_service_is_found_there_and_nothing_else() -> None:
    printed = PrintedMetrics({"val/loss": heard_regex("val/loss")})
    found = printed.read("val/loss=9", "step 4: heard lr=0.1 val/loss=0.25 epoch=1.0", "step 5: val/loss=7")
    assert found == [(4, {"val/loss": 0.25})]


# TensorBoard's files


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def _event(tag: str, value: float, step: int) -> bytes:
    scalar = _field(1, tag.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", value)
    return bytes([2 << 3, step]) + _field(5, _field(1, scalar))


def _record(data: bytes) -> bytes:
    return struct.pack("<QI", len(data), 0) + data + b"\0" * 4


def test_scalars_are_read_of_both_forms_and_nothing_of_garbage() -> None:
    event = scalars_of(_event("loss", 0.5, 3))
    assert event is not None
    assert (event.step, event.values) == (3, {"loss": 0.5})
    tensor = bytes([1 << 3, 1]) + _field(5, struct.pack("<f", 0.25))
    other = scalars_of(_field(5, _field(1, _field(1, b"acc") + _field(8, tensor))))
    assert other is not None
    assert other.values == {"acc": 0.25}
    for broken in (b"", b"\xff" * 30, _event("loss", 0.5, 3)[:-2], b"\x2a\x7f"):
        assert scalars_of(broken) is None


def test_an_event_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    first, second = _record(_event("loss", 1.0, 1)), _record(_event("loss", 0.5, 2))
    path.write_bytes(first + second[:9])
    file = EventFile(str(path))
    assert [each.step for each in file.new()] == [1]
    path.write_bytes(first + second[:-1])
    assert file.new() == []
    picture = _record(b"\0" * (LONGEST + 1))
    path.write_bytes(first + second + picture + second)
    assert [each.step for each in file.new()] == [2, 2]
    path.write_bytes(first + second + picture + second + b"\xff" * 40)
    assert file.new() == []
    path.unlink()
    assert file.new() == []


@pytest.mark.parametrize("kind", ["tensorboard.summary.writer.event_file_writer", "tensorboardX.event_file_writer"])
def test_a_writer_of_tensorboard_is_heard(tmp_path: Path, kind: str) -> None:
    pytest.importorskip(kind)
    code = f"""
import importlib
from tensorboardX.proto import event_pb2 as ours
from tensorboard.compat.proto import event_pb2 as theirs
kind = {kind!r}
proto = ours if kind.startswith("tensorboardX") else theirs
writer = importlib.import_module(kind).EventFileWriter({str(tmp_path / "logs" / "valid")!r})
for step in range(3):
    event = proto.Event(step=step)
    event.summary.value.add(tag="val/loss", simple_value=step / 4)
    writer.add_event(event)
writer.close()
"""
    given = variables({"val/loss": "tensorboard"})
    ended = _run(tmp_path, f"import os; os.environ.update({given!r})\n" + _BEGUN + code)
    assert ended.stderr == ""
    reports = [json.loads(line) for line in (tmp_path / "reports.jsonl").read_text().splitlines()]
    assert [(each["step"], each["metrics"]) for each in reports] == [(n, {"val/loss": n / 4}) for n in range(3)]


_BEGUN = "import sys; del sys.modules['_cloudtune_hearing']; import cloudtune.trial.hearing as h; h.begin()\n"


# The spec and the plans


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"objective": {**JOB["objective"], "source": "comet"}}, "source", "wandb"),
        ({"objective": {**JOB["objective"], "regex": "(.)"}}, "source", "has a regex as well"),
        ({"metrics": {"val/loss": "(.)"}}, "source", "take one of them away"),
        ({"trial": {"image": "an/image:1"}}, "source", "give trial a command or a function"),
        ({"constraints": {"metric": "val/loss", "max": 1, "source": "wandb"}}, "source", "give its source there alone"),
    ],
)
def test_a_source_that_cannot_be_is_refused(change: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        TuningJob.from_data({**JOB, **change})
    assert path in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["local", "ray", "sagemaker", "vertex", "azureml"])
@pytest.mark.parametrize("mode", ["auto", "driven"])
def test_every_plan_accounts_for_it(name: str, mode: str) -> None:
    job = TuningJob.from_data({**JOB, "mode": mode, "constraints": {"metric": "size", "max": 9, "source": "mlflow"}})
    notes = [note for note in load_provider(name)({}).plan(job).notes if "source" in note.path]
    assert not [note for note in notes if note.support.value == "unsupported"]
    if name in ("sagemaker", "vertex", "azureml"):
        assert {note.path for note in notes} == {"objective[0].source", "constraints[0].source"}
