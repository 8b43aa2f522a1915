"""From the spec to an Experiment, and an account of where each field went. Pure: no network, no credentials."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from cloudtune.bundle.upload import filled
from cloudtune.interop.documents import path_text
from cloudtune.interop.katib.algorithms import Written as Algorithm
from cloudtune.interop.katib.algorithms import algorithm_of, early_stopping_of
from cloudtune.interop.katib.metrics import collector_of, filters_of
from cloudtune.interop.katib.model import API_VERSION, KIND, Experiment, mistakes
from cloudtune.planning.account import Account
from cloudtune.planning.embedded_spec import packed_spec
from cloudtune.planning.plan import Ledger, Support
from cloudtune.planning.space_account import account_for_space, travel_steps
from cloudtune.planning.violations import Violation
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.job import TuningJob, regex_paths
from cloudtune.spec.strategies import Grid, OptunaSampler, Population
from cloudtune_kubernetes.capabilities import SUPPORT
from cloudtune_kubernetes.katib.admission import refusals
from cloudtune_kubernetes.katib.space import POPULATION, Written, algorithm_name, codec_of, loses_its_scale, write
from cloudtune_kubernetes.names import PREFIX, RUN, run_name
from cloudtune_kubernetes.pod import CONTAINER, PROVIDER, helped

TEMPLATE = "spec.trialTemplate.trialSpec"
"""The path of the Job within an Experiment."""

SPEC = f"{PREFIX}/job"
"""The annotation with which the spec travels; see `cloudtune.planning.embedded_spec`."""

RANK = "batch.kubernetes.io/job-completion-index"
"""The label of the pods of an indexed Job (Kubernetes 1.28 or newer)."""

METRICS = "/var/log/katib/metrics.log"
"""Where the trial helper writes what Katib's collector reads, a line of JSON a report."""

CHECKPOINT = "/cloudtune/checkpoint"
"""Where Katib shows a trial of a population the checkpoint that it begins with, and keeps what it leaves."""

_NAME = "cloudtune-trial"
"""The trial's name among the template's parameters: no name of one of the space has a dash."""

_PLACE = f"${{trialParameters.{_NAME}}}"


