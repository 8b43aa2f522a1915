"""What of an experiment a job cannot say: the native settings that make the job's own experiment the given one."""

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
    """What makes the job's own experiment the wanted one.

    Args:
        job: without native settings.
        wanted: the experiment as data. Numbers in it are spelled as we do, so that no setting is needed for ``0.10``.
        experiment: the same.
        names: for each parameter of Katib's the job's.
        budget: the parameter by which Hyperband gives trials their budget, as Katib calls it.
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
    """What of the trial's template is native."""
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
    """Spells the numbers of the wanted experiment as ours does."""
    spec = wanted["spec"]
    spaces = {each["name"]: each["feasibleSpace"] for each in ours["spec"]["parameters"]}
    for parameter in spec["parameters"]:
        if parameter["parameterType"] != "categorical":
            parameter["feasibleSpace"] = as_ours(spaces.get(parameter["name"]), parameter["feasibleSpace"])
    goal = ours["spec"]["objective"].get("goal")
    spec["objective"] = {**spec["objective"], **({} if goal is None else {"goal": goal})}


_OWN_WORDS = (
    NAMES,
    "metadata.name",
    "spec.metricsCollectorSpec",
    "spec.trialTemplate.trialParameters",
    "spec.trialTemplate.primaryContainerName",
    "spec.trialTemplate.trialSpec.kind",
    "spec.trialTemplate.trialSpec.apiVersion",
)
"""What Katib alone needs to be told, and what means nothing elsewhere."""


def told(native: Mapping[str, Any], noted: Sequence[str]) -> list[str]:
    """The places of native settings that are worth telling, without those of which there is a note already."""
    said = tuple(path.partition("[")[0] for path in noted if path)
    found = dict.fromkeys(path for path in _leaves(native) if not path.startswith((*said, *_OWN_WORDS)))
    return list(found)


def _leaves(value: Data, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The places of what is kept; lists count as one."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif value is not None:
        yield path_text(path)
