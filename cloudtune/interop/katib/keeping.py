"""Native settings that keep those parts of an experiment that a job cannot express."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune.interop.documents import path_text
from cloudtune.interop.katib.algorithms import RESOURCE
from cloudtune.interop.katib.model import JOB, Data, Experiment
from cloudtune.interop.katib.own import NAME, NAMES
from cloudtune.interop.katib.templates import MERGING, as_ours, containers, hollow, resolved
from cloudtune.interop.katib.writing import Writer
from cloudtune.spec.job import TuningJob


def native_of(
    job: TuningJob, wanted: dict[str, Any], experiment: Experiment, names: Mapping[str, str], budget: str | None
) -> dict[str, Any]:
    """Return the native settings with which the job is exported as the wanted experiment.

    Args:
        job: the job without native settings.
        wanted: the experiment as data, which is changed: its numbers are respelled as in our export, so that ``0.10``
            needs no setting.
        experiment: the same experiment as a model.
        names: the job's parameter names by Katib's.
        budget: Katib's name of the parameter with the budget of Hyperband's trials; None for none.
    """
    called = {ours: theirs for theirs, ours in names.items() if theirs != ours}
    known: dict[str, Any] = {NAMES: called} if called else {}
    named = {"spec": {"algorithm": {"algorithmSettings": [{"name": RESOURCE, "value": budget}]}}}
    writer = Writer(job.model_copy(update={"native": {NAME: {**known, **(named if budget else {})}}}))
    top = writer.top()
    _spell_as(top, wanted)
    native = {**known, **MERGING.difference(top, _without_trial_spec(wanted))}
    template = experiment.spec.trial_template
    if template.trial_spec is None:
        return native
    theirs = {each.name: names.get(each.reference, each.reference) for each in template.trial_parameters}
    own = _own_template(writer, wanted, template.primary_container_name, {ours: name for name, ours in theirs.items()})
    if own:
        spec = native.get("spec", {})
        native["spec"] = {**spec, "trialTemplate": {**spec.get("trialTemplate", {}), "trialSpec": own}}
    return native


def _own_template(writer: Writer, wanted: dict[str, Any], primary: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the native part of the trial's template."""
    members = resolved(writer.members(), names)
    template: dict[str, Any] = wanted["spec"]["trialTemplate"]["trialSpec"]
    for container in containers(template, primary):
        if "resources" in container:
            container["resources"] = as_ours(members.get("resources"), container["resources"])
    own: dict[str, Any]
    if template["kind"] == JOB:
        own = MERGING.difference(resolved(writer.job_template(primary), names), template)
    else:
        own = hollow(template, primary, members)
    return own


def _without_trial_spec(experiment: Mapping[str, Any]) -> dict[str, Any]:
    spec = experiment["spec"]
    template = {name: part for name, part in spec["trialTemplate"].items() if name != "trialSpec"}
    return {**experiment, "spec": {**spec, "trialTemplate": template}}


def _spell_as(ours: Mapping[str, Any], wanted: dict[str, Any]) -> None:
    """Respell the numbers of the wanted experiment as in our export."""
    spec = wanted["spec"]
    spaces = {each["name"]: each["feasibleSpace"] for each in ours["spec"]["parameters"]}
    for parameter in spec["parameters"]:
        if parameter["parameterType"] != "categorical":
            parameter["feasibleSpace"] = as_ours(spaces.get(parameter["name"]), parameter["feasibleSpace"])
    goal = ours["spec"]["objective"].get("goal")
    spec["objective"] = {**spec["objective"], **({} if goal is None else {"goal": goal})}


_KATIB_ONLY = (
    NAMES,
    "metadata.name",
    "spec.metricsCollectorSpec",
    "spec.trialTemplate.trialParameters",
    "spec.trialTemplate.primaryContainerName",
    "spec.trialTemplate.trialSpec.kind",
    "spec.trialTemplate.trialSpec.apiVersion",
)
"""Native settings that have no meaning outside of Katib and are not reported to the user."""


def paths_to_report(native: Mapping[str, Any], noted: Sequence[str]) -> list[str]:
    """Return the paths of native settings to report to the user, without those that have a note already."""
    noted_paths = tuple(path.partition("[")[0] for path in noted if path)
    found = dict.fromkeys(path for path in _leaves(native) if not path.startswith((*noted_paths, *_KATIB_ONLY)))
    return list(found)


def _leaves(value: Data, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the paths of all leaves; a list counts as one."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif value is not None:
        yield path_text(path)
