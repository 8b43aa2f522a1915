"""From the spec to Azure Machine Learning's job file, and an account of where each field went. Pure: no network, no credentials."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from cloudtune.planning.mode import Mode
from cloudtune.planning.plan import Beside, Ledger, Plan, Support
from cloudtune.space.codecs import NumberAsText
from cloudtune.space.parameters import Float, Int, Parameter
from cloudtune.space.space_codec import EncodedDimension, fixed_steps, listed_steps
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
from cloudtune_azureml.workload import JobWriter, seconds_of, with_values, word_of

_NO_ENVIRONMENT = 'no environment to run in; give trial.image, or environment = "azureml:NAME@latest" in the profile'
PARAMETERS = "${parameters}"
"""Stands for the parameters in the command of a driven trial."""

_SWEPT = re.compile(r"\$\{\{\s*search_space\.(\w+)\s*\}\}")


def translate(job: TuningJob, settings: AzureMlSettings | None = None) -> Plan:
    """The plan for Azure Machine Learning: the whole job, and a note for each field that is not carried as it stands.

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
    """The sweep job as the neutral fields alone say it, without the native settings."""
    return _Translation(job, settings or AzureMlSettings()).bare()


def native_request(job: TuningJob, settings: AzureMlSettings | None = None) -> dict[str, Any]:
    """The job's file with the values of its environment variables, which a plan masks.

    Raises:
        UnsupportedError: Azure Machine Learning cannot run the job as it stands.
    """
    plan = translate(job, settings)
    plan.refuse()
    return with_values(plan.request, job.trial.environment)


def command_of(job: TuningJob, trial: Trial, command: str) -> str:
    """The command of a driven trial: its parameters in the place of `PARAMETERS`, or where a sweep would put them."""
    if not helped(job):
        return _SWEPT.sub(lambda found: text_of(trial.parameters.get(found[1], "")), command)
    sent = codec_of(job).encode(trial.parameters)
    return command.replace(PARAMETERS, " ".join(f"--{name}={word_of(text_of(value))}" for name, value in sent.items()))


