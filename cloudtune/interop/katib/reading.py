"""Import of Katib's Experiments as jobs without loss.

Everything that the neutral fields can express goes there, so that the job runs on every provider. The rest becomes
native settings: the difference between the export of the neutral fields by `writing` and the experiment. So exporting
the job gives the same experiment, by construction.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.errors import ConfigError, SpecError
from cloudtune.interop import legal_job_name, legal_names, note_of_name
from cloudtune.interop.documents import Document
from cloudtune.interop.formats import Imported, Note
from cloudtune.interop.katib.algorithms import RESOURCE, Strategy, stopping_of, strategy_of
from cloudtune.interop.katib.keeping import native_of, paths_to_report
from cloudtune.interop.katib.metrics import KINDS, collector_of, filters_in, filters_of, regex_of
from cloudtune.interop.katib.model import (
    API_VERSION,
    JOB,
    KIND,
    Container,
    Data,
    Experiment,
    JobSpec,
    JobTemplate,
    Replicas,
    Trainer,
    mistakes,
)
from cloudtune.interop.katib.own import NAME
from cloudtune.interop.katib.spaces import entry_of, notes_of
from cloudtune.interop.katib.templates import (
    command_of,
    compute_of,
    environment_of,
    placed_containers,
    places_in,
)
from cloudtune.interop.katib.writing import plan
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objective

ENDLESS = 100
"""The number of trials for an experiment without a limit."""

_SERVER_METADATA = frozenset(
    {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "finalizers", "ownerReferences"}
)  # fmt: skip
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def experiment_in(documents: list[Document], name: str | None) -> Document:
    """Return the experiment among a file's documents, also within a List of Kubernetes.

    Args:
        documents: the file's documents.
        name: the experiment's name; None for the only one.

    Raises:
        SpecError: there is no experiment.
        ConfigError: there are several and no name is given, or none has the name.
    """
    found = [each for document in documents for each in _experiments(document)]
    source = documents[0].source if documents else "the file"
    if not found:
        message = f"holds no {KIND} of {API_VERSION}"
        raise (documents[0] if documents else Document(None, source)).error((), message)
    names = [str(_dict(each.data.get("metadata")).get("name")) for each in found]
    chosen = [each for each, called in zip(found, names, strict=True) if name in (None, called)]
    if len(chosen) != 1:
        raise ConfigError(f"{source} holds the experiments {', '.join(names)}; choose one with --study NAME")
    return chosen[0]


def _experiments(document: Document) -> Iterator[Document]:
    if isinstance(document.data, dict) and document.data.get("kind") == KIND:
        yield document
    elif isinstance(document.data, dict) and isinstance(document.data.get("items"), list):
        for index in range(len(document.data["items"])):
            yield from _experiments(document.part("items", index))


def parse(document: Document) -> Imported:
    """Return the job of an experiment, with notes on what differs on other providers.

    Raises:
        SpecError: it is no experiment, or Katib would refuse it; lists the places.
    """
    return _Reader(document).imported()


class _Reader:
    """The conversion of one experiment."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._notes: list[Note] = []
        self._wanted = self._configuration(document.data)
        self._experiment = document.check(Experiment, self._wanted)
        self._spec = self._experiment.spec
        found = [document.problem(path, message) for path, message in mistakes(self._spec)]
        if found:
            raise SpecError(found, document.source)
        self._template = self._spec.trial_template
        self._names = legal_names(parameter.name for parameter in self._spec.parameters)
        self._references = {
            each.name: self._names.get(each.reference, each.reference) for each in self._template.trial_parameters
        }
        self._strategy = self._read_strategy()
        self._job_spec = self._read_job()
        self._container = self._read_container()

    def _configuration(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the experiment without its status and the metadata that the cluster adds."""
        given: dict[str, Any] = _without_nulls(data)
        if given.pop("status", None) is not None:
            self._note("status", "is what the cluster tells of the experiment; left out")
        metadata = _dict(given.get("metadata"))
        for key in _SERVER_METADATA & metadata.keys():
            metadata.pop(key)
        annotations = _dict(metadata.get("annotations"))
        if annotations.pop(_LAST_APPLIED, None) is not None and not annotations:
            metadata.pop("annotations")
        return given

    def _note(self, path: str, message: str) -> None:
        self._notes.append(Note(path, message))

    def imported(self) -> Imported:
        """Return the job with native settings and notes."""
        job = TuningJob.from_data(self._neutral(), f"the job made of {self._document.source}")
        native = native_of(job, self._wanted, self._experiment, self._names, self._budget())
        job = job.model_copy(update={"native": {NAME: native} if native else {}})
        self._note_collector()
        if kept := paths_to_report(native, [note.path for note in self._notes]):
            self._note("", f"kept for Katib alone, under native.{NAME}: {', '.join(kept)}")
        assert plan(job).request == self._wanted, "what is exported is what was imported"
        return Imported(job, tuple(dict.fromkeys(self._notes)))

    # The neutral fields

    def _neutral(self) -> dict[str, Any]:
        container = self._container
        metadata = self._experiment.metadata
        own = {
            "name": legal_job_name(str(metadata.get("name") or metadata.get("generateName") or ""), NAME),
            "trial": self._trial(),
            "objective": self._objective(),
            "metrics": self._metrics(),
            "space": self._space(),
            "strategy": self._strategy.data,
            "stopping": self._stopping(),
            "limits": self._limits(),
            "retries": self._retries(),
            "compute": {**({} if container is None else compute_of(container.resources)), **self._machines()},
            "identity": self._identity(),
            "tags": {key: value for key, value in _dict(metadata.get("labels")).items() if isinstance(value, str)},
        }
        return {name: value for name, value in own.items() if value not in (None, {}, 0)}

    def _objective(self) -> dict[str, Any]:
        objective = self._spec.objective
        name = objective.objective_metric_name
        strategies = {each.name: each.value for each in objective.metric_strategies}
        best = {"minimize": "min", "maximize": "max"}[objective.type]
        chosen = strategies.get(name, best)
        if chosen not in (best, "latest"):
            message = f"takes the {chosen} of a metric that is to be {objective.type}d: here the last value counts"
            self._note("spec.objective.metricStrategies", message)
        found: dict[str, Any] = {"metric": name, "goal": objective.type}
        if (regex := self._regex(name)) is not None:
            found["regex"] = regex
        return {**found, **({"measurement": "best"} if chosen == best else {})}

    def _regex(self, name: str) -> str | None:
        """Return the regex of the objective; None if the default finds it as well."""
        collector = self._spec.metrics_collector_spec
        filters = filters_in(collector)
        given = bool(collector and collector.source and collector.source.filter)
        if not given or not self._reads_text() or collector_of(filters) == self._our_collector():
            return None
        found = regex_of(filters, name)
        if found is None:
            message = f"none of them finds {name!r} as Python's expressions do: print {name}=number elsewhere"
            self._note("spec.metricsCollectorSpec.source.filter", message)
        return found

    def _our_collector(self) -> dict[str, Any]:
        objective = self._spec.objective
        filters, _ = filters_of(Objective(metric=objective.objective_metric_name, goal=objective.type), self._metrics())
        return collector_of(filters)

    def _reads_text(self) -> bool:
        """Return whether the collector reads lines of text."""
        collector = self._spec.metrics_collector_spec
        if collector is None or collector.collector.kind == "StdOut":
            return True
        place = _dict(collector.source.file_system_path) if collector.source else {}
        return collector.collector.kind == "File" and str(place.get("format", "TEXT")).upper() == "TEXT"

    def _metrics(self) -> dict[str, str]:
        """Return the regexes of additional metrics by name."""
        collector = self._spec.metrics_collector_spec
        filters = filters_in(collector if self._reads_text() else None)
        names = self._spec.objective.additional_metric_names
        found = {name: regex_of(filters, name) or regex_of(filters_in(None), name) for name in names}
        for name, regex in found.items():
            if regex is None:
                self._note(
                    "spec.objective.additionalMetricNames", f"{name!r} is not looked for in the output elsewhere"
                )
        return {name: regex for name, regex in found.items() if regex is not None}

    def _note_collector(self) -> None:
        collector = self._spec.metrics_collector_spec
        if collector is not None and (reads := KINDS.get(collector.collector.kind)) is not None:
            name = self._spec.objective.objective_metric_name
            message = f"{reads}; elsewhere it must print {name}=number, or report by cloudtune.trial.report"
            self._note("spec.metricsCollectorSpec", message)

    def _space(self) -> dict[str, Any]:
        algorithm = self._spec.algorithm.algorithm_name
        space = {}
        for index, parameter in enumerate(self._spec.parameters):
            path = f"spec.parameters[{index}]"
            name = self._names[parameter.name]
            space[name] = entry_of(parameter)
            if parameter.name == self._budget():
                space[name] = {"type": "constant", "value": self._strategy.data["max_resource"]}
                continue
            self._notes += notes_of(parameter, path, algorithm)
            if name != parameter.name:
                self._note(f"{path}.name", note_of_name(name))
        return space

    def _budget(self) -> str | None:
        """Return the parameter with the budget of Hyperband's trials; None for other algorithms."""
        return self._spec.algorithm.settings.get(RESOURCE) if self._strategy.data["type"] == "hyperband" else None

    def _read_strategy(self) -> Strategy:
        algorithm = self._spec.algorithm
        try:
            found = strategy_of(algorithm)
        except ValueError as error:
            raise self._document.error(("spec", "algorithm", "algorithmSettings"), str(error)) from None
        if found.data["type"] == "population":
            generations = math.ceil((self._spec.max_trial_count or 1) / found.data["members"])
            found.data["max_resource"] = max(2, generations)
        if found.note:
            self._note("spec.algorithm", found.note)
        for index, setting in enumerate(algorithm.algorithm_settings):
            if setting.name not in found.settings:
                path = f"spec.algorithm.algorithmSettings[{index}]"
                self._note(path, f"{setting.name}: {setting.value} is for Katib alone")
        budget = found.data["type"] == "hyperband" and algorithm.settings[RESOURCE]
        if budget and budget not in self._names:
            place = ("spec", "algorithm", "algorithmSettings")
            raise self._document.error(place, f"{RESOURCE} names no parameter: {budget!r}")
        return found

    def _stopping(self) -> dict[str, Any] | None:
        stopping = self._spec.early_stopping
        if stopping is None:
            return None
        if self._strategy.data["type"] in ("hyperband", "population"):
            self._note("spec.earlyStopping", f"{self._strategy.data['type']} stops trials itself elsewhere")
            return None
        try:
            found, notes = stopping_of(stopping)
        except ValueError as error:
            raise self._document.error(("spec", "earlyStopping", "algorithmSettings"), str(error)) from None
        for setting, message in notes:
            self._note("spec.earlyStopping", f"{setting}: {message}" if setting else message)
        return found

    def _limits(self) -> dict[str, Any]:
        spec = self._spec
        trials = spec.max_trial_count
        if trials is None and self._strategy.data["type"] != "grid":
            trials = ENDLESS
            self._note("spec.maxTrialCount", f"is missing, so that the experiment has no end: here it is {ENDLESS}")
        if spec.max_failed_trial_count == 0:
            self._note("spec.maxFailedTrialCount", "0 means 1 in Katib, too")
        counts = {"parallelTrialCount": spec.parallel_trial_count, "maxFailedTrialCount": spec.max_failed_trial_count}
        for name, count in counts.items():
            if spec.max_trial_count is not None and count is not None and count > spec.max_trial_count:
                self._note(f"spec.{name}", f"{count} is above maxTrialCount, which Katib's webhook refuses")
        found = {
            "trials": trials,
            "parallel": spec.parallel_trial_count or 3,  # DefaultTrialParallelCount
            "failed": None if spec.max_failed_trial_count is None else max(1, spec.max_failed_trial_count),
            "target": spec.objective.goal,
            "trial_time": None if self._job_spec is None else self._job_spec.active_deadline_seconds,
        }
        return {name: value for name, value in found.items() if value is not None}

    # The trial

    def _read_container(self) -> Container | None:
        """Return the primary container; None if the template's kind is not known here, or it is in a ConfigMap."""
        template = ("spec", "trialTemplate")
        name, at = self._template.primary_container_name, (*template, "trialSpec")
        found = [
            self._document.check(Container, data, place)
            for place, data in placed_containers(self._template.trial_spec, name, at)
        ]
        if not found and self._job_spec is not None:
            place = (*template, "primaryContainerName")
            raise self._document.error(place, f"there is no container {name!r} in trialSpec")
        return found[0] if found else None

    def _read_job(self) -> JobSpec | None:
        """Return the spec of the template if it is a Job of Kubernetes; else None."""
        template = self._template.trial_spec
        if template is None or template.get("kind") != JOB:
            return None
        return self._document.check(JobTemplate, template, ("spec", "trialTemplate", "trialSpec")).spec

    def _trial(self) -> dict[str, Any]:
        path, container = "spec.trialTemplate.trialSpec", self._container
        if container is None:
            return {"image": {NAME: self._unread()}}
        command = command_of(container, self._references, list(self._names.values()))
        if command is None and container.args:
            self._note(path, "the image's own program starts; its arguments are known to Katib alone")
        self._note_places(container, command or [])
        environment = environment_of(container)
        if own := [each.name for each in container.env if each.name not in environment]:
            self._note(path, f"environment variables for Katib alone: {', '.join(own)}")
        found = {"image": container.image, "command": command, "environment": environment}
        return {name: value for name, value in found.items() if value}

    def _unread(self) -> str:
        """Return the placeholder for an image that is not known here, and add a note about it."""
        source, path = self._template.config_map, "spec.trialTemplate"
        if source is not None:
            self._note(f"{path}.configMap", "holds the program, in the cluster: say what runs elsewhere, in trial")
            return f"configmap:{source.get('configMapNamespace')}/{source.get('configMapName')}"
        kind = _dict(self._template.trial_spec).get("kind")
        message = f"the program stands in a {kind}, which is known to Katib alone: say what runs elsewhere, in trial"
        self._note(f"{path}.trialSpec", message)
        return f"kind:{kind}"

    def _note_places(self, container: Container, command: list[str]) -> None:
        """Note parameters that are not placed in the command, and other replacements in the command."""
        path = "spec.trialTemplate.trialSpec"
        placed = {name for name in self._names.values() if any(f"{{{name}}}" in word for word in command)}
        elsewhere = {self._references.get(name, name) for name in places_in(self._template.trial_spec)}
        for name in self._names.values():
            if name in placed:
                continue
            how = "stands outside of the command" if name in elsewhere else "is not passed to the trial"
            self._note(path, f"{name} {how}; elsewhere it follows the command as --{name}")
        for name in places_in(command):
            self._note(path, f"${{trialParameters.{name}}} in the command means something in Katib alone")
        if any(re.search(r"\$\(\w+\)", str(word)) for word in container.command):
            self._note(path, "$(VARIABLE) in the command is replaced by Kubernetes alone")
        if container.args and command:
            self._note(path, "command and args are one command here; Katib keeps its own")

    def _retries(self) -> int | None:
        if self._job_spec is None:
            return None
        if self._job_spec.backoff_limit is None:
            message = "is missing, so that Kubernetes starts a failed pod up to 6 times again: elsewhere retries says how often"
            self._note("spec.trialTemplate.trialSpec.spec.backoffLimit", message)
        return self._job_spec.backoff_limit

    def _machines(self) -> dict[str, int]:
        """Return ``compute.count`` for the kinds of Kubeflow's training operator; {} for one machine."""
        at = ("spec", "trialTemplate", "trialSpec", "spec")
        spec = _dict(_dict(self._template.trial_spec).get("spec"))
        groups = {key: _dict(part) for key, part in spec.items() if key.endswith("ReplicaSpecs")}
        count = sum(
            self._document.check(Replicas, given, (*at, key, role)).replicas
            for key, group in groups.items()
            for role, given in group.items()
        )
        count = count or self._document.check(Trainer, spec.get("trainer", {}), (*at, "trainer")).num_nodes
        if count > 1:
            kind = _dict(self._template.trial_spec).get("kind")
            message = f"the {count} machines find each other as a {kind} has it; elsewhere as the provider has it"
            self._note("spec.trialTemplate.trialSpec", message)
        return {"count": count} if count > 1 else {}

    def _identity(self) -> dict[str, str] | None:
        account = None if self._job_spec is None else self._job_spec.template.spec.service_account_name
        return None if account is None else {NAME: account}


def _dict(value: Data) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_nulls(value: Data) -> Data:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value
