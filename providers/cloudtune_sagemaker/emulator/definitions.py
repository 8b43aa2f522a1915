"""Which metrics a training job has: those of its request, or those that one of SageMaker's algorithms brings along."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune.trial.printed_metrics import metric_regex
from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.algorithms import OBJECTIVE_METRIC, algorithm_of, with_objective
from cloudtune_sagemaker.emulator.training import Training

OBJECTIVE_MARK = "_tuning_objective_metric"
"""The hyperparameter by which the service tells a training job of a tuning job what it is tuned for."""


def completed(specification: Mapping[str, Any], objective: str = "") -> dict[str, Any]:
    """Return an AlgorithmSpecification as the service keeps it.

    Args:
        specification: as it was requested.
        objective: the metric that a tuning job tunes for; "" for a training job by itself.
    """
    found: list[Mapping[str, str]] = list(specification.get("MetricDefinitions") or [])
    algorithm = algorithm_of(specification)
    if algorithm is not None and not found:
        found = [*algorithm.definitions(objective)]
    if objective:
        found = with_objective(found, objective)
    return {**specification, "MetricDefinitions": found} if found else dict(specification)


def check_override(specification: Mapping[str, Any]) -> None:
    """Refuse metrics of one's own for an algorithm of the service.

    Raises:
        SagemakerClientError: a ValidationException in the service's words.
    """
    algorithm = algorithm_of(specification)
    if algorithm is not None and algorithm.own and specification.get("MetricDefinitions"):
        raise errors.invalid(
            "You can't override the metric definitions for Amazon SageMaker algorithms. "
            "Please retry the request without specifying metric definitions."
        )


def check_objective(specification: Mapping[str, Any], objective: str) -> None:
    """Refuse an objective that no metric of the training jobs is.

    Raises:
        SagemakerClientError: a ValidationException.
    """
    if any(each["Name"] == objective for each in specification.get("MetricDefinitions") or ()):
        return
    algorithm = algorithm_of(specification)
    if algorithm is None:
        if specification.get("AlgorithmName"):
            return  # its metrics stand with the algorithm, which is not here
        raise errors.invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            f"definitions: none of them is named {objective!r}."
        )
    if not algorithm.knows(objective):
        near = algorithm.nearest(objective)
        raise errors.invalid(
            f"The objective metric for the hyperparameter tuning job, [{objective}], isn't valid for the "
            f"[{specification.get('TrainingImage') or specification.get('AlgorithmName')}] algorithm. Choose a valid "
            f"objective metric{f', e.g. {near}' if near else ''}."
        )


def read_from_output(training: Training) -> Sequence[Mapping[str, str]]:
    """Return the definitions by which a training job's output is read.

    A program that stands in for one of the service's algorithms may print ``validation:auc=0.9``, too: it does not
    have to know how the algorithm prints.
    """
    definitions: Sequence[Mapping[str, str]] = training.algorithm.get("MetricDefinitions") or []
    if not stands_in(training):
        return definitions
    names = {each["Name"]: each["Name"] for each in definitions}
    if OBJECTIVE_METRIC in names:
        names[OBJECTIVE_METRIC] = training.hyperparameters.get(OBJECTIVE_MARK, OBJECTIVE_METRIC)
    return [*definitions, *({"Name": name, "Regex": metric_regex(printed)} for name, printed in names.items())]


def stands_in(training: Training) -> bool:
    """Return whether the program of an image plays one of the service's algorithms: it is no script of the user's own."""
    return (
        algorithm_of(training.algorithm) is not None
        and not training.algorithm.get("ContainerEntrypoint")
        and "sagemaker_program" not in training.hyperparameters
        and "SAGEMAKER_PROGRAM" not in training.environment
    )
