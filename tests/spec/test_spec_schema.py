"""The JSON Schema for editors says what `from_yaml` accepts."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from amounts import examples
from hypothesis import given, settings

from cloudtune.spec.job import TuningJob
from cloudtune.spec.schema import catalogue_entry, job_schema
from cloudtune.testing.specs import jobs

SCHEMA = job_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

FINE: dict[str, Any] = {
    "name": "digits",
    "trial": {"command": "python train.py"},
    "objective": {"metric": "accuracy", "goal": "maximize"},
    "space": {"x": {"type": "float", "low": 0, "high": 1}},
    "limits": {"trials": 10},
}
ONE = {"type": "constant", "value": 1}


def test_it_is_a_schema_of_its_dialect_with_a_title() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert SCHEMA["title"] == "cloudtune job"


@given(job=jobs())
@settings(max_examples=examples(60), deadline=None)
def test_every_job_is_valid(job: TuningJob) -> None:
    VALIDATOR.validate(job.to_data())


@pytest.mark.parametrize(
    "change",
    [
        {"objective": [FINE["objective"], {"metric": "size", "goal": "minimize"}]},
        {"space": {"k": ONE, "x": {**ONE, "when": {"k": 1}}}},
        {"space": {"k": ONE, "x": {**ONE, "when": {"k": [1]}}}},
        {"space": {"k": {**ONE, "value": True}, "x": {**ONE, "when": {"k": True}}}},
        {"compute": {"accelerators": "T4:2"}},
        {"compute": {"accelerators": {"type": "T4"}}},
        {"compute": {"accelerators": None, "disk": 10, "memory": "8GiB"}},
        {"require": "x <= 1"},
        {"require": ["x <= 1", "x == x"]},
        {"first": [{"x": 1}]},
        {"first": {"x": 1}},
        {"warm_start": ["run-1"]},
        {"warm_start": {"runs": ["run-1"], "kind": "transfer"}},
        {"trial": {"command": ["python", "train.py"], "environment": {"A": 3, "B": 0.5, "C": "x"}}},
        {"limits": {"trials": 1, "time": "PT2H", "trial_time": 90.5}},
        {"output": {"vertex": "gs://bucket"}},
        {"stopping": None, "network": None},
    ],
    ids=str,
)  # fmt: skip
def test_short_and_long_forms_are_valid_for_the_schema_and_for_the_job(change: dict[str, Any]) -> None:
    TuningJob.from_data(FINE | change)
    VALIDATOR.validate(FINE | change)


@pytest.mark.parametrize(
    "change",
    [
        {"strateg": {}},
        {"name": "not a name"},
        {"objective": {"metric": "accuracy"}},
        {"objective": []},
        {"objective": {"metric": "accuracy", "goal": "max"}},
        {"space": {}},
        {"space": {"a b": ONE}},
        {"space": {"x": {"type": "flot", "low": 0, "high": 1}}},
        {"space": {"x": {"low": 0, "high": 1}}},
        {"space": {"x": {"type": "float", "low": "0", "high": 1}}},
        {"space": {"x": {"type": "int", "low": 0, "high": 1, "step": 0}}},
        {"space": {"x": [ONE]}},
        {"space": {"x": {**ONE, "when": {}}}},
        {"space": {"x": {**ONE, "when": {"x": []}}}},
        {"space": {"x": {"type": "categorical", "values": [[1]]}}},
        {"strategy": {"type": "bayesian", "levels": 3}},
        {"strategy": {"seed": 1}},
        {"strategy": "random"},
        {"stopping": {"type": "truncation", "percentage": 100}},
        {"limits": {"trials": 0}},
        {"limits": {"time": True}},
        {"limits": {"trials": 1, "time": 0}},
        {"compute": {"accelerators": {"count": 1}}},
        {"compute": {"cpus": 0}},
        {"require": [""]},
        {"require": [1]},
        {"first": [{}]},
        {"first": [1]},
        {"first": [{"x": [1]}]},
        {"warm_start": []},
        {"trial": {"command": []}},
        {"trial": {"command": "x", "environment": {"BAD": True}}},
        {"tags": {"team": 1}},
        {"data": {"train": {}}},
        {"native": {"mine": 3}},
        {"retries": -1},
    ],
    ids=str,
)
def test_a_mistake_is_one_for_the_schema_and_for_the_job(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="problem"):
        TuningJob.from_data(FINE | change)
    assert not VALIDATOR.is_valid(FINE | change)


def test_every_key_is_described() -> None:
    parts = {"the job": SCHEMA, **SCHEMA["definitions"]}
    silent = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, value in part.get("properties", {}).items()
        if "description" not in value and "const" not in value
    ]
    assert silent == []


def test_a_job_is_imported_without_yaml_and_without_the_schema() -> None:
    code = "import sys, cloudtune.spec.job; print({'yaml', 'cloudtune.spec.schema', 'difflib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_schema_says_its_version_and_everything_has_a_title_and_a_description() -> None:
    from cloudtune import __version__

    version = ".".join(__version__.split(".")[:2])
    assert SCHEMA["$id"] == f"https://www.schemastore.org/cloudtune-{version}.json"
    parts = {"the job": SCHEMA, **SCHEMA["definitions"]}
    assert [name for name, part in parts.items() if not part.get("title") or not part.get("description")] == []
    assert not [name for name, part in parts.items() if part["description"] != part["description"].strip()]


def test_the_entry_of_the_catalogue_keeps_to_schemastores_rules() -> None:
    """Those of its CONTRIBUTING.md and of its catalogue's own schema."""
    entry = catalogue_entry()
    assert set(entry) == {"name", "description", "fileMatch", "url", "versions"}
    assert "schema" not in f"{entry['name']} {entry['description']}".lower()
    assert "\n" not in entry["description"]
    assert not entry["name"].endswith((",", ".", " ", "-"))
    assert not entry["description"].endswith((",", ".", " ", "-"))
    assert entry["url"].startswith("https://www.schemastore.org/")
    assert entry["url"].endswith(".json")
    assert entry["url"] == SCHEMA["$id"] in entry["versions"].values()
    assert entry["fileMatch"] == list(dict.fromkeys(entry["fileMatch"]))
    assert not {"job.yaml", "*.yaml", "config.yaml"} & {*entry["fileMatch"]}  # of other tools, too
    assert all("cloudtune" in name for name in entry["fileMatch"])


def test_the_schema_keeps_to_what_schemastores_checks_take() -> None:
    """Draft 7 at most, and Ajv's strict mode, which takes no type that is one of several."""
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    newer = {
        "$defs",
        "prefixItems",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
        "unevaluatedItems",
    }

    def walk(node: Any, place: str) -> Iterator[str]:
        if isinstance(node, dict):
            if newer & node.keys() or (isinstance(node.get("type"), list) and len({*node["type"]} - {"null"}) > 1):
                yield place
            for key, below in node.items():
                yield from walk(below, f"{place}/{key}")
        elif isinstance(node, list):
            for index, below in enumerate(node):
                yield from walk(below, f"{place}/{index}")

    assert [*walk(SCHEMA, "")] == []
