"""The leaves of a spec, on which every plan's account stands."""

from collections import Counter
from typing import Any, get_args

import pytest
from amounts import examples
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cloudtune.planning.plan import Ledger, Note, Plan, Support, covers, leaves
from cloudtune.space.parameters import Float
from cloudtune.spec.job import TuningJob
from cloudtune.testing.specs import jobs


def written(path: str, value: Any) -> list[str]:
    """The leaves of a job's data, found by walking what would be written down."""
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in written(f"{path}.{key}", part)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [leaf for index, part in enumerate(value) for leaf in written(f"{path}[{index}]", part)]
    return [] if value in (None, []) else [path.removeprefix(".")]


@given(job=jobs())
@settings(max_examples=examples(100), deadline=None)
def test_every_leaf_that_is_written_down_is_a_leaf(job: TuningJob) -> None:
    data: Any = job.to_data()
    if isinstance(data["objective"], dict):
        data["objective"] = [data["objective"]]
    found = {path for path, _ in leaves(job)}
    assert [path for path in written("", data) if not any(covers(leaf, path) for leaf in found)] == []


@given(job=jobs(space={"x": Float(low=0, high=1)}, texts=st.from_regex(r"[a-z]{1,5}", fullmatch=True)))
@settings(max_examples=examples(60), deadline=None)
def test_no_leaf_stands_twice_and_none_is_empty(job: TuningJob) -> None:
    found = list(leaves(job))
    assert max(Counter(path for path, _ in found).values()) == 1
    assert all(value is not None and not isinstance(value, BaseModel) for _, value in found)


@given(job=jobs())
@settings(max_examples=examples(40), deadline=None)
def test_a_ledger_loses_no_leaf(job: TuningJob) -> None:
    ledger = Ledger("nowhere")
    ledger.carry("name", "Name")
    ledger.note("space", Support.ENCODED, "as an index")
    plan = ledger.close(job, "managed", {})
    assert all(plan.support(path) is not None for path, _ in leaves(job))
    assert plan.support("name") is Support.EXACT
    lost = [path for path, _ in leaves(job) if path.startswith("trial.")]
    assert lost
    assert all(plan.support(path) is Support.UNSUPPORTED for path in lost)
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


def _models(annotation: Any) -> list[type[BaseModel]]:
    """All models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _fields(model: type[BaseModel]) -> set[tuple[str, str]]:
    """Every field of a model and of the models below it: the model's name and the field's."""
    below = [part for info in model.model_fields.values() for part in _models(info.annotation)]
    own = {(model.__name__, name) for name in model.model_fields}
    return own.union(*map(_fields, below))


def _said(value: Any) -> set[tuple[str, str]]:
    """Every field in a job that has another value than its default, or needs one."""
    if isinstance(value, BaseModel):
        infos = type(value).model_fields
        said = {
            (type(value).__name__, name)
            for name, part in value
            if name == "type" or infos[name].is_required() or part != infos[name].default
        }
        return said.union(*(_said(part) for _, part in value))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return set().union(*map(_said, parts))


@pytest.mark.timeout(900)
@pytest.mark.complete  # it tests the generators of tests, by thousands of jobs
def test_generated_jobs_reach_every_field_of_the_spec() -> None:
    seen: set[tuple[str, str]] = set()
    for number in range(20):  # what is generated depends on the modules that are loaded, too: until all has been seen

        @seed(number)
        @given(job=jobs())
        @settings(max_examples=examples(100), deadline=None, database=None)
        def collect(job: TuningJob) -> None:
            seen.update(_said(job))

        collect()
        if seen == _fields(TuningJob):
            return
    assert seen == _fields(TuningJob)
