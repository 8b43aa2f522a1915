"""From the spec to Vertex AI's request, and an account of where each field went. Pure: no network, no credentials."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from cloudtune.planning.mode import Mode
from cloudtune.planning.plan import Beside, Ledger, Plan, Support
from cloudtune.space.codecs import NumberAsText
from cloudtune.space.space_codec import EncodedDimension, fixed_steps, listed_steps
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
from cloudtune_vertex.workload import JobSpecWriter, encryption_of, with_environment

_GOALS = {"maximize": "MAXIMIZE", "minimize": "MINIMIZE"}
_MEASUREMENTS = {"last": "LAST_MEASUREMENT", "best": "BEST_MEASUREMENT"}
_NO_IMAGE = 'no image to run in; give trial.image, or image = "…" in the profile'


def translate(job: TuningJob, settings: VertexSettings | None = None) -> Plan:
    """The plan for Vertex AI: the whole request, and a note for each field that is not carried as it stands.

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
    """The HyperparameterTuningJob as the neutral fields alone say it, without the native settings."""
    return _Translation(job, settings or VertexSettings()).bare()


def native_request(job: TuningJob, settings: VertexSettings | None = None) -> dict[str, Any]:
    """The request of a job with the values of its environment variables, which a plan masks.

    Raises:
        UnsupportedError: Vertex AI cannot run the job as it stands.
    """
    plan = translate(job, settings)
    plan.refuse()
    return with_values(plan.request, job.trial.environment)