class ExperimentWriter(Account):
    """Writes the Experiment of a run, and keeps the account of where each field went.

    Args:
        job: the spec.
        ledger: keeps the account.
        codec: of the space.
        namespace: of the profile; None for the context's.
    """

    support = SUPPORT

    def __init__(self, job: TuningJob, ledger: Ledger, codec: SpaceCodec, namespace: str | None) -> None:
        super().__init__(job, ledger)
        self._codec, self._namespace = codec, namespace
        self._helped = helped(job)

    def write(self, trial: dict[str, Any]) -> dict[str, Any]:
        """Return the Experiment.

        Args:
            trial: the Job of one trial, as a driven run makes it.
        """
        space = write(self._codec, algorithm_name(self._job))
        self._account_for_space(space)
        spec = {
            "objective": self._objective(),
            "algorithm": self._algorithm(space),
            "earlyStopping": self._stopping(),
            **self._counts(),
            "resumePolicy": "FromVolume" if self._generations else None,  # without which a population has no volume
            "metricsCollectorSpec": self._collector(),
            "parameters": space.parameters,
            "trialTemplate": self._template(space, trial),
        }
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": self._metadata(trial),
            "spec": {name: part for name, part in spec.items() if part is not None},
        }

    def _metadata(self, trial: Mapping[str, Any]) -> dict[str, Any]:
        self.note("name", "name.katib", "metadata.name")
        own = trial["metadata"].get("labels") or {}
        return {
            "name": "${run}",
            **({"namespace": self._namespace} if self._namespace else {}),
            "labels": {**{key: own[key] for key in own if key in self._job.tags}, RUN: "${run}"},
            **({"annotations": {SPEC: packed_spec(self._job, PROVIDER)}} if self._helped else {}),
        }

    # What is measured

    def _objective(self) -> dict[str, Any]:
        objective, target = self._job.objective[0], "spec.objective"
        self._ledger.carry("objective[0].metric", f"{target}.objectiveMetricName")
        self._ledger.carry("objective[0].goal", f"{target}.type")
        self._ledger.carry("objective[0].measurement", f"{target}.metricStrategies")
        self._ledger.carry("limits.target", f"{target}.goal")
        further = [name for name in self._job.metrics if name != objective.metric and ";" not in name]
        best = {"maximize": "max", "minimize": "min"}[objective.goal]
        strategies = {objective.metric: "latest" if objective.measurement == "last" else best, **dict.fromkeys(further, "latest")}  # fmt: skip
        return {
            "type": objective.goal,
            "objectiveMetricName": objective.metric,
            **({"goal": self._job.limits.target} if self._job.limits.target is not None else {}),
            **({"additionalMetricNames": further} if further else {}),
            "metricStrategies": [{"name": name, "value": value} for name, value in strategies.items()],
        }

    def _collector(self) -> dict[str, Any]:
        target = "spec.metricsCollectorSpec"
        self.note_sources(target, helped=self._helped)
        if self._helped:
            for path in regex_paths(self._job):
                self.note(path, "objective.regex", target)
            for name in self._job.metrics:
                self.note(f"metrics.{name}", "objective.regex", target)
            file = {"path": METRICS, "kind": "File", "format": "JSON"}
            return {"collector": {"kind": "File"}, "source": {"fileSystemPath": file}}
        filters, _ = filters_of(self._job.objective[0], self._job.metrics)
        for path in [*regex_paths(self._job), *(f"metrics.{name}" for name in self._job.metrics)]:
            self.note(path, "objective.regex.native", f"{target}.source.filter.metricsFormat")
        return collector_of(filters)

    # How it is searched

    def _algorithm(self, space: Written) -> dict[str, Any]:
        found = algorithm_of(self._job.strategy, space.varied, None)
        for key, support, message in losses_of(found):
            whole = support is Support.UNSUPPORTED  # then none of its settings is carried
            self._ledger.note("strategy" if whole else f"strategy.{key}", support, message, "spec.algorithm")
        if isinstance(self._job.strategy, Population):
            self.note("strategy", "strategy.population", "spec.algorithm")
            found.settings.pop(
                "resample_probability", None
            )  # Katib's own check of it fails: it compares the text with numbers
            found.put("suggestion_trial_dir", CHECKPOINT)
        elif isinstance(self._job.strategy, Grid):
            self.note("strategy", "strategy.grid", "spec.algorithm")
        elif getattr(self._job.strategy, "seed", None) is not None:
            self.note("strategy.seed", target="spec.algorithm.algorithmSettings")
        if isinstance(self._job.strategy, OptunaSampler):
            self._ledger.note("strategy.sampler", Support.ENCODED, f"as Katib's {found.name}", "spec.algorithm")
        self._ledger.carry("strategy", "spec.algorithm")
        return found.to_data()

    def _stopping(self) -> dict[str, Any] | None:
        if self._job.stopping is None:
            return None
        found, _ = early_stopping_of(self._job.stopping)
        row = "stopping.katib" if self._job.stopping.type == "auto" else "stopping.median"
        self.note("stopping", row, "spec.earlyStopping")
        return found

    def _counts(self) -> dict[str, int]:
        limits, found = self._job.limits, counts_of(self._job)
        few = f"there are {found.get('maxTrialCount')} trials in all"
        for field, name in (
            ("trials", "maxTrialCount"),
            ("parallel", "parallelTrialCount"),
            ("failed", "maxFailedTrialCount"),
        ):
            same, target = getattr(limits, field) == found.get(name), f"spec.{name}" if name in found else ""
            self._ledger.carry_if(same, f"limits.{field}", target or "spec", Support.ENCODED, few)
        self.note_given("limits", "time", "cost", "no_improvement")
        if limits.trial_time is not None and limits.trial_time.total_seconds() % 1:
            self.note(
                "limits.trial_time", "limits.trial_time.part", f"{TEMPLATE}.spec.template.spec.activeDeadlineSeconds"
            )
        return found

    @property
    def _generations(self) -> dict[str, str]:
        """The variables by which a trial is one generation of a member of a population; {} for other strategies."""
        strategy = self._job.strategy
        if not isinstance(strategy, Population):
            return {}
        return {"CLOUDTUNE_CHECKPOINT": CHECKPOINT, "CLOUDTUNE_STEPS": str(strategy.interval)}

    def _account_for_space(self, space: Written) -> None:
        steps = travel_steps(self._job, self._codec)
        account_for_space(self._ledger, self._job, steps, space.places, TEMPLATE)
        for travel in self._codec.encoded_dimensions:
            if loses_its_scale(travel):
                name = travel.dimension.name
                self.note(f"space.{name}", "space.scale", space.places[name])

    # What runs

    def _template(self, space: Written, trial: dict[str, Any]) -> dict[str, Any]:
        run = self._trial(space, trial)
        names = [{"name": name, "reference": name} for name in space.varied]
        named = [{"name": _NAME, "reference": "${trialSpec.Name}"}] if _PLACE in json.dumps(run) else []
        ranks = {"primaryPodLabels": {RANK: "0"}} if self._job.compute.count > 1 else {}
        return {
            "primaryContainerName": CONTAINER,
            **ranks,
            "retain": True,  # what pods have printed is read when they have ended
            "trialParameters": [*names, *named],
            "trialSpec": run,
        }

    def _trial(self, space: Written, trial: dict[str, Any]) -> dict[str, Any]:
        head, spec, template = trial["metadata"], trial["spec"], trial["spec"]["template"]
        labels = {**(head.get("labels") or {}), RUN: "${run}"}
        inside = {**((template.get("metadata") or {}).get("labels") or {}), RUN: "${run}"}
        pod = template["spec"]
        containers = [self._container(space, each) if each["name"] == CONTAINER else each for each in pod["containers"]]
        own = {**template, "metadata": {**(template.get("metadata") or {}), "labels": inside}}
        own["spec"] = {**pod, "containers": containers}
        kept = {name: value for name, value in head.items() if name not in ("name", "namespace", "labels")}
        return {**trial, "metadata": {**kept, "labels": labels}, "spec": {**spec, "template": own}}

    def _container(self, space: Written, container: Mapping[str, Any]) -> dict[str, Any]:
        places = {name: f"${{trialParameters.{name}}}" for name in space.varied}
        env = [_of_trial(each) for each in container.get("env", ())]
        if not self._helped:
            words = [f"--{name}={text}" for name, text in {**places, **space.fixed}.items()]
            return {**container, "env": env, "args": [*container.get("args", ()), *words]}
        values = json.dumps({**places, **space.fixed})
        own = {"CLOUDTUNE_VALUES": values, "CLOUDTUNE_PLACE": _PLACE, "CLOUDTUNE_METRICS": METRICS, **self._generations}
        return {**container, "env": [*env, *({"name": name, "value": value} for name, value in own.items())]}


