"""The provider's parser and the emulator, which share no code, read the same sweep out of a request."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from amounts import examples
from azureml_sweeps import sweeps
from fuzzing import damaged
from hypothesis import HealthCheck, given, settings
from late import LATE

from cloudtune.space.parameters import Categorical, LogNormal, Normal, Parameter
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.parse import parse

if LATE:
    pytest.importorskip("azure.ai.ml")
    from azure.ai.ml import load_job

    from cloudtune.emulation.refused import Refused
    from cloudtune_azureml.emulator.model import Job, job_of
    from cloudtune_azureml.emulator.rules import check
    from cloudtune_azureml.emulator.searching import Search


def body_of(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request that the SDK sends for a file whose assets are in the workspace already."""
    trial = {**sweep["trial"], "environment": "azureml:own:1"}
    if not str(trial.get("code", "azureml:")).startswith("azureml:"):
        del trial["code"]
    inputs = sweep.get("inputs", {})
    if isinstance(inputs.get("data"), dict):
        inputs = {**inputs, "data": {"type": "uri_folder", "path": "azureml://datastores/d/paths/p"}}
    file = {**sweep, "trial": trial, "inputs": inputs}
    job: Any = load_job(io.StringIO(yaml.safe_dump(file)))
    return dict(plain(job._to_rest_object()))


def plain(value: Any) -> Any:
    """Return one of the SDK's models as it goes over the wire."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def choices(space: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of every choice without branches."""
    for expression in space.values():
        values = expression.get("values", ()) if isinstance(expression, Mapping) else ()
        branches = [value for value in values if isinstance(value, Mapping)]
        if values and not branches:
            yield tuple(values)
        for branch in branches:
            yield from choices(branch)


def parameters(job: TuningJob, plain: list[tuple[Any, ...]]) -> list[str]:
    """Return what each parameter of a space is, without its name and that of a branch, which the readers choose."""
    found: list[Parameter] = []
    for entry in job.space.values():
        found += entry if isinstance(entry, tuple) else [entry]  # type: ignore[list-item]
    return sorted(described(each, plain) for each in found)


def described(parameter: Parameter, plain: list[tuple[Any, ...]]) -> str:
    own = parameter.model_dump(mode="json", exclude={"when"})
    if isinstance(parameter, Normal | LogNormal):
        own.pop("step")  # the emulator rounds where it tells a value
    if isinstance(parameter, Categorical) and parameter.values not in plain:
        own["values"] = len(parameter.values)
    return f"{own} {'in a branch' if parameter.when else ''}"


def agree(ours: TuningJob, theirs: Job, plain: list[tuple[Any, ...]]) -> None:
    """Fail unless both readers found the same sweep."""
    check(theirs)
    assert theirs.sweep is not None
    search = Search(theirs.sweep).job
    assert parameters(ours, plain) == parameters(search, plain)
    assert (ours.strategy, ours.stopping) == (search.strategy, search.stopping)
    assert [(each.metric, each.goal) for each in ours.objective] == [(each.metric, each.goal) for each in search.objective]  # fmt: skip
    limits = ours.limits
    assert (limits.trials, limits.parallel, limits.time) == (search.limits.trials, search.limits.parallel, search.limits.time)  # fmt: skip
    longest = None if limits.trial_time is None else limits.trial_time.total_seconds()
    assert longest == theirs.program.timeout


@given(sweeps())
@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_sweep_is_read_alike_by_both(sweep: dict[str, Any]) -> None:
    body = body_of(sweep)
    agree(parse(sweep), job_of("x", body), list(choices(sweep["search_space"])))
    agree(parse({**body, "name": "x"}), job_of("x", body), list(choices(sweep["search_space"])))


SPACE = {"x": ["quniform", [0.05, 0.95, 0.1]], "n": ["randint", [5]], "m": ["choice", [["a", "b"]]]}
BODY: dict[str, Any] = {
    "jobType": "Sweep", "searchSpace": SPACE, "objective": {"goal": "Minimize", "primaryMetric": "loss"},
    "samplingAlgorithm": {"samplingAlgorithmType": "Random"}, "limits": {"maxTotalTrials": 4, "timeout": "P1DT1H", "trialTimeout": "PT90S"},
    "trial": {"command": "python x.py ${{search_space.x}}", "environmentId": "azureml:own:1"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, {"time": 90_000.0}),
        ({"limits": {"maxTotalTrials": 4, "maxConcurrentTrials": 9}}, {"parallel": 4}),
        ({"earlyTermination": {"policyType": "MedianStopping", "delayEvaluation": 3}}, {"grace": 3}),
        ({"earlyTermination": {"policyType": "TruncationSelection", "truncationPercentage": 30}}, {"percentage": 30}),
        ({"samplingAlgorithm": {"samplingAlgorithmType": "Random", "rule": "Sobol", "seed": 0}}, {"type": "sobol"}),
        ({"samplingAlgorithm": {"samplingAlgorithmType": "Bayesian"}, "searchSpace": {"x": SPACE["x"]}}, {"type": "bayesian"}),
    ],
)  # fmt: skip
def test_a_body_is_read_alike_by_both(change: dict[str, Any], seen: dict[str, Any]) -> None:
    body = {"name": "x", "properties": {**BODY, **change}}
    ours, theirs = parse(body), job_of("x", body)
    agree(ours, theirs, [("a", "b")])
    assert theirs.sweep is not None
    job = Search(theirs.sweep).job
    found = {
        **job.limits.model_dump(),
        **job.strategy.model_dump(),
        **(job.stopping.model_dump() if job.stopping else {}),
    }
    found["time"] = job.limits.time.total_seconds() if job.limits.time else None
    assert {name: found[name] for name in seen} == seen


WHOLE = {
    **BODY,
    "searchSpace": {**SPACE, "b": ["choice", [[{"k": "a", "z": ["normal", [0, 1]]}, {"k": "b"}]]]},
    "samplingAlgorithm": {"samplingAlgorithmType": "Random", "seed": 1, "rule": "Random"},
    "earlyTermination": {"policyType": "Bandit", "slackFactor": 0.1, "evaluationInterval": 1, "delayEvaluation": 2},
    "inputs": {"d": {"jobInputType": "uri_file", "uri": "azureml:d:1"}, "n": {"jobInputType": "literal", "value": "5"}},
    "outputs": {"o": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount"}},
    "tags": {"a": "b"},
}


@pytest.mark.parametrize("seed", range(300))
def test_a_damaged_body_is_read_or_refused(seed: int) -> None:
    body = {"properties": damaged(WHOLE, random.Random(seed))}
    with contextlib.suppress(Refused):  # anything else would be an answer that no client can read
        job = job_of("x", body)
        check(job)
        if job.sweep is not None:
            assert Search(job.sweep).job.space
