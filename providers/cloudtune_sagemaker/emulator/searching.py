"""What a tuning request searches, as a job of cloudtune: the emulator tunes with cloudtune's own strategies.

The service's are its own and not published: values and their order differ from the service's, also for the same
RandomSeed. For Random they are those of cloudtune's random strategy anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from cloudtune.driver.limits import UNCAPPED
from cloudtune.space.parameters import Categorical, Entry, Scalar
from cloudtune.spec.job import Limits, TrialSpec, TuningJob, WarmStart
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import Auto
from cloudtune.spec.strategies import Bayesian, Grid, Hyperband, Random, Strategy
from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.definitions import completed
from cloudtune_sagemaker.emulator.ranges import Range, free_name, ranges_of
from cloudtune_sagemaker.emulator.rules import MOST_JOBS

METRIC = "objective"
"""What the objective is called inside: definitions may call theirs differently."""

_AUTOTUNED = 10
"""Training jobs where Autotune chooses the number; the service does not tell how it does."""

_DEFAULT_RESOURCE = (1, 81)
"""Hyperband without HyperbandStrategyConfig: the example of its paper (arXiv 1603.06560)."""

_CONVERGED = 10
"""Training jobs in a row without a better objective after which a search counts as converged (or 3 a parameter).

The service does not tell its rule ("A flag to stop your hyperparameter tuning job if automatic model tuning has
detected that your hyperparameter tuning job has converged").
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """One TrainingJobDefinition.

    Attributes:
        request: its members.
        ranges: what is tuned.
        metric: the objective's name.
        maximize: whether larger is better.
        named: whether the request names the metric; Autotune may leave it to the algorithm.
    """

    request: Mapping[str, Any]
    ranges: tuple[Range, ...]
    metric: str
    maximize: bool
    named: bool = True

    @property
    def name(self) -> str:
        """The DefinitionName; "" where there is none."""
        return str(self.request.get("DefinitionName") or "")


class Search:
    """What a tuning job searches.

    Args:
        request: the members of CreateHyperParameterTuningJob, which are valid.

    Raises:
        SagemakerClientError: the ranges make no space.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self._config: Mapping[str, Any] = request["HyperParameterTuningJobConfig"]
        try:
            self.definitions = self._definitions()
            names = [each.key for definition in self.definitions for each in definition.ranges]
            self._choice = free_name("TrainingJobDefinitionName", names)
            self.job = self._job()
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise errors.invalid(f"The parameter ranges are not valid: {said}") from None
        except ValueError as error:
            raise errors.invalid(f"The parameter ranges are not valid: {error}") from None

    # The request's parts

    def _definitions(self) -> tuple[Definition, ...]:
        single = self.request.get("TrainingJobDefinition")
        found = [single] if single else self.request["TrainingJobDefinitions"]
        return tuple(self._definition(each) for each in found)

    def _definition(self, declared: Mapping[str, Any]) -> Definition:
        ranges = declared.get("HyperParameterRanges") or self._config.get("ParameterRanges") or {}
        objective = declared.get("TuningObjective") or self._config.get("HyperParameterTuningJobObjective") or {}
        metrics = completed(declared.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or [{"Name": METRIC}]
        return Definition(
            declared,
            tuple(ranges_of(ranges)),
            objective.get("MetricName") or metrics[0]["Name"],  # Autotune needs no objective of the request
            objective.get("Type", "Maximize") == "Maximize",
            "MetricName" in objective,
        )

    @property
    def converges(self) -> int | None:
        """Training jobs in a row without a better objective after which the search has converged."""
        criteria = self._config.get("TuningJobCompletionCriteria") or {}
        if (criteria.get("ConvergenceDetected") or {}).get("CompleteOnConvergence") != "Enabled":
            return None
        return max(_CONVERGED, 3 * max(len(each.ranges) for each in self.definitions))

    @property
    def seed(self) -> int | None:
        """The RandomSeed."""
        seed = self._config.get("RandomSeed")
        return None if seed is None else int(seed)

    def _job(self) -> TuningJob:
        warm = self.request.get("WarmStartConfig")
        identical = warm is not None and warm["WarmStartType"] == "IdenticalDataAndAlgorithm"
        parents = (
            tuple(each["HyperParameterTuningJobName"] for each in warm["ParentHyperParameterTuningJobs"])
            if warm
            else ()
        )
        return TuningJob(
            name=self.request["HyperParameterTuningJobName"],
            trial=TrialSpec(command="the training job"),
            objective=(Objective(metric=METRIC, goal="maximize" if self.definitions[0].maximize else "minimize"),),
            space=self._space(),
            strategy=self._strategy(),
            stopping=Auto() if self._stops_early else None,
            limits=self._limits(),
            warm_start=WarmStart(runs=parents, kind="identical" if identical else "transfer") if parents else None,
        )

    @property
    def _stops_early(self) -> bool:
        return self._config.get("TrainingJobEarlyStoppingType") == "Auto" and self._config["Strategy"] != "Hyperband"

    def _space(self) -> dict[str, Entry]:
        """Return the ranges; of several definitions each one's under the condition that it is chosen."""
        if len(self.definitions) == 1:
            return {each.key: each.parameter for each in self.definitions[0].ranges}
        variants: dict[str, list[Any]] = {}
        for definition in self.definitions:
            for each in definition.ranges:
                conditional = each.parameter.model_copy(update={"when": {self._choice: (definition.name,)}})
                variants.setdefault(each.key, []).append(conditional)
        entries = {key: tuple(found) if len(found) > 1 else found[0] for key, found in variants.items()}
        return {self._choice: Categorical(values=tuple(each.name for each in self.definitions)), **entries}

    def _strategy(self) -> Strategy:
        match self._config["Strategy"]:
            case "Grid":
                return Grid()
            case "Random":
                return Random()
            case "Hyperband":
                given = (self._config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
                low, high = (
                    given.get("MinResource", _DEFAULT_RESOURCE[0]),
                    given.get("MaxResource", _DEFAULT_RESOURCE[1]),
                )
                return Hyperband(min_resource=low, max_resource=high)
            case _:
                return Bayesian()

    def _limits(self) -> Limits:
        given = self._config["ResourceLimits"]
        criteria = self._config.get("TuningJobCompletionCriteria") or {}
        patience = (criteria.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving")
        ends = [each for each in (patience, self.converges) if each is not None]
        seconds = given.get("MaxRuntimeInSeconds")
        return Limits(
            trials=given.get("MaxNumberOfTrainingJobs") or self._default_trials,
            parallel=given["MaxParallelTrainingJobs"],
            failed=UNCAPPED,
            time=None if seconds is None else timedelta(seconds=seconds),
            target=criteria.get("TargetObjectiveMetricValue"),
            no_improvement=min(ends, default=None),
        )

    @property
    def _default_trials(self) -> int | None:
        if self._config["Strategy"] == "Grid":
            return None
        return _AUTOTUNED if (self.request.get("Autotune") or {}).get("Mode") == "Enabled" else MOST_JOBS

    # Trials

    def chosen(self, values: Mapping[str, Scalar]) -> Definition:
        """Return the definition that a trial is of."""
        name = values.get(self._choice)
        return next((each for each in self.definitions if each.name == name), self.definitions[0])

    def tuned(self, values: Mapping[str, Scalar]) -> dict[str, str]:
        """Return a trial's tuned hyperparameters, as its training job gets them."""
        ranges = self.chosen(values).ranges
        return {each.name: each.write(values[each.key]) for each in ranges if each.key in values}

    def values(self, definition: str, tuned: Mapping[str, str]) -> dict[str, Scalar]:
        """Return a trial of another tuning job in the space of this one, as far as the values can be read.

        Args:
            definition: the name of its definition.
            tuned: its tuned hyperparameters.
        """
        ranges = next((each for each in self.definitions if each.name == definition), self.definitions[0]).ranges
        found: dict[str, Scalar] = {} if len(self.definitions) == 1 else {self._choice: definition}
        for each in ranges:
            if each.name in tuned:
                try:
                    found[each.key] = each.read(tuned[each.name])
                except ValueError:
                    continue  # a text where this job has a number
        return found

    def counted(self, definition: Definition, value: float) -> float:
        """Return a trial's objective as the search compares it: definitions may aim the other way."""
        return value if definition.maximize == self.definitions[0].maximize else -value
