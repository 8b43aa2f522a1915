"""One job file on all providers: the same space, the same trial contract, one table; each result within its service's semantics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from input_names import SCRIPT as SCRIPT_OF_INPUTS
from input_names import written_inputs
from late import LATE
from places import group_of, place_of

from cloudtune.cli.app import run_app

if LATE:
    for module in ("moto", "google.cloud.aiplatform_v1", "azure.ai.ml", "databricks.sdk"):
        pytest.importorskip(module)

SCRIPT = """
import json, os, pathlib
import cloudtune.trial as trial

p = trial.params()
assert trial.number() >= 0
assert pathlib.Path(trial.data("table"), "rows.txt").read_text() == "1 2 3"
pathlib.Path(trial.output_dir(), "model.json").write_text(json.dumps(p))
print("sees", json.dumps(p), flush=True)
for step in range(1, 4):
    trial.report(score=step * p["lr"] + (p["depth"] if p["kind"] == "tree" else 0.5), step=step)
"""
JOB = """
name: everywhere
trial: {source: src, command: python train.py}
data: {table: table}
objective: {metric: score, goal: maximize}
space:
  lr: {type: float, low: 1.0e-4, high: 1.0, scale: log}
  batch: {type: int, low: 8, high: 64, step: 8}
  kind: {type: categorical, values: [tree, line]}
  depth: {type: int, low: 1, high: 5, when: {kind: tree}}
  flag: {type: categorical, values: [true, false]}
strategy: {type: random, seed: 11}
limits: {trials: 5, parallel: 2}
"""
PLACES = ("local", "aws", "gcp", "azure", "k8s", "databricks")
CLUSTERS = ("ray", "slurm")
"""Where trials run on real clusters of this machine, which have no emulator."""
EVERYWHERE = (*PLACES, *CLUSTERS)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("src", "table"):
        (tmp_path / name).mkdir()
    (tmp_path / "src" / "train.py").write_text(SCRIPT)
    (tmp_path / "table" / "rows.txt").write_text("1 2 3")
    (tmp_path / "job.yaml").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place: str, capsys: pytest.CaptureFixture[str], *options: str, emulated: bool | None = None) -> dict[str, Any]:
    emulate = ["--emulate"] if (place != "local" if emulated is None else emulated) else []
    assert run_app(["run", "job.yaml", "--on", place, *emulate, "--json", "--quiet", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def told(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert run_app(list(command)) in (0, None)
    return capsys.readouterr().out


def in_the_space(values: dict[str, Any]) -> bool:
    """Whether a trial has the spec's parameters, of its very types."""
    depth = values.get("depth")
    return (
        1e-4 <= values["lr"] <= 1
        and type(values["batch"]) is int
        and values["batch"] in range(8, 65, 8)
        and type(values["flag"]) is bool
        and (depth in range(1, 6) and type(depth) is int if values["kind"] == "tree" else "depth" not in values)
    )