def with_values(request: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """A request with the values of environment variables where a plan has masks."""
    return {
        name: with_environment(part, values) if name in ("trialJobSpec", "jobSpec") else part
        for name, part in request.items()
    }


def arguments_of(job: TuningJob, trial: Trial) -> list[str]:
    """The arguments of the custom job that a driven trial is."""
    return arguments(codec_of(job).encode(trial.parameters) if helped(job) else trial.parameters)


class _Translation:
    """One translation of one job."""

    def __init__(self, job: TuningJob, settings: VertexSettings) -> None:
        self._job = job
        self._settings = settings
        self._ledger = Ledger(PROVIDER)
        self._codec = codec_of(job)
        self._mode = Mode(job, SUPPORT, partial(reasons, job, self._codec))

    def plan(self) -> Plan:
        self._account_for_the_rest()
        request = self._custom_job() if self._mode.driven else self._tuning_job()
        request = self._with_native(request)
        self._check(request)
        return self._ledger.close(self._job, self._mode.name, request, machines_of(request))

    def bare(self) -> dict[str, Any]:
        """See `bare_request`."""
        return self._tuning_job()

    # A custom job a trial

    def _custom_job(self) -> dict[str, Any]:
        self._mode.note_why_driven(self._ledger)
        for path in (
            "objective",
            "metrics",
            "strategy",
            "stopping",
            "limits",
            "retries",
            "warm_start",
            "space",
            "mode",
        ):
            self._ledger.carry(path, Beside.DRIVER)
        writer = JobSpecWriter(self._job, self._settings, self._ledger, "jobSpec")
        self._metrics()
        return self._resource({"jobSpec": writer.write([])})

    # A tuning job

    def _tuning_job(self) -> dict[str, Any]:
        self._mode.note_unsupported(self._ledger)
        space = write(self._codec)
        self._account_for_space(space.places)
        study = self._study()
        study["parameters"] = space.specs
        writer = JobSpecWriter(self._job, self._settings, self._ledger, "trialJobSpec")
        self._metrics()
        self._ledger.carry("mode", Beside.PLAN)
        if not self._job.retries:
            self._ledger.carry("retries", Beside.DEFAULT)
        request = {"studySpec": study, **self._limits(study), "trialJobSpec": writer.write(arguments(space.fixed))}
        return self._resource(request)

    def _resource(self, request: dict[str, Any]) -> dict[str, Any]:
        """A job with what all jobs have."""
        self._ledger.carry("name", "displayName")
        request = {"displayName": self._job.name, **request}
        labels = self._labels()
        if labels:
            request["labels"] = labels
        encryption = encryption_of(self._job, self._ledger)
        return request if encryption is None else {**request, "encryptionSpec": encryption}

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
        study: dict[str, Any] = {"metrics": self._objectives(), "measurementSelectionType": self._measurement()}
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
            self._ledger.note("strategy.seed", *SUPPORT["strategy.seed"])
        self._stopping(study)
        return study

    def _objectives(self) -> list[dict[str, str]]:
        for index in range(len(self._job.objective)):
            place = f"studySpec.metrics[{index}]"
            self._metric_name(index, f"{place}.metricId")
            self._ledger.carry(f"objective[{index}].goal", f"{place}.goal")
            self._ledger.carry(f"objective[{index}].measurement", "studySpec.measurementSelectionType")
        return [{"metricId": metric_id(each.metric), "goal": _GOALS[each.goal]} for each in self._job.objective]

    def _metric_name(self, index: int, target: str) -> None:
        name, path = self._job.objective[index].metric, f"objective[{index}].metric"
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
            self._ledger.note("stopping", *SUPPORT["stopping.auto"], "studySpec.decayCurveStoppingSpec")
        elif isinstance(self._job.stopping, Median):
            study["medianAutomatedStoppingSpec"] = {}
            self._ledger.note("stopping", *SUPPORT["stopping.median"], "studySpec.medianAutomatedStoppingSpec")

    def _metrics(self) -> None:
        """Accounts for how metrics are found: by the trial helper, or not at all."""
        place = "jobSpec" if self._mode.driven else "trialJobSpec"
        target = f"{place}.workerPoolSpecs[0].containerSpec.command" if helped(self._job) else ""
        row = "objective.regex" if helped(self._job) else "objective.regex.native"
        for index, objective in enumerate(self._job.objective):
            if objective.regex is not None:
                self._ledger.note(f"objective[{index}].regex", *SUPPORT[row], target)
        if self._job.metrics and not self._mode.driven:
            self._ledger.note("metrics", *SUPPORT["metrics.managed"])
        elif self._job.metrics:
            self._ledger.note("metrics", *SUPPORT["metrics" if helped(self._job) else row], target)

    # Limits

    def _limits(self, study: dict[str, Any]) -> dict[str, int]:
        limits = self._job.limits
        trials = limits.trials or self._codec.space.size or 1
        found = {"maxTrialCount": trials, "parallelTrialCount": min(limits.parallel, trials)}
        self._ledger.carry("limits.trials", "maxTrialCount")
        few = f"there are {trials} trials in all"
        self._ledger.carry_if(limits.parallel <= trials, "limits.parallel", "parallelTrialCount", Support.ENCODED, few)
        if limits.failed is not None:
            found["maxFailedTrialCount"] = limits.failed
            self._ledger.carry("limits.failed", "maxFailedTrialCount")
        stopping = self._study_stopping()
        if stopping:
            study["studyStoppingConfig"] = stopping
        for name in ("target", "cost"):
            if getattr(limits, name) is not None:
                self._ledger.note(f"limits.{name}", *SUPPORT[f"limits.{name}"])
        return found

    def _study_stopping(self) -> dict[str, Any]:
        limits, place = self._job.limits, "studySpec.studyStoppingConfig"
        stopping: dict[str, Any] = {}
        if limits.time is not None:
            stopping["maximumRuntimeConstraint"] = {"maxDuration": duration_text(limits.time.total_seconds())}
            self._ledger.note("limits.time", *SUPPORT["limits.time"], f"{place}.maximumRuntimeConstraint.maxDuration")
        if limits.no_improvement is not None:
            stopping["maxNumTrialsNoProgress"] = limits.no_improvement
            target = f"{place}.maxNumTrialsNoProgress"
            self._ledger.note("limits.no_improvement", *SUPPORT["limits.no_improvement"], target)
        return stopping

    # The space

    def _account_for_space(self, places: Mapping[str, str]) -> None:
        said: dict[str, list[str]] = {}
        for travel in self._codec.encoded_dimensions:
            said.setdefault(travel.dimension.name, []).extend(self._steps(travel))
        fixed = "trialJobSpec.workerPoolSpecs[0].containerSpec.args"
        for name, place in places.items():
            steps = list(dict.fromkeys([*said[name], *([] if place else fixed_steps(self._job.space[name]))]))
            if steps:
                self._ledger.note(f"space.{name}", Support.ENCODED, "; ".join(steps), place or fixed)
            else:  # a condition stands beside its parameter
                self._ledger.carry(f"space.{name}", place.removesuffix(".parameterSpec") or fixed)
                self._account_for_condition(name, place.removesuffix(".parameterSpec"))

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

    def _steps(self, travel: EncodedDimension) -> Iterator[str]:
        """How a parameter that does not travel as it stands does."""
        if travel.sent_as != travel.dimension.name:
            yield f"is called {travel.sent_as}"
        # A number travels as its text and comes back as itself: that is Vertex AI's own way.
        yield from (codec.describe() for codec in travel.codecs if not isinstance(codec, NumberAsText))
        grid = isinstance(self._job.strategy, Grid)
        yield from listed_steps(self._job.space[travel.dimension.name], travel.parameter, grid=grid)
        if self._codec.masked(travel):
            waste = ", which wastes trials" if isinstance(self._job.strategy, Bayesian) else ""
            yield f"is always sampled{waste}; the trial does not see it where its condition does not hold"

    # What stands beside

    def _account_for_the_rest(self) -> None:
        self._ledger.carry("strict", Beside.PLAN)
        self._ledger.note_other_natives(self._job, *SUPPORT["native"])

    # Native settings, and what the service would say

    def _with_native(self, request: dict[str, Any]) -> dict[str, Any]:
        own = self._job.native_settings("vertex")
        if not own:
            return request
        patch = self._of_custom_job(own) if self._mode.driven else self._of_tuning_job(own)
        patched: dict[str, Any] = MERGING.merge(request, patch)
        return patched

    def _of_tuning_job(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in own:
            self._ledger.carry(f"vertex.{name}", name)
        return own

    def _of_custom_job(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What the native settings say of the trials' jobs holds for a custom job as well."""
        shared = {"trialJobSpec": "jobSpec", "labels": "labels", "encryptionSpec": "encryptionSpec"}
        patch = {}
        for name, value in own.items():
            if name in shared:
                patch[shared[name]] = value
                self._ledger.carry(f"vertex.{name}", shared[name])
            else:
                message = "is a setting of tuning jobs: of no effect in a driven run"
                self._ledger.note(f"vertex.{name}", Support.APPROXIMATE, message)
        return patch

    def _check(self, request: Mapping[str, Any]) -> None:
        message = "CustomJob" if self._mode.driven else "HyperparameterTuningJob"
        native = self._job.native_settings("vertex") if not self._mode.driven else {}
        form, _ = normal(request, message)
        for target, verdict in (*judged(form), *unheeded(form, native, message)):
            self._ledger.judge(self._path_of(target), verdict, target)
        self._ledger.judge("location", regions().judge(self._settings.location))
        whole = self._with_what_a_profile_gives(request)
        for violation in problems(whole, message):
            refused = f"Vertex AI refuses {violation.path}: {violation.message}"
            self._ledger.note(self._path_of(violation.path), Support.UNSUPPORTED, refused)

    def _with_what_a_profile_gives(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request with something in the place of an image that nobody gave, which is noted."""
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
        if "trial.image" not in {path for path, _ in self._ledger.targets()}:
            self._ledger.note("trial.image", Support.UNSUPPORTED, _NO_IMAGE)
        return {**pool, "containerSpec": {**container, "imageUri": "missing"}}

    def _path_of(self, target: str) -> str:
        """The field of the spec that a field of the request came from."""
        other = _OF_THE_PROFILE.get(target.rpartition(".")[2], f"vertex.{target}")
        return self._ledger.field_at(self._job, target) or other


_OF_THE_PROFILE = {"machineType": "compute.instance", "serviceAccount": "identity", "imageUri": "trial.image"}
"""Fields of the spec for fields of a request that a profile gives where the spec says nothing."""