def _of_trial(variable: dict[str, Any]) -> dict[str, Any]:
    """Return a variable with the trial's name as Katib puts it there."""
    if "value" not in variable:
        return variable
    return {**variable, "value": variable["value"].replace("${trial}", _PLACE)}


def experiment_name(job: TuningJob, run_id: str) -> str:
    """Return the name of a run's Experiment; Katib adds 37 characters for a trial of a population, of which 63 may be."""
    return run_name(job.name, run_id, 26) if isinstance(job.strategy, Population) else run_name(job.name, run_id)


def counts_of(job: TuningJob) -> dict[str, int]:
    """Return the counts of an Experiment; Katib refuses more at a time, or more failures, than there are trials."""
    limits, trials = job.limits, job.limits.trials
    if isinstance(job.strategy, Grid):
        size = codec_of(job).space.size
        trials = size if trials is None or size is None else min(trials, size)
    if isinstance(job.strategy, Population):
        trials = job.strategy.members * math.ceil(job.strategy.max_resource / job.strategy.interval)
    most = limits.parallel if trials is None else min(limits.parallel, trials)
    failed = limits.failed if limits.failed is None or trials is None or limits.failed <= trials else None
    counts = {"parallelTrialCount": most, "maxTrialCount": trials, "maxFailedTrialCount": failed}
    return {name: count for name, count in counts.items() if count is not None}


def losses_of(algorithm: Algorithm) -> Iterable[tuple[str, Support, str]]:
    """Return what an algorithm does otherwise than its strategy, but for what `Translation` itself accounts for."""
    if algorithm.name == "hyperband":  # refused as a whole; see `cloudtune_kubernetes.katib.reasons`
        return []
    if algorithm.name == POPULATION:  # of which the table says the rest
        return [each for each in algorithm.losses if each[1] is Support.UNSUPPORTED]
    return [each for each in algorithm.losses if each[0] not in ("prior", "cost_aware", "seed")]


def with_trial(request: Mapping[str, Any], run: str, trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Experiment without anything left open.

    Args:
        request: of the plan.
        run: the run's name in the cluster.
        trial: the Job of a trial, without anything left open.
    """
    made: dict[str, Any] = filled(request, {"run": run}.get)
    made["spec"]["trialTemplate"]["trialSpec"] = dict(trial)
    return made


def mistakes_of(request: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield what Katib would refuse of an Experiment."""
    try:
        made = Experiment.model_validate(request)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            yield Violation(path_text(each["loc"]), each["msg"].lower())
        return
    for steps, message in mistakes(made.spec):
        yield Violation(path_text(steps), message)
    yield from refusals(made.spec)
