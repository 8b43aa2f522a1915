"""Jobs as YAML and as plain data, there and back."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.errors import SpecError
from cloudtune.spec.job import TuningJob
from cloudtune.spec.text.dumping import yaml_text
from cloudtune.spec.text.reading import read_yaml
from cloudtune.testing.specs import jobs

JOB = """\
name: digits-svc
trial:
  source: ./src
  command: python train.py
  environment: {EPOCHS: "3"}
objective: {metric: accuracy, goal: maximize}
space:
  C:      {type: float, low: 1e-3, high: 1e3, scale: log}
  gamma:  {type: float, low: 1e-5, high: 1.0, scale: log, step: null}
  kernel: {type: categorical, values: [rbf, poly]}
  degree: {type: int, low: 2, high: 5, when: {kernel: poly}}
strategy: {type: bayesian, seed: 7}
stopping: {type: median, grace: 3}
limits: {trials: 40, parallel: 4, failed: 5, time: 2h, trial_time: 20m, target: 0.99, no_improvement: 15}
retries: 1
warm_start: [other-run-id]
compute: {instance: ..., count: 1, accelerators: ..., spot: true, disk: 50GB}
data: {train: s3://bucket/train}
output: s3://bucket/out
network: {name: ...}
identity: ...
encryption: {key: ...}
tags: {team: ads}
sagemaker: {...}
vertex: {...}
azureml: {...}
"""
SHORT = "name: a\ntrial: {command: x}\nobjective: {metric: m, goal: minimize}\nlimits: {trials: 1}\n"
SPACE = "space: {x: {type: float, low: 0, high: 1}}\n"


def same(left: Any, right: Any) -> bool:
    """Equality that tells 1 from 1.0 and from true."""
    return repr(left) == repr(right)


@given(job=jobs())
@settings(max_examples=examples(100))
def test_a_job_survives_its_data_and_its_yaml(job: TuningJob) -> None:
    data = job.to_data()
    assert same(TuningJob.from_data(data), job)
    assert same(TuningJob.from_data(json.loads(json.dumps(data))), job)
    assert same(TuningJob.from_yaml(job.to_yaml()), job)


@given(job=jobs(texts=st.text(min_size=1)))
@settings(max_examples=examples(100))
def test_a_job_of_any_texts_survives_its_yaml(job: TuningJob) -> None:
    assert same(TuningJob.from_yaml(job.to_yaml()), job)


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(data=st.dictionaries(st.text(), json_data, min_size=1, max_size=4))
@settings(max_examples=examples(200))
def test_any_data_survives_yaml(data: dict[str, Any]) -> None:
    node, problems = read_yaml(yaml_text(data), "the data")
    assert problems == []
    assert same(node.value, data)


@given(data=st.dictionaries(st.text(), json_data, min_size=1, max_size=4))
@settings(max_examples=examples(100))
def test_readers_of_yaml_1_1_see_the_same(data: dict[str, Any]) -> None:
    assert same(yaml.safe_load(yaml_text(data)), data)


@pytest.mark.parametrize(
    "text", ["k" * 2000, "two\nlines", "  led\n", "line\n\n", "a\n b\n", "a: b", "-", "\u2028", "\ufeff"]
)
def test_odd_texts_survive_as_keys_and_as_values(text: str) -> None:
    data = {text: text, "nested": {text: [text, {text: {text: []}}]}}
    assert read_yaml(yaml_text(data), "the data")[0].value == data


def test_both_parsers_of_pyyaml_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    job = TuningJob.from_yaml(JOB)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert TuningJob.from_yaml(JOB) == job
    assert TuningJob.from_yaml(job.to_yaml()) == job


def test_a_job_with_every_kind_of_setting_loads_as_people_write_it() -> None:
    job = TuningJob.from_yaml(JOB)
    assert job.limits.time == timedelta(hours=2)
    assert job.compute.disk == 50 * 10**9
    assert job.compute.accelerators is not None
    assert job.warm_start is not None
    assert job.warm_start.runs == ("other-run-id",)
    assert job.trial.environment == {"EPOCHS": "3"}
    assert job.sagemaker == {"...": None}


def test_the_yaml_of_a_job_is_written_for_people() -> None:
    assert (
        TuningJob.from_yaml(JOB).to_yaml()
        == """\
name: digits-svc
trial:
  source: ./src
  command: python train.py
  environment: {EPOCHS: "3"}
objective: {metric: accuracy, goal: maximize}
space:
  C: {type: float, scale: log, low: 0.001, high: 1000.0}
  gamma: {type: float, scale: log, low: 1.0e-05, high: 1.0}
  kernel: {type: categorical, values: [rbf, poly]}
  degree: {type: int, when: {kernel: poly}, low: 2, high: 5}
strategy: {type: bayesian, seed: 7}
stopping: {type: median, grace: 3}
limits:
  trials: 40
  parallel: 4
  failed: 5
  time: 2h
  trial_time: 20m
  target: 0.99
  no_improvement: 15
retries: 1
warm_start: {runs: [other-run-id]}
compute: {instance: "...", accelerators: {type: "..."}, disk: 50GB, spot: true}
data: {train: s3://bucket/train}
output: s3://bucket/out
network: {name: "..."}
identity: "..."
encryption: {key: "..."}
tags: {team: ads}
sagemaker: {"...": null}
vertex: {"...": null}
azureml: {"...": null}
"""
    )


def test_what_has_its_default_is_left_out_and_a_single_objective_is_a_mapping() -> None:
    job = TuningJob.from_yaml(SHORT + SPACE + "retries: 0\nstrategy: {type: auto}\ncompute: {}\n")
    assert job.to_data() == {
        "name": "a",
        "trial": {"command": "x"},
        "objective": {"metric": "m", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 1},
    }


def test_several_objectives_are_a_list_and_several_values_of_a_condition_too() -> None:
    job = TuningJob.from_yaml("""\
name: a
trial: {function: train:main}
objective: [{metric: m, goal: minimize}, {metric: n, goal: maximize}]
space:
  k: {type: categorical, values: [1, 2, 3]}
  x: {type: constant, value: null, when: {k: [1, 2]}}
limits: {trials: 1}
""")
    data: Any = job.to_data()
    assert [objective["metric"] for objective in data["objective"]] == ["m", "n"]
    assert data["space"]["x"] == {"type": "constant", "when": {"k": [1, 2]}, "value": None}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0", 0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("True", True),
        ("FALSE", False),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("tRUE", "tRUE"),
        ("inf", "inf"),
        ("1e", "1e"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("! 1", "1"),
        ("!!str 1", "1"),
        ("!!int '7'", 7),
        ("!!float 7", 7.0),
        ("!!null ''", None),
        ("!!bool 'true'", True),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
        ("&a [1]", [1]),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
    ],
)  # fmt: skip
def test_scalars_mean_what_yaml_1_2_says(written: str, value: object) -> None:
    node, problems = read_yaml(f"key: {written}", "the text")
    assert problems == []
    assert same(node.value, {"key": value})


def test_numbers_of_the_environment_reach_the_program_as_they_are_written() -> None:
    text = "name: a\nobjective: {metric: m, goal: minimize}\nlimits: {trials: 1}\n" + SPACE
    text += "trial: {command: x, environment: {PYTHON: 3.10, MODE: 0o755, RATE: 1e3, COUNT: 010, WORD: no}}\n"
    environment = TuningJob.from_yaml(text).trial.environment
    assert environment == {"PYTHON": "3.10", "MODE": "0o755", "RATE": "1e3", "COUNT": "010", "WORD": "no"}


def test_an_alias_stands_for_the_value_of_its_anchor() -> None:
    job = TuningJob.from_yaml(SHORT + "space: {x: &unit {type: float, low: 0, high: 1}, y: *unit}\n")
    assert job.space["x"] == job.space["y"]


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (SHORT + SPACE).replace("\n", "\r\n").encode())
    assert TuningJob.from_yaml(path) == TuningJob.from_yaml(SHORT + SPACE)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"name: a\ntags: {caf\xe9: x}\n")
    with pytest.raises(SpecError) as caught:
        TuningJob.from_yaml(path)
    assert [problem.line for problem in caught.value.problems] == [2]
    assert "UTF-8" in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TuningJob.from_yaml(tmp_path / "job.yaml")
