"""From a job to an Experiment of Katib, with an account of where each field went."""

import re
from collections.abc import Mapping
from typing import Any

from cloudtune.codec import text_of
from cloudtune.interop.katib.algorithms import RESOURCE, Written, algorithm_of, early_stopping_of
from cloudtune.interop.katib.metrics import collector_of, filters_of
from cloudtune.interop.katib.model import API_VERSION, JOB, KIND, PRIMARY, Data
from cloudtune.interop.katib.spaces import losses, spec_of
from cloudtune.interop.katib.support import SUPPORT
from cloudtune.interop.katib.templates import GPU, MERGING, containers, cores, filled, resolved, size, words_of
from cloudtune.job import NATIVE_FIELDS, TuningJob, pick
from cloudtune.parameters import Categorical, Constant, Int, Ordinal, Parameter
from cloudtune.plan import Ledger, Plan, Support, covers, leaves
from cloudtune.strategies import Grid, Hyperband
from cloudtune.trial import data_variable

NAME = "katib"
NAMES = "names"
"""The member of native settings that says what Katib calls parameters; all others are those of an experiment."""

_LONGEST_NAME = 40  # "may not be longer than 40 characters"
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(rf"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?(?=.){_LABEL.pattern}")
_BATCH = "spec.trialTemplate.trialSpec"


def plan(job: TuningJob) -> Plan:
    """The experiment for a job, and a note for each field that is not carried as it stands.

    The request holds the values of the job's environment variables.
    """
    return Writer(job).plan()


