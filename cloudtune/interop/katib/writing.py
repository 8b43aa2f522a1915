"""Export of a job as an Experiment of Katib, with a ledger of its fields."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cloudtune.interop.documents import path_text
from cloudtune.interop.katib.accounting import account_for_the_rest
from cloudtune.interop.katib.algorithms import NO_PRIOR, RESOURCE, Written, algorithm_of, early_stopping_of
from cloudtune.interop.katib.metrics import collector_of, filters_of
from cloudtune.interop.katib.model import API_VERSION, JOB, KIND, PRIMARY, Data, Experiment, mistakes
from cloudtune.interop.katib.own import NAME, Own
from cloudtune.interop.katib.spaces import losses, spec_of
from cloudtune.interop.katib.support import SUPPORT
from cloudtune.interop.katib.templates import GPU, MERGING, cores, filled, resolved, size, words_of
from cloudtune.planning.plan import CHOSEN, Ledger, Note, Plan, Support
from cloudtune.space.codecs import text_of
from cloudtune.space.parameters import Categorical, Constant, Int, Ordinal, Parameter
from cloudtune.spec.choice import with_strategy
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import AutoStrategy, Bayesian, Grid, Hyperband, HyperoptTpe, StrategySpec
from cloudtune.trial import data_variable

_LONGEST_NAME = 40  # "may not be longer than 40 characters"
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(rf"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?(?=.){_LABEL.pattern}")


def plan(job: TuningJob) -> Plan:
    """Return the experiment for a job, and a note for each field that is not carried exactly.

    The request holds the values of the job's environment variables. A strategy that the job leaves open is Katib's
    Bayesian search, or its TPE where the Bayesian search does not take the space as it is.
    """
    auto = job.strategy
    if not isinstance(auto, AutoStrategy):
        return Writer(job).plan()
    bayesian, tpe = _chosen(job, Bayesian(seed=auto.seed)), _chosen(job, HyperoptTpe(seed=auto.seed))
    return tpe if _worst(tpe) < _worst(bayesian) else bayesian


def _chosen(job: TuningJob, strategy: StrategySpec) -> Plan:
    note = Note(CHOSEN, Support.ENCODED, f"auto: {strategy.type}, by Katib's own search")
    lost = [Note("strategy.prior", Support.APPROXIMATE, NO_PRIOR)] if getattr(job.strategy, "prior", None) else []
    return Writer(with_strategy(job, strategy)).plan().with_notes([note, *lost])


def _worst(plan: Plan) -> int:
    """Return how badly the field is carried that is carried worst."""
    return max(note.support.rank for note in plan.notes)


class Writer:
    """The builder of one job's experiment, which accounts for its fields in a ledger.

    Args:
        job: the spec.
    """

    def __init__(self, job: TuningJob) -> None:
        self._job = job
        self._ledger = Ledger(NAME)
        self._space: dict[str, Parameter] = {
            name: entry[0] if isinstance(entry, tuple) else entry for name, entry in job.space.items()
        }
        self._own = Own(job.native_settings(NAME))
        self._resource = self._named_resource()
        self._algorithm = algorithm_of(job.strategy, self._space, self._resource)

    def plan(self) -> Plan:
        """Return the experiment as the request of a plan, with the notes."""
        self._account_for_space()
        account_for_the_rest(self._job, self._ledger, self._own)
        top: Data = MERGING.merge(self.top(), self._own.without_trial_spec())
        if self._is_well_formed(top):
            template = top["spec"]["trialTemplate"]
            if not self._own.by_config_map:
                template["trialSpec"] = self._trial_spec(template)
            called = {each["reference"]: each["name"] for each in template["trialParameters"]}
            top = resolved(top, {name: called.get(self._own.name_of(name), name) for name in self._varied()})
            self._check(top)
        return self._ledger.close(self._job, "managed", top)

    def _is_well_formed(self, experiment: Data) -> bool:
        """Return whether the experiment is well-formed with the native settings merged; note the mistakes if not."""
        try:
            Experiment.model_validate(experiment)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=False):
                place = path_text((*("native", NAME), *each["loc"]))
                self._ledger.note(place, Support.UNSUPPORTED, f"Katib refuses it: {each['msg'].lower()}")
            return False
        return True

    def _check(self, experiment: Data) -> None:
        """Note what Katib would refuse, unless there are other notes of unsupported fields."""
        planned = self._ledger.close(self._job, "managed", {})
        if any(note.support is Support.UNSUPPORTED for note in planned.notes):
            return
        for steps, message in mistakes(Experiment.model_validate(experiment).spec):
            self._ledger.note(f"native.{NAME}.{path_text(steps)}", Support.UNSUPPORTED, f"Katib refuses it: {message}")

    # The experiment without its trial

    def top(self) -> dict[str, Data]:
        """Return the experiment of the neutral fields, without the template of its trials."""
        spec = {
            "objective": self._objective(),
            "algorithm": self._written_algorithm(),
            "earlyStopping": self._early_stopping(),
            **self._counts(),
            "metricsCollectorSpec": self._collector(),
            "parameters": [
                spec_of(self._own.name_of(name), parameter, self._levels) for name, parameter in self.searched().items()
            ],
            "trialTemplate": {
                "primaryContainerName": PRIMARY,
                "trialParameters": [{"name": name, "reference": self._own.name_of(name)} for name in self._varied()],
            },
        }
        given = {name: part for name, part in spec.items() if part is not None}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": self._metadata(), "spec": given}

    def _metadata(self) -> dict[str, Data]:
        name = re.sub(r"[^a-z0-9]+", "-", self._job.name.lower())
        name = name if name[:1].isalpha() else f"t-{name}"
        name = name[:_LONGEST_NAME].strip("-")
        if name == self._job.name:
            self._ledger.carry("name", "metadata.name")
        else:
            self._ledger.note("name", Support.ENCODED, f"is called {name}", "metadata.name")
        legal = {key: value for key, value in self._job.tags.items() if _is_label(key, value)}
        for key in self._job.tags.keys() - legal.keys():
            message = "no label of Kubernetes: it is left out; use letters, digits and -_. between, 63 at most"
            self._ledger.note(f"tags.{key}", Support.APPROXIMATE, message)
        for key in legal:
            self._ledger.carry(f"tags.{key}", f"metadata.labels.{key}")
        return {"name": name, **({"labels": legal} if legal else {})}

    def _objective(self) -> dict[str, Data]:
        job, ledger = self._job, self._ledger
        objective = job.objective[0]
        if len(job.objective) > 1:
            ledger.note("objective", *SUPPORT["objective.several"])
        ledger.carry("objective[0].metric", "spec.objective.objectiveMetricName")
        ledger.carry("objective[0].goal", "spec.objective.type")
        ledger.carry("objective[0].measurement", "spec.objective.metricStrategies")
        ledger.carry("limits.target", "spec.objective.goal")
        found: dict[str, Data] = {"type": objective.goal, "objectiveMetricName": objective.metric}
        if job.limits.target is not None:
            found["goal"] = job.limits.target
        if job.constraints:
            ledger.note("constraints", *SUPPORT["constraints"], "spec.objective.additionalMetricNames")
        if further := [name for name in self._further() if name != objective.metric]:
            found["additionalMetricNames"] = further
        if objective.measurement == "last":  # by default Katib takes the best value
            found["metricStrategies"] = [{"name": objective.metric, "value": "latest"}]
        return found

    def _further(self) -> dict[str, str | None]:
        """Return the metrics beside the objectives by name: those of constraints, and further ones with their regexes."""
        constrained = self._job.measured[len(self._job.objective) :]
        return {**{each.metric: each.regex for each in constrained}, **self._job.metrics}

    def _collector(self) -> dict[str, Data]:
        objective = self._job.objective[0]
        filters, lost = filters_of(objective, self._further())
        read = "metricsCollectorSpec" not in self._own.member("spec")
        paths = {f"metrics.{name}": name for name in self._job.metrics}
        for index, constraint in enumerate(self._job.constraints):
            if constraint.regex is not None and constraint.metric in lost and read:
                self._ledger.note(f"constraints[{index}].regex", *SUPPORT["objective.regex"])
        for path, name in {"objective[0].regex": objective.metric, **paths}.items():
            if name in lost and read:
                self._ledger.note(path, *SUPPORT["objective.regex"])
            else:
                self._ledger.carry(path, "spec.metricsCollectorSpec.source.filter.metricsFormat")
        return collector_of(filters)

    @property
    def _algorithm_name(self) -> str:
        """Katib's algorithm, from the native settings or else the strategy."""
        return str(self._own.member("spec", "algorithm").get("algorithmName", self._algorithm.name))

    @property
    def _levels(self) -> int | None:
        return self._job.strategy.levels if isinstance(self._job.strategy, Grid) else None

    def _written_algorithm(self) -> dict[str, Data]:
        found: Written = self._algorithm
        if self._algorithm_name != found.name:
            self._ledger.note("strategy", *SUPPORT["strategy.native"], "spec.algorithm")
        else:
            for key, support, message in found.losses:
                self._ledger.note(f"strategy.{key}", support, message, "spec.algorithm")
        self._ledger.carry("strategy", "spec.algorithm")
        return found.to_data()

    def _early_stopping(self) -> dict[str, Data] | None:
        if self._job.stopping is None:
            return None
        found, lost = early_stopping_of(self._job.stopping)
        for key, support, message in lost:
            self._ledger.note(f"stopping{key}", support, message, "spec.earlyStopping")
        self._ledger.carry("stopping", "spec.earlyStopping")
        return found

    def _counts(self) -> dict[str, int]:
        """Return the counts of trials; Katib refuses parallel or failed counts above the total."""
        limits, ledger = self._job.limits, self._ledger
        trials = limits.trials
        if isinstance(self._job.strategy, Grid):
            combinations = self._combinations()
            trials = combinations if trials is None or combinations is None else min(trials, combinations)
        ledger.carry("limits.trials", "spec.maxTrialCount")
        ledger.carry("limits.parallel", "spec.parallelTrialCount")
        ledger.carry("limits.failed", "spec.maxFailedTrialCount")
        parallel = limits.parallel if trials is None else min(limits.parallel, trials)
        found = {"parallelTrialCount": parallel, "maxTrialCount": trials, "maxFailedTrialCount": limits.failed}
        if limits.failed is not None and trials is not None and limits.failed > trials:
            del found["maxFailedTrialCount"]  # it is never reached
        return {name: count for name, count in found.items() if count is not None}

    def _combinations(self) -> int | None:
        product = 1
        for dimension in self._job.search_space().dimensions:
            product *= dimension.axis.size or self._levels or 0
        return product or None

    # The space

    def searched(self) -> dict[str, Parameter]:
        """Return what Katib draws, by the job's names: all that varies, and the budget of Hyperband's trials."""
        return {name: self._as_budget(parameter) for name, parameter in self._varied().items()}

    def _varied(self) -> dict[str, Parameter]:
        return {
            name: parameter
            for name, parameter in self._space.items()
            if not isinstance(parameter, Constant) or name == self._resource
        }

    def _named_resource(self) -> str | None:
        """Return the parameter with the budget of Hyperband's trials, which native settings name; None for none."""
        settings = self._own.member("spec", "algorithm").get("algorithmSettings")
        listed = settings if isinstance(settings, list) else []
        named = [each.get("value") for each in listed if isinstance(each, Mapping) and each.get("name") == RESOURCE]
        if not isinstance(self._job.strategy, Hyperband):
            return None
        return next((name for name in self._space if self._own.name_of(name) in named), None)

    def _as_budget(self, parameter: Parameter) -> Parameter:
        """Return the parameter, or the range of budgets for the constant with the budget of Hyperband's trials."""
        strategy = self._job.strategy
        if not isinstance(parameter, Constant) or not isinstance(strategy, Hyperband):
            return parameter
        return Int(low=strategy.min_resource, high=strategy.max_resource)

    def _account_for_space(self) -> None:
        if not self._varied():
            self._ledger.note("space", Support.UNSUPPORTED, "Katib needs a parameter that varies")
        for index, (name, entry) in enumerate(self._job.space.items()):
            path = f"space.{name}"
            if isinstance(entry, tuple):
                message = "Katib has no conditions, nor variants for them; give each branch a job of its own"
                self._ledger.note(path, Support.UNSUPPORTED, message)
                continue
            self._ledger.carry(path, f"spec.parameters[{index}]")
            if name == self._resource:
                continue
            for below, support, message in losses(entry, self._algorithm_name, self._levels):
                self._ledger.note(path + below, support, message)

    # The trial

    def _trial_spec(self, template: Mapping[str, Any]) -> Data:
        primary = template["primaryContainerName"]
        if self._own.is_job:
            return MERGING.merge(self.job_template(primary), self._own.trial_spec)
        return filled(self._own.trial_spec, primary, self.members())

    def job_template(self, primary: str) -> dict[str, Data]:
        """Return the Job of Kubernetes of a trial, with marks for parameters."""
        pod: dict[str, Data] = {"containers": [{"name": primary, **self.members()}], "restartPolicy": "Never"}
        account = pick(self._job.identity, NAME) if isinstance(self._job.identity, dict) else None
        if account is not None:
            pod["serviceAccountName"] = account
        spec: dict[str, Data] = {"template": {"spec": pod}, "backoffLimit": self._job.retries}
        if self._job.limits.trial_time is not None:
            spec["activeDeadlineSeconds"] = max(1, round(self._job.limits.trial_time.total_seconds()))
        return {"apiVersion": "batch/v1", "kind": JOB, "spec": spec}

    def members(self) -> dict[str, Data]:
        """Return the job's members of the container, with marks for parameters."""
        found = {
            "image": pick(self._job.trial.image, NAME),
            **self._program(),
            "env": self._environment(),
            "resources": self._resources(),
        }
        return {name: part for name, part in found.items() if part}

    def _program(self) -> dict[str, Data]:
        """Return the command, or the arguments of the image's entrypoint."""
        fixed = {
            name: text_of(parameter.value)
            for name, parameter in self._space.items()
            if isinstance(parameter, Constant) and name != self._resource
        }
        listed = {
            name: [text_of(value) for value in parameter.values]
            for name, parameter in self._space.items()
            if isinstance(parameter, Categorical | Ordinal)
        }
        command = self._job.trial.command
        try:
            words = words_of(command or (), list(self._space), fixed, listed)
        except ValueError as error:
            self._ledger.note("trial.command", Support.UNSUPPORTED, str(error))
            return {}
        return {"args": words} if command is None else {"command": words}

    def _environment(self) -> list[Data]:
        """Return the environment variables, including one with the address of each input."""
        places = {data_variable(name): pick(place, NAME) for name, place in self._job.data.items()}
        variables = {**self._job.trial.environment, **{name: place for name, place in places.items() if place}}
        return [{"name": name, "value": value} for name, value in variables.items()]

    def _resources(self) -> dict[str, Data] | None:
        compute = self._job.compute
        limits: dict[str, Data] = {}
        if compute.cpus is not None:
            limits["cpu"] = cores(compute.cpus)
        if compute.memory is not None:
            limits["memory"] = size(compute.memory)
        if compute.disk is not None:
            limits["ephemeral-storage"] = size(compute.disk)
        if compute.accelerators is not None:
            kind = compute.accelerators.type
            limits[kind if "/" in kind else GPU] = compute.accelerators.count
        return {"limits": limits} if limits else None


def _is_label(key: str, value: str) -> bool:
    return _LABEL_KEY.fullmatch(key) is not None and _LABEL.fullmatch(value) is not None