def test_one_file_runs_on_every_provider(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = {place: run(place, capsys) for place in PLACES}
    for place, result in results.items():
        assert result["counts"] == {"completed": 5}, place
        trials = json.loads(told(capsys, "trials", result["id"], "--json"))
        for trial in trials:
            values = trial["parameters"]
            assert in_the_space(values), (place, values)
            score = 3 * values["lr"] + (values["depth"] if values["kind"] == "tree" else 0.5)
            assert trial["metrics"]["score"] == pytest.approx(score), place
            seen = told(capsys, "logs", result["id"], str(trial["number"]))
            line = next(line for line in seen.splitlines() if line.startswith("sees "))
            assert json.loads(line.removeprefix("sees ")) == values, place
        best = max(trials, key=lambda trial: trial["metrics"]["score"])
        assert result["best"]["number"] == best["number"], place
        told(capsys, "fetch", result["id"], "-o", f"model-{place}")
        assert json.loads((project / f"model-{place}" / "model.json").read_text()) == best["parameters"], place
    rows = [re.split(r"\s{2,}", line.rstrip()) for line in told(capsys, "ls").splitlines()[1:]]
    assert [(row[1], row[2], row[5], row[-1].split()[0]) for row in rows] == [
        (place if place == "local" else f"{place} (emulated)", "completed", "5", "score") for place in reversed(PLACES)
    ]


@pytest.mark.complete
def test_driven_all_of_them_find_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, *there = (run(place, capsys, "--set", "mode=driven") for place in PLACES)
    for result in there:
        assert result["counts"] == {"completed": 5}
        assert [result["best"][part] for part in ("number", "parameters", "metrics")] == [
            here["best"][part] for part in ("number", "parameters", "metrics")
        ]


@pytest.mark.complete
@pytest.mark.parametrize("provider", [pytest.param(each, marks=group_of(each, "clusters")) for each in CLUSTERS])
def test_clusters_find_the_same_as_this_machine(
    project: Path, capsys: pytest.CaptureFixture[str], provider: str
) -> None:
    here = run("local", capsys)
    with place_of(provider, project) as place:
        there = run(place.on, capsys, emulated=False)
        assert there["counts"] == {"completed": 5}, told(capsys, "logs", there["id"], "0")
        for part in ("number", "parameters", "metrics"):
            assert there["best"][part] == here["best"][part]
        told(capsys, "fetch", there["id"], "-o", "model")
        assert json.loads((project / "model" / "model.json").read_text()) == here["best"]["parameters"]


@pytest.mark.parametrize("place", [*PLACES[:-1], pytest.param(PLACES[-1], marks=pytest.mark.complete)])
@pytest.mark.parametrize("mode", ["auto", pytest.param("driven", marks=pytest.mark.complete)])
def test_inputs_of_every_name_are_found_by_one_rule(
    project: Path, capsys: pytest.CaptureFixture[str], place: str, mode: str
) -> None:
    data = written_inputs(project)
    (project / "src" / "train.py").write_text(SCRIPT_OF_INPUTS)
    given = ["--set", f"data={json.dumps(data)}", "--set", "limits.trials=1", "--set", f"mode={mode}"]
    result = run(place, capsys, *given)
    assert result["counts"] == {"completed": 1}, told(capsys, "logs", result["id"], "0")


@pytest.mark.parametrize("place", EVERYWHERE)
def test_two_inputs_of_one_variable_are_refused(project: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    assert run_app(["plan", "job.yaml", "--on", place, "--set", 'data={"a-b": "table", "a_b": "table"}', "--json"]) == 3
    notes = json.loads(capsys.readouterr().out)["notes"]
    (note,) = [note for note in notes if note["support"] == "unsupported" and note["path"].startswith("data")]
    assert note["path"] == "data.a_b"
    assert "CLOUDTUNE_DATA_A_B, and 'a-b' as well" in note["message"]


def test_their_plans_stand_side_by_side(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", "trial.image=own:1", "--set", "identity.sagemaker=arn:aws:iam::123456789012:role/own"]
    given += ["--set", "output.databricks=/Volumes/main/default/tuning"]
    assert run_app(["plan", "job.yaml", "--on", ",".join(EVERYWHERE), *given, "--set", "data={}", "--all"]) == 0
    said = capsys.readouterr().out.splitlines()
    first = next(index for index, line in enumerate(said) if line.startswith("field "))
    summaries = [
        line.partition(":")[0] for line in said[:first] if not line.startswith(" ")
    ]  # each with its price below
    assert summaries == list(EVERYWHERE)
    header, modes, *rows = said[first:]
    assert header.split() == ["field", "value", *EVERYWHERE]
    assert modes.split() == ["mode", "auto", "driven", *["managed"] * 3, *["driven"] * 4]
    support = {row.split()[0]: row.split()[-len(EVERYWHERE) :] for row in rows}
    assert support["space.depth.when.kind"] == ["exact", "encoded", "exact", "encoded", *["exact"] * 4]
    assert support["strategy.seed"] == ["exact", "exact", "approximate", "exact", *["exact"] * 4]
    assert "lost" not in {level for levels in support.values() for level in levels}
