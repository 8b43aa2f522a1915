"""From the spec to Vertex AI's request, and an account of where each field went. Pure: no network, no credentials."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from cloudtune.planning.known_values import Finding
from cloudtune.planning.mode import Reason
from cloudtune.planning.plan import Machines, Plan, Support
from cloudtune.planning.space_account import account_for_space, travel_steps
from cloudtune.planning.translation import Translation
from cloudtune.planning.violations import Violation
from cloudtune.space.codecs import NumberAsText
from cloudtune.spec.constraint import bound_number
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid
from cloudtune.store.records import Trial
from cloudtune_vertex.capabilities import SUPPORT, reasons
from cloudtune_vertex.container import metric_id
from cloudtune_vertex.names import legal, legal_key
from cloudtune_vertex.rules import problems
from cloudtune_vertex.schema import duration_text, normal
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.space import MERGING, PROVIDER, arguments, codec_of, helped, write
from cloudtune_vertex.values import judged, machines_of, regions, unheeded
from cloudtune_vertex.workload import JobSpecWriter

_GOALS = {"maximize": "MAXIMIZE", "minimize": "MINIMIZE"}
_MEASUREMENTS = {"last": "LAST_MEASUREMENT", "best": "BEST_MEASUREMENT"}
_NO_IMAGE = 'no image to run in; give trial.image, or image = "…" in the profile'


def translate(job: TuningJob, settings: VertexSettings | None = None) -> Plan:
    """Return the plan for Vertex AI: the whole request, and a note for each field that is not carried exactly.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose mode says whether the request is a HyperparameterTuningJob (managed), or the CustomJob that each
        trial is (driven), in the JSON of the REST API. ``${bucket}``, ``${code}``, ``${run}`` and ``${data:NAME}`` in
        it are known when the run starts.
    """
    return _Translation(job, settings or VertexSettings()).plan()


def bare_request(job: TuningJob, settings: VertexSettings | None = None) -> dict[str, Any]:
    """Return the HyperparameterTuningJob as the neutral fields alone say it, without the native settings."""
    return _Translation(job, settings or VertexSettings()).bare()


def arguments_of(job: TuningJob, trial: Trial) -> list[str]:
    """Return the arguments of the custom job that runs a driven trial."""
    return arguments(codec_of(job).encode(trial.parameters) if helped(job) else trial.parameters)


class _Translation(Translation):
    """One translation of one job to Vertex AI."""

    provider, service, support, merging = PROVIDER, "Vertex AI", SUPPORT, MERGING
    from_profile: ClassVar[Mapping[str, str]] = {
        "machineType": "compute.instance",
        "serviceAccount": "identity",
        "imageUri": "trial.image",
    }

    def __init__(self, job: TuningJob, settings: VertexSettings) -> None:
        super().__init__(job)
        self._settings = settings
        self._codec = codec_of(self._job)

    def reasons(self) -> Iterable[Reason]:
        return reasons(self._job, self._codec)

    def machines(self, request: Mapping[str, Any]) -> Machines | None:
        return machines_of(request)

    def plain_job(self) -> dict[str, Any]:
        writer = JobSpecWriter(self._job, self._settings, self._ledger, "jobSpec")
        self._metrics()
        return self._resource({"jobSpec": writer.write([])}, writer)

    # A tuning job

    def tuning_job(self) -> dict[str, Any]:
        space = write(self._codec)
        self._account_for_space(space.places)
        study = self._study()
        study["parameters"] = space.specs
        writer = JobSpecWriter(self._job, self._settings, self._ledger, "trialJobSpec")
        self._metrics()
        request = {"studySpec": study, **self._limits(study), "trialJobSpec": writer.write(arguments(space.fixed))}
        return self._resource(request, writer)

    def _resource(self, request: dict[str, Any], writer: JobSpecWriter) -> dict[str, Any]:
        """Return a job with what all jobs have."""
        self._ledger.carry("name", "displayName")
        labels = self._labels()
        return {
            "displayName": self._job.name,
            **request,
            **({"labels": labels} if labels else {}),
            **writer.encryption(),
        }

    def _labels(self) -> dict[str, str]:
        labels = {}
        for key, value in self._job.tags.items():
            name, text = legal_key(key), legal(value)
            labels[name] = text
            if (name, text) == (key, value):
                self._ledger.carry(f"tags.{key}", f"labels.{name}")
            else:
                message = f"{SUPPORT['tags.legal'][1]}: {name}={text}"
                self._ledger.note(f"tags.{key}", Support.APPROXIMATE, message, f"labels.{name}")
        return labels

    # The study

    def _study(self) -> dict[str, Any]:
        study: dict[str, Any] = {
            "metrics": [*self._objectives(), *self._safety_metrics()],
            "measurementSelectionType": self._measurement(),
        }
        strategy = self._job.strategy
        algorithm = (
            "" if isinstance(strategy, Bayesian) else "GRID_SEARCH" if isinstance(strategy, Grid) else "RANDOM_SEARCH"
        )
        if algorithm:
            study["algorithm"] = algorithm
        self._ledger.carry("strategy", "studySpec.algorithm" if algorithm else "studySpec")
        if isinstance(strategy, Grid) and strategy.levels is not None:
            message = "the grid's values travel as a list"
            self._ledger.note("strategy.levels", Support.ENCODED, message, "studySpec.parameters")
        if getattr(strategy, "seed", None) is not None:
            self.note("strategy.seed")
        self._stopping(study)
        return study

    def _objectives(self) -> list[dict[str, str]]:
        for index in range(len(self._job.objective)):
            place = f"studySpec.metrics[{index}]"
            self._metric_name(f"objective[{index}]", self._job.objective[index].metric, f"{place}.metricId")
            self._ledger.carry(f"objective[{index}].goal", f"{place}.goal")
            self._ledger.carry(f"objective[{index}].measurement", "studySpec.measurementSelectionType")
        return [{"metricId": metric_id(each.metric), "goal": _GOALS[each.goal]} for each in self._job.objective]

    def _safety_metrics(self) -> list[dict[str, Any]]:
        """Return the constraints as the service has them: metrics with a threshold on the side of their goal."""
        found: list[dict[str, Any]] = []
        for index, constraint in enumerate(self._job.constraints):
            path, place = f"constraints[{index}]", f"studySpec.metrics[{len(self._job.objective) + index}]"
            self._metric_name(path, constraint.metric, f"{place}.metricId")
            field, bound = ("max", constraint.max) if constraint.max is not None else ("min", constraint.min)
            assert bound is not None
            self._ledger.carry(f"{path}.{field}", f"{place}.safetyConfig.safetyThreshold")
            goal = _GOALS["minimize" if field == "max" else "maximize"]
            safety = {"safetyThreshold": bound_number(bound)}
            found.append({"metricId": metric_id(constraint.metric), "goal": goal, "safetyConfig": safety})
        if found:
            self.note("constraints", target="studySpec.metrics")
        return found

    def _metric_name(self, owner: str, name: str, target: str) -> None:
        path = f"{owner}.metric"
        if metric_id(name) == name:
            self._ledger.carry(path, target)
        elif helped(self._job):
            self._ledger.note(path, Support.ENCODED, f"is called {metric_id(name)}: no white space there", target)
        else:
            message = f"is called {metric_id(name)}: no white space there; the program must report that"
            self._ledger.note(path, Support.APPROXIMATE, message, target)

    def _measurement(self) -> str:
        return _MEASUREMENTS[self._job.objective[0].measurement]

    def _stopping(self, study: dict[str, Any]) -> None:
        if isinstance(self._job.stopping, Auto):
            study["decayCurveStoppingSpec"] = {}
            self.note("stopping", "stopping.auto", "studySpec.decayCurveStoppingSpec")
        elif isinstance(self._job.stopping, Median):
            study["medianAutomatedStoppingSpec"] = {}
            self.note("stopping", "stopping.median", "studySpec.medianAutomatedStoppingSpec")

    def _metrics(self) -> None:
        """Account for how metrics are found: by the trial helper, or not at all."""
        place = "jobSpec" if self._mode.driven else "trialJobSpec"
        target = f"{place}.workerPoolSpecs[0].containerSpec.command" if helped(self._job) else ""
        row = "objective.regex" if helped(self._job) else "objective.regex.native"
        self.note_regexes(row, target)
        self.note_sources(target, helped=helped(self._job))
        if self._job.metrics and not self._mode.driven:
            self.note("metrics", "metrics.managed")
        elif self._job.metrics:
            self.note("metrics", "metrics" if helped(self._job) else row, target)

    # Limits

    def _limits(self, study: dict[str, Any]) -> dict[str, int]:
        limits = self._job.limits
        trials = limits.trials or self._codec.space.size or 1
        found = {"maxTrialCount": trials, "parallelTrialCount": self.parallel(trials, "parallelTrialCount")}
        self._ledger.carry("limits.trials", "maxTrialCount")
        if limits.failed is not None:
            found["maxFailedTrialCount"] = limits.failed
            self._ledger.carry("limits.failed", "maxFailedTrialCount")
        stopping = self._study_stopping()
        if stopping:
            study["studyStoppingConfig"] = stopping
        self.note_given("limits", "target", "cost")
        return found

    def _study_stopping(self) -> dict[str, Any]:
        limits, place = self._job.limits, "studySpec.studyStoppingConfig"
        stopping: dict[str, Any] = {}
        if limits.time is not None:
            stopping["maximumRuntimeConstraint"] = {"maxDuration": duration_text(limits.time.total_seconds())}
            self.note("limits.time", target=f"{place}.maximumRuntimeConstraint.maxDuration")
        if limits.no_improvement is not None:
            stopping["maxNumTrialsNoProgress"] = limits.no_improvement
            target = f"{place}.maxNumTrialsNoProgress"
            self.note("limits.no_improvement", target=target)
        return stopping

    # The space

    def _account_for_space(self, places: Mapping[str, str]) -> None:
        steps = travel_steps(self._job, self._codec)
        fixed = "trialJobSpec.workerPoolSpecs[0].containerSpec.args"
        for name in account_for_space(self._ledger, self._job, steps, places, fixed):
            self._account_for_condition(name, places[name])

    def _account_for_condition(self, name: str, place: str) -> None:
        """Note a condition whose values do not travel as they stand: they do as those of the parameter that it is on."""
        found = [each for each in self._codec.encoded_dimensions if each.dimension.name == name]
        parent = self._codec.parents[found[0].sent_as]
        if parent is None:
            return
        steps = [codec.describe() for codec in parent.codecs if not isinstance(codec, NumberAsText)]
        if steps:
            message = f"its values travel as those of {parent.dimension.name}, which {'; '.join(steps)}"
            self._ledger.note(f"space.{name}.when", Support.ENCODED, message, place)

    # Native settings, and what the service would say

    def native_of_trial(self, own: Mapping[str, Any]) -> dict[str, Any]:
        shared = {"trialJobSpec": "jobSpec", "labels": "labels", "encryptionSpec": "encryptionSpec"}
        patch = {}
        for name, value in own.items():
            if name in shared:
                patch[shared[name]] = value
                self.carry_native(name, shared[name])
            else:
                self.note_native(name)
        return patch

    @property
    def _message(self) -> str:
        """The name of the request's type."""
        return "CustomJob" if self._mode.driven else "HyperparameterTuningJob"

    def findings(self, request: dict[str, Any]) -> Iterator[Finding]:
        native = self._job.native_settings(PROVIDER) if not self._mode.driven else {}
        form, _ = normal(request, self._message)
        yield from judged(form)
        yield from unheeded(form, native, self._message)
        self._ledger.judge("location", regions().judge(self._settings.location))

    def violations(self, request: dict[str, Any]) -> list[Violation]:
        return problems(self._with_what_a_profile_gives(request), self._message)

    def _with_what_a_profile_gives(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the request with a placeholder for a missing image, and note that it is missing."""
        name = "jobSpec" if self._mode.driven else "trialJobSpec"
        spec = request.get(name)
        pools = spec.get("workerPoolSpecs") if isinstance(spec, Mapping) else None
        if not isinstance(spec, Mapping) or not isinstance(pools, list):
            return request
        filled = [self._with_image(pool) for pool in pools]
        return {**request, name: {**spec, "workerPoolSpecs": filled}}

    def _with_image(self, pool: Any) -> Any:  # native settings may have put anything there
        container = pool.get("containerSpec") if isinstance(pool, Mapping) else None
        if not isinstance(container, Mapping) or container.get("imageUri"):
            return pool
        self.note_missing("trial.image", _NO_IMAGE)
        return {**pool, "containerSpec": {**container, "imageUri": "missing"}}
