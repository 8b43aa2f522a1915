"""The leaves of a spec, on which every plan's account stands."""

from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from pydantic import BaseModel

from cloudtune.job import TuningJob
from cloudtune.plan import Ledger, Note, Plan, Support, covers, leaves
from cloudtune.testing.specs import jobs


def written(path: str, value: Any) -> list[str]:
    """The leaves of a job's data, found by walking what would be written down."""
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in written(f"{path}.{key}", part)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [leaf for index, part in enumerate(value) for leaf in written(f"{path}[{index}]", part)]
    return [] if value in (None, []) else [path.removeprefix(".")]


@given(job=jobs())
@settings(max_examples=100, deadline=None)
def test_every_leaf_that_is_written_down_is_a_leaf(job: TuningJob) -> None:
    data: Any = job.to_data()
    if isinstance(data["objective"], dict):
        data["objective"] = [data["objective"]]
    found = {path for path, _ in leaves(job)}
    lists_of_native = {path for path in written("", data) if not any(covers(leaf, path) for leaf in found)}
    assert not lists_of_native


@given(job=jobs())
@settings(max_examples=60, deadline=None)
def test_no_leaf_stands_twice_and_none_is_empty(job: TuningJob) -> None:
    found = list(leaves(job))
    paths = [path for path, _ in found]
    assert len(paths) == len(set(paths)) or any("." in key or "[" in key for key in _keys(job))
    assert all(value is not None and not isinstance(value, BaseModel) for _, value in found)


def _keys(value: Any) -> list[str]:
    """All keys of mappings in a job: those with dots or brackets may make two paths alike."""
    if isinstance(value, BaseModel):
        return [key for _, part in value for key in _keys(part)]
    if isinstance(value, dict):
        return [*value, *(key for part in value.values() for key in _keys(part))]
    return [key for part in value for key in _keys(part)] if isinstance(value, tuple | list) else []


@given(job=jobs())
@settings(max_examples=40, deadline=None)
def test_a_ledger_loses_no_leaf(job: TuningJob) -> None:
    ledger = Ledger("nowhere")
    ledger.carry("name", "Name")
    ledger.note("space", Support.ENCODED, "as an index")
    plan = ledger.close(job, "managed", {})
    assert all(plan.support(path) is not None for path, _ in leaves(job))
    assert plan.support("name") is Support.EXACT
    assert plan.support("trial.command") in (Support.UNSUPPORTED, None)
    assert all(plan.support(path) is Support.ENCODED for path, _ in leaves(job) if path.startswith("space."))
    assert Plan.from_data(plan.to_data()) == plan


def test_the_worst_note_of_a_leaf_counts() -> None:
    notes = (Note("limits", Support.ENCODED, ""), Note("limits.time", Support.WATCHED, ""))
    plan = Plan("nowhere", "managed", {}, {"limits.time": "x", "data": "y"}, notes)
    assert plan.support("limits.time") is Support.WATCHED
    assert plan.support("limits.trials") is Support.ENCODED
    assert plan.support("data.train.vertex") is Support.EXACT
    assert plan.support("database") is None


@pytest.mark.parametrize(
    ("path", "leaf", "expected"),
    [("a", "a", True), ("a", "a.b", True), ("a", "a[0].b", True), ("a", "ab", False), ("a.b", "a", False)],
)
def test_a_path_covers_itself_and_what_is_below_it(path: str, leaf: str, expected: bool) -> None:
    assert covers(path, leaf) is expected


def _fields(model: type[BaseModel]) -> set[str]:
    return {name for name in model.model_fields if name != "type"}


@pytest.mark.parametrize("field", sorted(_fields(TuningJob)))
def test_generated_jobs_reach_every_field(field: str) -> None:
    default = TuningJob.model_fields[field].default
    settled = settings(
        max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    job = find(jobs(), lambda job: getattr(job, field) not in (default, None, {}, ()), settings=settled)
    assert field in job.to_data()


@pytest.mark.parametrize("part", ["trial", "limits", "compute", "network", "encryption", "warm_start"])
def test_generated_jobs_reach_every_field_of_each_part(part: str) -> None:
    seen: set[str] = set()

    @given(job=jobs())
    @settings(max_examples=60, deadline=None, database=None)
    def collect(job: TuningJob) -> None:
        seen.update(job.to_data().get(part) or {})  # type: ignore[arg-type]

    collect()
    annotation = TuningJob.model_fields[part].annotation
    models = [annotation, *getattr(annotation, "__args__", ())]
    (model,) = [one for one in models if isinstance(one, type) and issubclass(one, BaseModel)]
    assert seen == set(model.model_fields)
