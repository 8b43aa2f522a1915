"""A study of Vizier is imported: a live one goes on, one of a file is learnt from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.errors import ConfigError, SpecError
from cloudtune.interop.formats import load_format
from cloudtune.search import Search

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from cloudtune_vertex.emulator import VertexEmulator

PARAMETERS = [
    {"parameterId": "lr", "doubleValueSpec": {"minValue": 0.001, "maxValue": 1.0}, "scaleType": "UNIT_LOG_SCALE"},
    {"parameterId": "n", "integerValueSpec": {"maxValue": "9"}},
    {
        "parameterId": "c",
        "categoricalValueSpec": {"values": ["1", "2"]},
        "conditionalParameterSpecs": [
            {
                "parentCategoricalValues": {"values": ["1"]},
                "parameterSpec": {"parameterId": "d", "discreteValueSpec": {"values": [1.0, 10.0]}},
            }
        ],
    },
]
TRIAL = {
    "state": "SUCCEEDED",
    "parameters": [{"parameterId": "lr", "value": 0.5}, {"parameterId": "n"}, {"parameterId": "c", "value": "1"}, {"parameterId": "d", "value": 10.0}],
    "finalMeasurement": {"metrics": [{"metricId": "acc", "value": 0.75}]},
}  # fmt: skip


def study(**fields: Any) -> dict[str, Any]:
    spec = {"metrics": [{"metricId": "acc"}], "parameters": PARAMETERS, "medianAutomatedStoppingSpec": {}}
    return {"displayName": "My study", "studySpec": {**spec, **fields}}


def written(folder: Path, data: Any) -> str:
    (folder / "study.json").write_text(json.dumps(data))
    return str(folder / "study.json")


def test_a_file_becomes_a_job_and_a_table_of_its_trials(tmp_path: Path) -> None:
    broken = {"state": "INFEASIBLE", "parameters": TRIAL["parameters"]}
    data = {**study(), "trials": [TRIAL, broken]}
    data["trials"][0]["parameters"][1]["value"] = 0.0
    assert load_format("vizier").recognises(data)
    found = load_format("vizier").read(written(tmp_path, data))
    assert found.job.to_data()["space"] == {
        "lr": {"type": "float", "low": 0.001, "high": 1.0, "scale": "log"},
        "n": {"type": "int", "low": 0, "high": 9},
        "c": {"type": "categorical", "values": [1, 2]},
        "d": {"type": "ordinal", "values": [1, 10], "when": {"c": 1}},
    }
    assert [(each.metric, each.goal) for each in found.job.objective] == [("acc", "maximize")]
    assert found.trials == ({"lr": 0.5, "n": 0, "c": 1, "d": 10, "acc": 0.75},)
    assert found.job.search_space().contains({"lr": 0.5, "n": 0, "c": 1, "d": 10})


@pytest.mark.parametrize(
    ("data", "message"),
    [({"displayName": "x"}, "no Study with a studySpec"), ({"studySpec": {"metrics": []}}, "names nothing to search")],
)
def test_what_is_no_study_is_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_format("vizier").read(written(tmp_path, data))
    with pytest.raises(ConfigError, match="is no study; its full name is"):
        load_format("vizier").read("projects/p/studies/1")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_format("vizier").read(str(tmp_path / "none.json"))


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexEmulator]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").touch()
    with VertexEmulator(seed=3, transport="rest") as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator


def test_a_live_study_goes_on_with_all_that_it_knows(emulator: VertexEmulator) -> None:
    from google.cloud import aiplatform_v1 as v1

    from cloudtune_vertex.client import Google
    from cloudtune_vertex.vizier.places import settings_of
    from cloudtune_vertex.vizier.spec import VizierSpec

    google = Google(settings_of(VizierSpec()))
    made = google.vizier.create_study(parent=google.parent, study=v1.Study.from_json(json.dumps(study())))
    (trial,) = google.vizier.suggest_trials({"parent": made.name, "client_id": "theirs", "suggestion_count": 1}).result().trials  # fmt: skip
    google.vizier.complete_trial({"name": trial.name, "final_measurement": {"metrics": [{"metric_id": "acc", "value": 0.5}]}})  # fmt: skip
    found = load_format("vizier").read(made.name)
    assert found.trials == ()
    assert found.job.to_data()["strategy"] == {
        "type": "vizier",
        "project": emulator.project,
        "location": emulator.location,
        "study": made.name,
        "early_stopping": "median",
    }
    search = Search(found.job.space, found.job.objective, found.job.strategy)
    suggested = search.ask()
    assert suggested is not None
    search.tell(suggested, {"acc": 0.25})
    ended = {each.client_id: each.state.name for each in google.vizier.list_trials(parent=made.name)}
    assert ended == {"theirs": "SUCCEEDED", "search.0": "SUCCEEDED"}
