"""Which tuning jobs a new one may start warm from ("Run a Warm Start Hyperparameter Tuning Job", restrictions)."""

from collections.abc import Mapping

from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.jobs import TERMINAL
from cloudtune_sagemaker.emulator.searching import Definition, Search
from cloudtune_sagemaker.emulator.tuning import HyperParameterTuningJob


def check_parents(search: Search, known: Mapping[str, HyperParameterTuningJob]) -> list[HyperParameterTuningJob]:
    """Return the parents that a request names.

    Raises:
        SagemakerClientError: one does not exist, has not ended, or is not alike enough.
    """
    warm = search.request.get("WarmStartConfig")
    if warm is None:
        return []
    found = []
    for each in warm["ParentHyperParameterTuningJobs"]:
        name = each["HyperParameterTuningJobName"]
        parent = known.get(name)
        if parent is None:
            raise errors.invalid(f"The parent tuning job {name} does not exist.")
        if parent.state().status not in TERMINAL:
            raise errors.invalid(
                f"The parent tuning job {name} is in status {parent.state().status}; it must have ended."
            )
        _check_alike(search, parent, identical=warm["WarmStartType"] == "IdenticalDataAndAlgorithm")
        found.append(parent)
    return found


def _check_alike(search: Search, parent: HyperParameterTuningJob, *, identical: bool) -> None:
    for ours, theirs in zip(search.definitions, parent.search.definitions, strict=False):
        if (ours.metric, ours.maximize) != (theirs.metric, theirs.maximize):
            raise errors.invalid(
                f"The objective must be the one of the parent tuning job {parent.name}: {theirs.metric}."
            )
        if _count(ours) != _count(theirs):
            raise errors.invalid(
                f"The total number of static and tunable hyperparameters must be the one of the parent tuning job "
                f"{parent.name}: {_count(theirs)}, not {_count(ours)}."
            )
        if identical and _image(ours) != _image(theirs):
            raise errors.invalid(
                f"WarmStartType IdenticalDataAndAlgorithm needs the algorithm of the parent tuning job {parent.name}: "
                f"{_image(theirs)}."
            )


def _count(definition: Definition) -> int:
    return len(definition.ranges) + len(definition.request.get("StaticHyperParameters") or {})


def _image(definition: Definition) -> str:
    algorithm = definition.request["AlgorithmSpecification"]
    return str(algorithm.get("TrainingImage") or algorithm.get("AlgorithmName"))