class Writer:
    """Writes one job, and keeps the account.

    Args:
        job: the spec.
    """

    def __init__(self, job: TuningJob) -> None:
        self._job = job
        self._ledger = Ledger(NAME)
        self._space: dict[str, Parameter] = {
            name: entry[0] if isinstance(entry, tuple) else entry for name, entry in job.space.items()
        }
        self._native: Mapping[str, Any] = job.native_settings(NAME)
        self._template: Mapping[str, Any] = _member(self._native, "spec", "trialTemplate")
        self._own_spec: Mapping[str, Any] = _member(self._template, "trialSpec")
        self._is_job = self._own_spec.get("kind", JOB) == JOB and "configMap" not in self._template
        self._said = [path for path, _ in leaves(job)]
        self._resource = self._named_resource()
        self._algorithm = algorithm_of(job.strategy, self._space, self._resource)

    def plan(self) -> Plan:
        """See `plan`."""
        self._account_for_the_rest()
        top: Data = MERGING.merge(self.top(), _without_trial_spec(self._native))
        if "configMap" not in self._template:
            top["spec"]["trialTemplate"]["trialSpec"] = self._trial_spec(top["spec"]["trialTemplate"])
        called = {each["reference"]: each["name"] for each in top["spec"]["trialTemplate"]["trialParameters"]}
        names = {name: called.get(self.name_of(name), name) for name in self._varied()}
        return self._ledger.close(self._job, "managed", resolved(top, names))

    def name_of(self, name: str) -> str:
        """What Katib calls a parameter; native settings say so for names that a job cannot have."""
        called = _member(self._native, NAMES).get(name, name)
        return str(called)

    # The experiment without its trial

    def top(self) -> dict[str, Data]:
        """The experiment as the neutral fields say it, without the template of its trials."""
        spec = {
            "objective": self._objective(),
            "algorithm": self._written_algorithm(),
            "earlyStopping": self._early_stopping(),
            **self._counts(),
            "metricsCollectorSpec": self._collector(),
            "parameters": [
                spec_of(self.name_of(name), self._as_budget(parameter), self._levels)
                for name, parameter in self._varied().items()
            ],
            "trialTemplate": {
                "primaryContainerName": PRIMARY,
                "trialParameters": [{"name": name, "reference": self.name_of(name)} for name in self._varied()],
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
        if further := [name for name in job.metrics if name != objective.metric]:
            found["additionalMetricNames"] = further
        if objective.measurement == "last":  # else Katib takes the best, too
            found["metricStrategies"] = [{"name": objective.metric, "value": "latest"}]
        return found

    def _collector(self) -> dict[str, Data]:
        objective = self._job.objective[0]
        filters, lost = filters_of(objective, self._job.metrics)
        read = "metricsCollectorSpec" not in _member(self._native, "spec")
        paths = {f"metrics.{name}": name for name in self._job.metrics}
        for path, name in {"objective[0].regex": objective.metric, **paths}.items():
            if name in lost and read:
                self._ledger.note(path, *SUPPORT["objective.regex"])
            else:
                self._ledger.carry(path, "spec.metricsCollectorSpec.source.filter.metricsFormat")
        return collector_of(filters)

    @property
    def _algorithm_name(self) -> str:
        """Katib's algorithm, as native settings say or the strategy."""
        return str(_member(self._native, "spec", "algorithm").get("algorithmName", self._algorithm.name))

    @property
    def _levels(self) -> int | None:
        return self._job.strategy.levels if isinstance(self._job.strategy, Grid) else None

    def _written_algorithm(self) -> dict[str, Data]:
        found: Written = self._algorithm
        if self._algorithm_name != found.name:
            self._note("strategy", "strategy.native", "spec.algorithm")
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
        """How many trials there are; Katib refuses a parallel or failed count above that of all."""
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

    def _varied(self) -> dict[str, Parameter]:
        return {
            name: parameter
            for name, parameter in self._space.items()
            if not isinstance(parameter, Constant) or name == self._resource
        }

    def _named_resource(self) -> str | None:
        """The parameter by which Hyperband gives trials their budget; native settings name it."""
        settings = _member(self._native, "spec", "algorithm").get("algorithmSettings") or ()
        named = [each.get("value") for each in settings if isinstance(each, Mapping) and each.get("name") == RESOURCE]
        if not isinstance(self._job.strategy, Hyperband):
            return None
        return next((name for name in self._space if self.name_of(name) in named), None)

    def _as_budget(self, parameter: Parameter) -> Parameter:
        """A parameter as it is, or the range of budgets for the constant by which Hyperband gives them."""
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
        bare = self.skeleton(primary) if self._is_job else {}
        return filled(MERGING.merge(bare, self._own_spec), primary, self.members())

    def skeleton(self, primary: str) -> dict[str, Data]:
        """The Job of Kubernetes that a trial is, without what is in its container."""
        pod: dict[str, Data] = {"containers": [{"name": primary}], "restartPolicy": "Never"}
        account = pick(self._job.identity, NAME) if isinstance(self._job.identity, dict) else None
        if account is not None:
            pod["serviceAccountName"] = account
        spec: dict[str, Data] = {"template": {"spec": pod}, "backoffLimit": self._job.retries}
        if self._job.limits.trial_time is not None:
            spec["activeDeadlineSeconds"] = max(1, round(self._job.limits.trial_time.total_seconds()))
        return {"apiVersion": "batch/v1", "kind": JOB, "spec": spec}

    def members(self) -> dict[str, Data]:
        """What the job says of the container, with tokens in the places of parameters."""
        found = {
            "image": pick(self._job.trial.image, NAME),
            **self._program(),
            "env": self._environment(),
            "resources": self._resources(),
        }
        return {name: part for name, part in found.items() if part}

    def _program(self) -> dict[str, Data]:
        """The command, or the arguments of the image's own program."""
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
        """The variables, and for each input one that names its place."""
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

    # The account of the rest

    def _account_for_the_rest(self) -> None:
        self._account_for_space()
        self._account_for_trial()
        self._account_for_compute()
        job, ledger = self._job, self._ledger
        for path in ("strict", "mode", f"native.{NAME}"):
            ledger.carry(path, "")
        if job.mode == "driven":
            ledger.note("mode", *SUPPORT["mode.driven"])
        for path in ("limits.time", "limits.no_improvement", "warm_start", "encryption", "network"):
            self._note(path, path)
        self._carry_to_job("limits.trial_time", "activeDeadlineSeconds")
        self._carry_to_job("retries", "backoffLimit")
        for path in (*NATIVE_FIELDS, *(f"native.{name}" for name in job.native if name != NAME)):
            self._note(path, "native")
        if job.network is not None and job.network.isolated:
            ledger.note("network.isolated", *SUPPORT["network.isolated"])

    @property
    def _has_container(self) -> bool:
        """Whether the template has a place for what the job says of its program."""
        primary = self._template.get("primaryContainerName", PRIMARY)
        return self._is_job or any(True for _ in containers(self._own_spec, primary))

    def _carry_to_job(self, path: str, member: str) -> None:
        """A field that Kubernetes' own jobs have, and others elsewhere."""
        if self._is_job:
            self._ledger.carry(path, f"{_BATCH}.spec.{member}")
        else:
            self._note(path, path)

    def _note(self, path: str, row: str, target: str = "") -> None:
        """Notes what becomes of a field, if the job says something there."""
        if any(covers(path, leaf) for leaf in self._said):
            self._ledger.note(path, *SUPPORT[row], target)

    def _account_for_trial(self) -> None:
        trial, ledger = self._job.trial, self._ledger
        for path in ("trial.source", "trial.ignore", "trial.function"):
            self._note(path, path)
        primary = self._template.get("primaryContainerName", PRIMARY)
        container = f"{_BATCH} … {primary}"
        if trial.image is None or (isinstance(trial.image, dict) and NAME not in trial.image):
            ledger.note("trial.image", *SUPPORT["trial.image"])
        else:
            ledger.carry_per_provider("trial.image", trial.image, f"{container}.image")
        own = [each for each in containers(self._own_spec, primary) if each.get("command") or each.get("args")]
        if self._has_container and not own:
            ledger.carry("trial.command", container)
        else:
            self._note("trial.command", "trial.command.native")
        if self._has_container:
            ledger.carry("trial.environment", container)
        else:
            self._note("trial.environment", "trial.environment.native")
        for name in self._job.data:
            self._note(f"data.{name}", "data", data_variable(name))
        self._note("output", "output")
        if isinstance(self._job.identity, dict) and self._is_job:
            ledger.carry_per_provider("identity", self._job.identity, f"{_BATCH}.spec.template.spec.serviceAccountName")
        else:
            self._note("identity", "identity")

    def _account_for_compute(self) -> None:
        compute, ledger = self._job.compute, self._ledger
        for path in ("compute.cpus", "compute.memory", "compute.disk"):
            ledger.carry(path, "resources.limits")
        for path in ("compute.instance", "compute.spot", "compute.max_wait"):
            self._note(path, path)
        if compute.count > 1:
            ledger.note("compute.count", *SUPPORT["compute.count" if self._is_job else "compute.count.native"])
        else:
            ledger.carry("compute.count", "")
        accelerators = compute.accelerators
        if accelerators is None or "/" in accelerators.type:
            ledger.carry("compute.accelerators", "resources.limits")
        else:
            ledger.note("compute.accelerators", *SUPPORT["compute.accelerators"], f"resources.limits.{GPU}")


def _member(data: Any, *path: str) -> Mapping[str, Any]:
    """A member of native settings, which may be of any shape; {} for none."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _without_trial_spec(native: Mapping[str, Any]) -> dict[str, Any]:
    """Native settings without the trial's template, which is put together apart."""
    spec = _member(native, "spec")
    template = {name: part for name, part in _member(spec, "trialTemplate").items() if name != "trialSpec"}
    rest = {**spec, **({"trialTemplate": template} if "trialTemplate" in spec else {})}
    given = {name: part for name, part in native.items() if name != NAMES}
    return {**given, **({"spec": rest} if "spec" in native else {})}


def _is_label(key: str, value: str) -> bool:
    return _LABEL_KEY.fullmatch(key) is not None and _LABEL.fullmatch(value) is not None
