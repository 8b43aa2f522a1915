"""From the spec to Azure Machine Learning's job file, and an account of where each field went. Pure: no network, no credentials."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from cloudtune.planning.known_values import Finding
from cloudtune.planning.mode import Reason
from cloudtune.planning.plan import Machines, Plan, Support
from cloudtune.planning.space_account import account_for_space, travel_steps
from cloudtune.planning.translation import Translation
from cloudtune.planning.violations import Violation
from cloudtune.space.parameters import Float, Int, Parameter
from cloudtune.space.space_codec import EncodedDimension
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Bandit, Median, Truncation
from cloudtune.spec.strategies import Grid, Random, Sobol
from cloudtune.store.records import Trial
from cloudtune.trial.commands import text_of
from cloudtune_azureml.capabilities import SUPPORT, reasons
from cloudtune_azureml.rules import problems
from cloudtune_azureml.schema import CommandJob
from cloudtune_azureml.settings import AzureMlSettings
from cloudtune_azureml.space import MERGING, PROVIDER, codec_of, helped, sampling_of, write
from cloudtune_azureml.values import judged, machines_of, unheeded
from cloudtune_azureml.workload import JobWriter, word_of

_NO_ENVIRONMENT = 'no environment to run in; give trial.image, or environment = "azureml:NAME@latest" in the profile'
PARAMETERS = "${parameters}"
"""Stands for the parameters in the command of a driven trial."""

_SWEPT = re.compile(r"\$\{\{\s*search_space\.(\w+)\s*\}\}")


def translate(job: TuningJob, settings: AzureMlSettings | None = None) -> Plan:
    """Return the plan for Azure Machine Learning: the whole job, and a note for each field that is not carried exactly.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose mode says whether the request is a sweep job (managed), or the command job that each trial is
        (driven), as a file of the v2 schema. ``${code}``, ``${run}`` and ``${parameters}`` in it are known when the
        run, or the trial, starts.
    """
    return _Translation(job, settings or AzureMlSettings()).plan()


def bare_request(job: TuningJob, settings: AzureMlSettings | None = None) -> dict[str, Any]:
    """Return the sweep job as the neutral fields alone say it, without the native settings."""
    return _Translation(job, settings or AzureMlSettings()).bare()


def command_of(job: TuningJob, trial: Trial, command: str) -> str:
    """Return the command of a driven trial: its parameters in the place of `PARAMETERS`, or where a sweep would put them."""
    if not helped(job):
        return _SWEPT.sub(lambda found: text_of(trial.parameters.get(found[1], "")), command)
    sent = codec_of(job).encode(trial.parameters)
    return command.replace(PARAMETERS, " ".join(f"--{name}={word_of(text_of(value))}" for name, value in sent.items()))


class _Translation(Translation):
    """One translation of one job to Azure Machine Learning."""

    provider, service, support, merging = PROVIDER, "Azure Machine Learning", SUPPORT, MERGING
    from_profile: ClassVar[Mapping[str, str]] = {
        "compute": "compute.instance",
        "environment": "trial.image",
        "image": "trial.image",
    }

    def __init__(self, job: TuningJob, settings: AzureMlSettings) -> None:
        super().__init__(job)
        self._settings = settings
        self._codec = codec_of(self._job)

    def reasons(self) -> Iterable[Reason]:
        return reasons(self._job, self._codec)

    def machines(self, request: Mapping[str, Any]) -> Machines:
        return machines_of(request)

    def plain_job(self) -> dict[str, Any]:
        writer = JobWriter(self._job, self._settings, self._ledger, "")
        limit = self._job.limits.trial_time
        limits = {} if limit is None else {"limits": {"timeout": writer.seconds(limit, "limits.trial_time", "limits.timeout")}}  # fmt: skip
        self._metrics("command")
        program = writer.program({})
        if "command" in program:
            program["command"] += f" {PARAMETERS}"
        return self._whole({"type": "command", **program, **limits}, writer, {})

    # A sweep job

    def tuning_job(self) -> dict[str, Any]:
        sampling = sampling_of(self._job)
        space = write(self._codec, sampling)
        own = helped(self._job)
        steps = travel_steps(self._job, self._codec, self._more_steps)
        account_for_space(self._ledger, self._job, steps, space.places, "trial.command" if own else "inputs")
        writer = JobWriter(self._job, self._settings, self._ledger, "trial.")
        varied = {name: f"'${{{{search_space.{name}}}}}'" for name in space.space}
        fixed = {name: word_of(text) for name, text in space.fixed.items()}
        self._metrics("trial.command")
        request = {
            "type": "sweep",
            "trial": writer.program({**varied, **fixed}),
            "sampling_algorithm": self._sampling(sampling),
            "search_space": space.space,
            "objective": self._objective(),
            "early_termination": self._stopping(),
            "limits": self._limits(writer),
        }
        given = {name: value for name, value in request.items() if value is not None}
        return self._whole(given, writer, {} if own else space.fixed)

    def _whole(self, request: dict[str, Any], writer: JobWriter, fixed: Mapping[str, str]) -> dict[str, Any]:
        """Return a job with what all jobs have."""
        parts = {"inputs": writer.inputs(fixed), "outputs": writer.outputs(), **writer.machines()}
        return {**writer.rest(), **request, **{name: value for name, value in parts.items() if value}}

    def _sampling(self, sampling: str) -> str | dict[str, Any]:
        strategy = self._job.strategy
        found: dict[str, Any] = {"type": sampling}
        seed = getattr(strategy, "seed", None)
        if isinstance(strategy, Sobol):
            found["rule"] = "sobol"
            self.note("strategy.type", "strategy.sobol", "sampling_algorithm.rule")
        if seed is not None and isinstance(strategy, Random | Sobol):
            found["seed"] = seed
        elif seed is not None:
            self.note("strategy.seed")
        if isinstance(strategy, Grid) and strategy.levels is not None:
            self._ledger.note("strategy.levels", Support.ENCODED, "the grid's values travel as a list", "search_space")
        self._ledger.carry("strategy", "sampling_algorithm")
        return found if len(found) > 1 else sampling

    def _objective(self) -> dict[str, str]:
        objective = self._job.objective[0]
        self._ledger.carry("objective[0].goal", "objective.goal")
        self._ledger.carry("objective[0].metric", "objective.primary_metric")
        if objective.measurement == "best":
            self.note("objective[0].measurement", "objective.measurement")
        elif "measurement" in objective.model_fields_set:
            self.note("objective[0].measurement", "objective.measurement.last")
        return {"goal": objective.goal, "primary_metric": objective.metric}

    def _stopping(self) -> dict[str, Any] | None:
        rule = self._job.stopping
        if rule is None:
            return None
        if isinstance(rule, Auto):
            self.note("stopping", "stopping.auto", "early_termination")
            return {"type": "median_stopping", "evaluation_interval": 1}
        if not isinstance(rule, Bandit | Median | Truncation):
            return None  # refused: the driver alone knows it
        self._ledger.carry("stopping", "early_termination")
        steps = {"evaluation_interval": rule.interval, **({"delay_evaluation": rule.grace} if rule.grace else {})}
        if isinstance(rule, Median):
            return {"type": "median_stopping", **steps}
        if isinstance(rule, Truncation):
            return {"type": "truncation_selection", **steps, "truncation_percentage": rule.percentage}
        slack = {"slack_factor": rule.slack_factor, "slack_amount": rule.slack_amount}
        return {"type": "bandit", **steps, **{name: value for name, value in slack.items() if value is not None}}

    def _limits(self, writer: JobWriter) -> dict[str, int]:
        limits = self._job.limits
        trials = limits.trials or self._codec.space.size or 1
        parallel = self.parallel(trials, "limits.max_concurrent_trials")
        found = {"max_total_trials": trials, "max_concurrent_trials": parallel}
        self._ledger.carry("limits.trials", "limits.max_total_trials")
        for name, field in (("time", "timeout"), ("trial_time", "trial_timeout")):
            limit = getattr(limits, name)
            if limit is not None:
                found[field] = writer.seconds(limit, f"limits.{name}", f"limits.{field}")
        self.note_given("limits", "failed", "target", "no_improvement", "cost")
        return found

    def _metrics(self, target: str) -> None:
        """Account for how metrics are found: by the trial helper, which logs them to MLflow."""
        row = "objective.regex" if helped(self._job) else "objective.regex.native"
        self.note_regexes(row, target if helped(self._job) else "")
        self.note_sources(target, helped=helped(self._job))
        if helped(self._job) and not self._mode.driven:
            self.note("objective[0].metric", "metrics.mlflow", "objective.primary_metric")
        if self._job.metrics:
            self.note("metrics", "metrics" if helped(self._job) else row)

    # The space

    def _more_steps(self, encoded: EncodedDimension) -> Iterator[str]:
        """Yield what else the service does with a parameter; see `travel_steps`."""
        parameter, log = encoded.parameter, getattr(encoded.parameter, "scale", "linear") == "log"
        if isinstance(parameter, Int) and log and not isinstance(self._job.strategy, Grid):
            yield "its ends travel as logarithms, half a step outside"
        if self._loses_scale(parameter):
            yield "its scale is not told: a choice has none"
        if isinstance(parameter, Float) and log:
            yield "its bounds travel as exponents of e"
        if self._codec.parents[encoded.sent_as] is not None:
            yield "travels in the branches of a choice, as a dict"

    def _loses_scale(self, parameter: Parameter) -> bool:
        """Return whether a parameter has a scale and travels as a list of values."""
        native = isinstance(parameter, Int) and parameter.step == 1 and sampling_of(self._job) == "random"
        return getattr(parameter, "scale", "linear") != "linear" and not isinstance(parameter, Float) and not native

    # Native settings, and what the service would say

    def native_of_trial(self, own: Mapping[str, Any]) -> dict[str, Any]:
        patch: dict[str, Any] = {}
        for name, value in own.items():
            if name == "trial" and isinstance(value, Mapping):
                patch.update(value)
                for part in value:
                    self.carry_native(f"trial.{part}", part)
            elif name in CommandJob.model_fields and name not in ("type", "limits"):
                patch[name] = value
                self.carry_native(name, name)
            else:
                self.note_native(name, "is a setting of sweep jobs: of no effect in a driven run")
        return patch

    def findings(self, request: dict[str, Any]) -> Iterator[Finding]:
        yield from judged(request)
        yield from unheeded(request)

    def violations(self, request: dict[str, Any]) -> list[Violation]:
        whole = self._with_what_a_profile_gives(request)
        if self._mode.driven:  # the places of parameters are filled when a trial starts
            whole = {**whole, "command": _SWEPT.sub("value", str(whole["command"]))}
        return problems(whole)

    def _with_what_a_profile_gives(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the job with placeholders for a missing environment or command, and note what is missing."""
        part = request.get("trial", request)
        if not isinstance(part, Mapping):
            return request
        filled = dict(part)
        if not part.get("environment"):
            self.note_missing("trial.image", _NO_ENVIRONMENT)
            filled["environment"] = "azureml:missing:1"
        if not part.get("command"):
            message = "Azure Machine Learning starts no image by itself: give trial.command, or azureml: {trial: {command: …}}"
            self._ledger.note("trial", Support.UNSUPPORTED, message)
            filled["command"] = "missing"
        return {**request, "trial": filled} if "trial" in request else filled