class _Translation:
    """One translation of one job."""

    def __init__(self, job: TuningJob, settings: AzureMlSettings) -> None:
        self._job = job
        self._settings = settings
        self._ledger = Ledger(PROVIDER)
        self._codec = codec_of(job)
        self._mode = Mode(job, SUPPORT, partial(reasons, job, self._codec))

    def plan(self) -> Plan:
        self._account_for_the_rest()
        request = self._command_job() if self._mode.driven else self._sweep_job()
        request = self._with_native(request)
        self._check(request)
        return self._ledger.close(self._job, self._mode.name, request, machines_of(request))

    def bare(self) -> dict[str, Any]:
        """See `bare_request`."""
        return self._sweep_job()

    # A command job a trial

    def _command_job(self) -> dict[str, Any]:
        self._mode.note_why_driven(self._ledger)
        for path in ("objective", "metrics", "strategy", "stopping", "retries", "warm_start", "space", "mode"):
            self._ledger.carry(path, Beside.DRIVER)
        writer = JobWriter(self._job, self._settings, self._ledger, "")
        limit = self._job.limits.trial_time
        limits = {} if limit is None else {"limits": {"timeout": seconds_of(limit, "limits.trial_time", "limits.timeout", self._ledger)}}  # fmt: skip
        self._ledger.carry("limits", Beside.DRIVER)
        self._metrics("command")
        program = writer.program({})
        if "command" in program:
            program["command"] += f" {PARAMETERS}"
        return self._whole({"type": "command", **program, **limits}, writer, {})

    # A sweep job

    def _sweep_job(self) -> dict[str, Any]:
        self._mode.note_unsupported(self._ledger)
        sampling = sampling_of(self._job)
        space = write(self._codec, sampling)
        own = helped(self._job)
        self._account_for_space(space.places, "trial.command" if own else "inputs")
        writer = JobWriter(self._job, self._settings, self._ledger, "trial.")
        varied = {name: f"'${{{{search_space.{name}}}}}'" for name in space.space}
        fixed = {name: word_of(text) for name, text in space.fixed.items()}
        self._metrics("trial.command")
        self._ledger.carry("mode", Beside.PLAN)
        if not self._job.retries:
            self._ledger.carry("retries", Beside.DEFAULT)
        request = {
            "type": "sweep",
            "trial": writer.program({**varied, **fixed}),
            "sampling_algorithm": self._sampling(sampling),
            "search_space": space.space,
            "objective": self._objective(),
            "early_termination": self._stopping(),
            "limits": self._limits(),
        }
        given = {name: value for name, value in request.items() if value is not None}
        return self._whole(given, writer, {} if own else space.fixed)

    def _whole(self, request: dict[str, Any], writer: JobWriter, fixed: Mapping[str, str]) -> dict[str, Any]:
        """A job with what all jobs have."""
        parts = {"inputs": writer.inputs(fixed), "outputs": writer.outputs(), **writer.machines()}
        return {**writer.rest(), **request, **{name: value for name, value in parts.items() if value}}

    def _sampling(self, sampling: str) -> str | dict[str, Any]:
        strategy = self._job.strategy
        found: dict[str, Any] = {"type": sampling}
        seed = getattr(strategy, "seed", None)
        if isinstance(strategy, Sobol):
            found["rule"] = "sobol"
            self._ledger.note("strategy.type", *SUPPORT["strategy.sobol"], "sampling_algorithm.rule")
        if seed is not None and isinstance(strategy, Random | Sobol):
            found["seed"] = seed
        elif seed is not None:
            self._ledger.note("strategy.seed", *SUPPORT["strategy.seed"])
        if isinstance(strategy, Grid) and strategy.levels is not None:
            self._ledger.note("strategy.levels", Support.ENCODED, "the grid's values travel as a list", "search_space")
        self._ledger.carry("strategy", "sampling_algorithm")
        return found if len(found) > 1 else sampling

    def _objective(self) -> dict[str, str]:
        objective = self._job.objective[0]
        self._ledger.carry("objective[0].goal", "objective.goal")
        self._ledger.carry("objective[0].metric", "objective.primary_metric")
        if objective.measurement == "best":
            self._ledger.note("objective[0].measurement", *SUPPORT["objective.measurement"])
        elif "measurement" in objective.model_fields_set:
            self._ledger.note("objective[0].measurement", *SUPPORT["objective.measurement.last"])
        return {"goal": objective.goal, "primary_metric": objective.metric}

    def _stopping(self) -> dict[str, Any] | None:
        rule = self._job.stopping
        if rule is None:
            return None
        if isinstance(rule, Auto):
            self._ledger.note("stopping", *SUPPORT["stopping.auto"], "early_termination")
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

    def _limits(self) -> dict[str, int]:
        limits, ledger = self._job.limits, self._ledger
        trials = limits.trials or self._codec.space.size or 1
        found = {"max_total_trials": trials, "max_concurrent_trials": min(limits.parallel, trials)}
        ledger.carry("limits.trials", "limits.max_total_trials")
        few = f"there are {trials} trials in all"
        target = "limits.max_concurrent_trials"
        ledger.carry_if(limits.parallel <= trials, "limits.parallel", target, Support.ENCODED, few)
        if limits.time is not None:
            found["timeout"] = seconds_of(limits.time, "limits.time", "limits.timeout", ledger)
        if limits.trial_time is not None:
            found["trial_timeout"] = seconds_of(limits.trial_time, "limits.trial_time", "limits.trial_timeout", ledger)
        for name in ("failed", "target", "no_improvement", "cost"):
            if getattr(limits, name) is not None:
                ledger.note(f"limits.{name}", *SUPPORT[f"limits.{name}"])
        return found

    def _metrics(self, target: str) -> None:
        """Accounts for how metrics are found: by the trial helper, which logs them to MLflow."""
        row = "objective.regex" if helped(self._job) else "objective.regex.native"
        for index, objective in enumerate(self._job.objective):
            if objective.regex is not None:
                self._ledger.note(f"objective[{index}].regex", *SUPPORT[row], target if helped(self._job) else "")
        if helped(self._job) and not self._mode.driven:
            self._ledger.note("objective[0].metric", *SUPPORT["metrics.mlflow"], "objective.primary_metric")
        if self._job.metrics:
            self._ledger.note("metrics", *SUPPORT["metrics" if helped(self._job) else row])

    # The space

    def _account_for_space(self, places: Mapping[str, str], fixed: str) -> None:
        said: dict[str, list[str]] = {}
        for travel in self._codec.encoded_dimensions:
            said.setdefault(travel.dimension.name, []).extend(self._steps(travel))
        for name, place in places.items():
            steps = list(dict.fromkeys([*said[name], *([] if place else fixed_steps(self._job.space[name]))]))
            if steps:
                self._ledger.note(f"space.{name}", Support.ENCODED, "; ".join(steps), place or fixed)
            else:
                self._ledger.carry(f"space.{name}", place or fixed)

    def _steps(self, travel: EncodedDimension) -> Iterator[str]:
        """How a parameter that does not travel as it stands does."""
        if travel.sent_as != travel.dimension.name:
            yield f"is called {travel.sent_as}"
        yield from (codec.describe() for codec in travel.codecs if not isinstance(codec, NumberAsText))
        grid = isinstance(self._job.strategy, Grid)
        yield from listed_steps(self._job.space[travel.dimension.name], travel.parameter, grid=grid)
        if isinstance(travel.parameter, Int) and travel.parameter.scale == "log" and not grid:
            yield "its ends travel as logarithms, half a step outside"
        if self._loses_scale(travel.parameter):
            yield "its scale is not told: a choice has none"
        if isinstance(travel.parameter, Float) and travel.parameter.scale == "log":
            yield "its bounds travel as exponents of e"
        if self._codec.parents[travel.sent_as] is not None:
            yield "travels in the branches of a choice, as a dict"
        if self._codec.masked(travel):
            waste = ", which wastes trials" if sampling_of(self._job) == "bayesian" else ""
            yield f"is always sampled{waste}; the trial does not see it where its condition does not hold"

    def _loses_scale(self, parameter: Parameter) -> bool:
        """Whether a parameter has a scale and travels as a list of values."""
        native = isinstance(parameter, Int) and parameter.step == 1 and sampling_of(self._job) == "random"
        return getattr(parameter, "scale", "linear") != "linear" and not isinstance(parameter, Float) and not native

    # What stands beside

    def _account_for_the_rest(self) -> None:
        self._ledger.carry("strict", Beside.PLAN)
        self._ledger.note_other_natives(self._job, *SUPPORT["native"])

    # Native settings, and what the service would say

    def _with_native(self, request: dict[str, Any]) -> dict[str, Any]:
        own = self._job.native_settings("azureml")
        if not own:
            return request
        patch = self._of_command_job(own) if self._mode.driven else self._of_sweep_job(own)
        patched: dict[str, Any] = MERGING.merge(request, patch)
        return patched

    def _of_sweep_job(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in own:
            self._ledger.carry(f"azureml.{name}", name)
        return own

    def _of_command_job(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What the native settings say of a sweep's trials holds for a command job as well."""
        patch: dict[str, Any] = {}
        for name, value in own.items():
            if name == "trial" and isinstance(value, Mapping):
                patch.update(value)
                for part in value:
                    self._ledger.carry(f"azureml.trial.{part}", part)
            elif name in CommandJob.model_fields and name not in ("type", "limits"):
                patch[name] = value
                self._ledger.carry(f"azureml.{name}", name)
            else:
                message = "is a setting of sweep jobs: of no effect in a driven run"
                self._ledger.note(f"azureml.{name}", Support.APPROXIMATE, message)
        return patch

    def _check(self, request: Mapping[str, Any]) -> None:
        for target, verdict in (*judged(request), *unheeded(request)):
            self._ledger.judge(self._path_of(target), verdict, target)
        whole = self._with_what_a_profile_gives(request)
        if self._mode.driven:  # the places of parameters are filled when a trial starts
            whole = {**whole, "command": _SWEPT.sub("value", str(whole["command"]))}
        for violation in problems(whole):
            message = f"Azure Machine Learning refuses {violation.path}: {violation.message}"
            self._ledger.note(self._path_of(violation.path), Support.UNSUPPORTED, message)

    def _with_what_a_profile_gives(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The job with something in the place of an environment or a command that nobody gave, which is noted."""
        part = request.get("trial", request)
        if not isinstance(part, Mapping):
            return request
        filled = dict(part)
        if not part.get("environment"):
            if "trial.image" not in {path for path, _ in self._ledger.targets()}:
                self._ledger.note("trial.image", Support.UNSUPPORTED, _NO_ENVIRONMENT)
            filled["environment"] = "azureml:missing:1"
        if not part.get("command"):
            message = "Azure Machine Learning starts no image by itself: give trial.command, or azureml: {trial: {command: …}}"
            self._ledger.note("trial", Support.UNSUPPORTED, message)
            filled["command"] = "missing"
        return {**request, "trial": filled} if "trial" in request else filled

    def _path_of(self, target: str) -> str:
        """The field of the spec that a field of the job came from."""
        last = target.rpartition(".")[2]
        return self._ledger.field_at(self._job, target) or _OF_THE_PROFILE.get(last, f"azureml.{target}")


_OF_THE_PROFILE = {"compute": "compute.instance", "environment": "trial.image", "image": "trial.image"}
"""Fields of the spec for fields of a job that a profile gives where the spec says nothing."""
