"""From the spec to an experiment of Kiln, with an account of every field, and back. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.planning.embedded_spec import packed_spec, unpacked_spec
from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.plan import Ledger, Plan, Support
from cloudtune.planning.translation import with_environment
from cloudtune.provider import managed_plan
from cloudtune.space.parameters import Constant, Float, Int, Parameter
from cloudtune.space.space_codec import Flattened, linear_codecs
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import MASK

NAME, SOURCE = "kiln", "Kiln's experiment"
_MERGING = Merging(("name", "metric"))
_SPEC = "CLOUDTUNE_SPEC"

SUPPORT = {
    **managed_plan.MANAGED_SUPPORT,
    "strategy": (Support.APPROXIMATE, "Kiln draws at random, whatever the strategy"),
    "kiln": (Support.EXACT, ""),
}


def translate(job: TuningJob) -> Plan:
    """Return the plan of a job; it is always managed."""
    ledger = Ledger(NAME)
    return managed_plan.close(ledger, job, bare_request(job, ledger), SUPPORT, _MERGING)


def codec_of(job: TuningJob) -> Flattened:
    """Return how a job's space travels: Kiln knows ranges, choices, and no conditions."""
    return Flattened(job.search_space(), linear_codecs)


def bare_request(job: TuningJob, ledger: Ledger) -> dict[str, Any]:
    """Return the experiment as the neutral fields alone say it; environment variables are masked."""
    codec, limits = codec_of(job), job.limits
    seed = getattr(job.strategy, "seed", None) if job.strategy.type == "random" else None
    places = managed_plan.inputs(ledger, job, "kiln://cloudtune", "env", SUPPORT)
    request = {
        "title": job.name,
        "goals": [each.model_dump(exclude={"regex"}) for each in job.objective],
        "search": {"method": "random"} if seed is None else {"method": "random", "seed": seed},
        "knobs": [_knob(name, parameter) for name, parameter in codec.encode_space().items()],
        "trials": limits.trials or codec.space.size or 1,
        "at_once": limits.parallel,
        "seconds": None if limits.trial_time is None else limits.trial_time.total_seconds(),
        "image": pick(job.trial.image, NAME),
        "machine": pick(job.compute.instance, NAME),
        "program": "kiln://cloudtune/${code}/trial.py",
        "env": {**dict.fromkeys(job.trial.environment, MASK), **places, _SPEC: packed_spec(job, NAME)},
        "labels": dict(job.tags),
    }
    fields = {"name": "title", "objective": "goals", "trial.environment": "env", "trial.image": "image"}
    fields |= {"limits.trials": "trials", "limits.parallel": "at_once", "limits.trial_time": "seconds"}
    fields |= {"compute.instance": "machine", "tags": "labels"}
    fields |= {} if job.strategy.type != "random" else {"strategy": "search"}
    managed_plan.carry_fields(ledger, job, fields)
    managed_plan.note_space(ledger, job, codec, "knobs")
    return {name: value for name, value in request.items() if value is not None}


def _knob(name: str, parameter: Parameter) -> dict[str, Any]:
    if isinstance(parameter, Int | Float):
        kind = "whole" if isinstance(parameter, Int) else "real"
        return {"name": name, "kind": kind, "low": parameter.low, "high": parameter.high}
    values = [parameter.value] if isinstance(parameter, Constant) else getattr(parameter, "values", ())
    return {"name": name, "kind": "choice", "options": list(values)}


def parse(data: Any) -> TuningJob:
    """Return the spec of an experiment, whose native settings say the rest of it; raise SpecError for other data."""
    if not isinstance(data, Mapping) or not {"title", "goals", "knobs", "program"} <= data.keys():
        raise SpecError([Problem("", "it is no experiment, which has title, goals, knobs and program")], SOURCE)
    variables = dict(data.get("env", {}))
    spec = unpacked_spec(variables.pop(_SPEC, ""))
    job = TuningJob.from_data(dict(_neutral(data, variables)) if spec is None else spec, SOURCE)
    values = {name: variables.get(name, value) for name, value in job.trial.environment.items()}
    job = job.model_copy(update={"trial": job.trial.model_copy(update={"environment": values})})
    ours = with_environment(bare_request(job, Ledger(NAME)), values, "env")
    return job.model_copy(update={NAME: _MERGING.difference(ours, dict(data))})


def _neutral(data: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    yield "name", data["title"]
    yield "trial", {"image": data.get("image", "kiln"), "environment": variables}
    yield "objective", data["goals"]
    yield "space", {each["name"]: _parameter(each) for each in data["knobs"]}
    yield "strategy", {"type": "random", "seed": data.get("search", {}).get("seed")}
    yield "limits", {"trials": data["trials"], "parallel": data.get("at_once", 1), "trial_time": data.get("seconds")}
    yield "tags", data.get("labels", {})


def _parameter(knob: Mapping[str, Any]) -> dict[str, Any]:
    if knob["kind"] == "choice":
        return {"type": "categorical", "values": knob["options"]}
    return {"type": "float" if knob["kind"] == "real" else "int", "low": knob["low"], "high": knob["high"]}
