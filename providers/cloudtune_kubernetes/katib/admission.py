"""What Katib refuses of a well-formed Experiment that an import reads all the same, before or after it has been made.

The rules are those of its admission webhook (pkg/webhook/v1beta1/experiment/validator/validator.go of kubeflow/katib), and of the
controller that makes trials of a template (pkg/controller.v1beta1/experiment/manifest/generator.go), which would stand still.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.interop.katib.model import JOB, ExperimentSpec, TrialTemplate
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.violations import Violation

_TEMPLATE = "spec.trialTemplate"

_WITH_CONDITIONS = frozenset({JOB, "TFJob", "PyTorchJob", "XGBoostJob", "MPIJob", "TrainJob"})
"""Kinds of which Katib itself knows when one has ended (experiment_defaults.go)."""

_META = re.compile(r"\$\{trialSpec\.(\w+)(?:\[(.+)\])?\}")

_TWO_GROUPS = re.compile(r".*\(.*\).*\(.*\).*")


def refusals(spec: ExperimentSpec) -> Iterator[Violation]:
    """Yield what Katib refuses of the spec of an Experiment, or can make no trial of."""
    most = spec.max_trial_count
    for name, count in (("parallelTrialCount", spec.parallel_trial_count), ("maxFailedTrialCount", spec.max_failed_trial_count)):  # fmt: skip
        if most is not None and count is not None and count > most:
            yield Violation(f"spec.{name}", f"{count} is above spec.maxTrialCount, {most}")
    yield from _of_template(spec.trial_template, [parameter.name for parameter in spec.parameters])
    yield from _of_collector(spec)


def _of_template(template: TrialTemplate, names: list[str]) -> Iterator[Violation]:
    trial, meta = template.trial_spec, mapping(mapping(template.trial_spec).get("metadata"))
    known = trial is not None and trial.get("kind") in _WITH_CONDITIONS
    if not known and not (template.success_condition and template.failure_condition):
        yield Violation(
            _TEMPLATE, "needs successCondition and failureCondition, as Katib does not know how this kind ends"
        )
    for name in ("name", "namespace"):
        if meta.get(name):
            yield Violation(f"{_TEMPLATE}.trialSpec.metadata.{name}", "is each trial's own, and must be left out")
    used = {parameter.reference for parameter in template.trial_parameters}
    missing = [name for name in names if name not in used]
    if missing:
        yield Violation(
            f"{_TEMPLATE}.trialParameters", f"must have each parameter, or no trial can be made: {', '.join(missing)}"
        )
    for index, parameter in enumerate(template.trial_parameters):
        at = f"{_TEMPLATE}.trialParameters[{index}]"
        if trial is not None and f"${{trialParameters.{parameter.name}}}" not in json.dumps(trial, ensure_ascii=False):
            yield Violation(f"{at}.name", f"has no place ${{trialParameters.{parameter.name}}} in the template")
        found = _META.fullmatch(parameter.reference)
        if found is not None and found[2] and found[2] not in mapping(meta.get(found[1].lower())):
            yield Violation(
                f"{at}.reference", f"names what the template has not in metadata.{found[1].lower()}: {found[2]}"
            )


def _of_collector(spec: ExperimentSpec) -> Iterator[Violation]:
    said, at = spec.metrics_collector_spec, "spec.metricsCollectorSpec"
    if said is None:
        return
    kind, source = said.collector.kind, said.source
    file: Mapping[str, Any] = mapping(source.file_system_path) if source else {}
    if kind == "None":
        yield Violation(f"{at}.collector.kind", "is none of Katib's today; Push is for programs that report by its SDK")
    if kind in ("File", "TensorFlowEvent") and not str(file.get("path") or "/").startswith("/"):
        yield Violation(f"{at}.source.fileSystemPath.path", "must be absolute")
    if kind == "File" and file.get("format") == "JSON" and source is not None and source.filter is not None:
        yield Violation(f"{at}.source.filter", "has no meaning for a file of JSON")
    for pattern in source.filter.metrics_format if source and source.filter else ():
        if not _TWO_GROUPS.fullmatch(pattern):
            yield Violation(
                f"{at}.source.filter.metricsFormat", f"{pattern!r} needs two groups: the name and the number"
            )
