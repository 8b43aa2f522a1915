"""Vertex AI Vizier as a strategy: the study of a run suggests its trials, wherever these run."""

import importlib.util
import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from cloudtune.errors import ConfigError
from cloudtune.plugins.extras import install
from cloudtune.search import (
    Observation,
    Purpose,
    StoppingRule,
    Strategy,
    StrategyContext,
    StrategySpec,
    UnsuitableStrategy,
)
from cloudtune.space.space import Space, Values
from cloudtune.spec.objective import Objective
from cloudtune.store.records import TrialState
from cloudtune_vertex.container import metric_id
from cloudtune_vertex.vizier.codecs import StudySpace
from cloudtune_vertex.vizier.spec import VizierSpec

if TYPE_CHECKING:
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.vizier.study import Study

_MISSED = "it does not meet the requirements of the space"


class VizierSearch(Strategy):
    """Suggests what a study of Vertex AI Vizier does.

    The study keeps the trials: a new strategy finds it by its name, and each trial by the id of the run and its number, so that
    after a kill nothing is suggested twice, and what was not told before is told then. A pruned trial counts with its last
    losses, a failed one as infeasible; a cancelled one is taken out of the study. A trial of a user's own is added to it.
    Of a study that is gone, a new one gets all trials.

    Args:
        space: what to search.
        settings: the spec.

    Raises:
        UnsuitableStrategy: nothing varies in the space, or Google's SDK is not installed.
    """

    spec = VizierSpec
    needs_history = False
    in_background = True

    def __init__(self, space: Space, *, settings: VizierSpec, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        if not _has_sdk():
            raise UnsuitableStrategy(f"the vizier strategy needs Google's SDK: {install('vizier')}")
        self._settings, self._space = settings, StudySpace(space)
        if not self._space.specs:
            raise UnsuitableStrategy("nothing varies in the space, and Vizier takes no study without a parameter")
        self._purpose: Purpose | None = None
        self._proposed: Values | None = None
        self._left_out = 0

    @classmethod
    def from_spec(cls, spec: StrategySpec, space: Space, **context: Unpack[StrategyContext]) -> Strategy:
        assert isinstance(spec, VizierSpec)
        if spec.local:
            from cloudtune_vertex.vizier.open_vizier import OpenVizierSearch  # noqa: PLC0415  # another package's algorithms

            return OpenVizierSearch(space, algorithm=spec.algorithm, **context)
        return cls(space, settings=spec, **context)

    def begin(self, purpose: Purpose) -> None:
        if not purpose.run and self._settings.study is None:
            raise UnsuitableStrategy("which study of Vizier? A search apart from a run names one: study")
        self._purpose = purpose

    @cached_property
    def rule(self) -> StoppingRule | None:
        return None if self._settings.early_stopping is None else VizierRule(self)

    # The study

    @cached_property
    def study(self) -> "Study":
        """The study; it is found or made when it is first asked for.

        Raises:
            ConfigError: the profile is none of Vertex AI, the project is not known, or the study is another problem's.
            ProviderError: the service refuses, or cannot be reached.
        """
        from cloudtune_vertex.vizier.memory import Memory  # noqa: PLC0415  # loads Google's SDK
        from cloudtune_vertex.vizier.study import Study  # noqa: PLC0415

        asked = self._asked
        google = self._google()
        memory = Memory.of(asked.folder)
        name = self._settings.study or f"cloudtune-{asked.run}"[:128]
        known = memory.study(google) or name
        study = Study(google, known, name, self._study_spec(asked), self._client(""), self._space.values)
        memory.keep(google, study.name)
        had = f", which has {study.count} trials" if study.count else ""
        asked.announce(f"Vizier suggests the trials by the study {study.name}{had} ({study.link})")
        return study

    @property
    def _asked(self) -> Purpose:
        if self._purpose is None:
            raise ConfigError(
                "Vizier suggests trials for a run that is driven: nothing is asked for a search that only looks"
            )
        return self._purpose

    def _google(self) -> "Google":
        from cloudtune_vertex.client import Google  # noqa: PLC0415  # loads Google's SDK
        from cloudtune_vertex.vizier.places import settings_of  # noqa: PLC0415

        return Google(settings_of(self._settings))

    def _study_spec(self, purpose: Purpose) -> dict[str, Any]:
        """Return the StudySpec in JSON."""
        settings = self._settings
        spec: dict[str, Any] = {
            "metrics": [*map(_metric, purpose.objectives), *map(_safety, self._bounds(purpose))],
            "parameters": self._space.specs,
        }
        if settings.algorithm == "random":
            spec["algorithm"] = "RANDOM_SEARCH"
        if settings.noise is not None:
            spec["observationNoise"] = settings.noise.upper()
        if settings.early_stopping is not None:
            rules = {"median": "medianAutomatedStoppingSpec", "curve": "decayCurveStoppingSpec"}
            spec[rules[settings.early_stopping]] = {}
        if any(each.measurement == "best" for each in purpose.objectives):
            spec["measurementSelectionType"] = "BEST_MEASUREMENT"
        return spec

    def _bounds(self, purpose: Purpose) -> list[str]:
        """Return the names of the metrics that say how far a trial is beyond each bound of the constraints."""
        sides = {"<=": "above", ">=": "below"}
        return [
            f"{metric_id(each.metric)}-{sides[comparison]}-bound"
            for each in purpose.constraints
            for comparison, _ in each.bounds
        ]

    def _client(self, number: int | str) -> str:
        """Return the id of the client that evaluates a trial; of those that are suggested together, the first one's is that of all."""
        known = isinstance(number, int) and number < 0
        return f"{self._asked.run or 'search'}.{f'known{-int(number)}' if known else number}"

    # Suggesting

    def suggest(self, number: int) -> Values | None:
        for other, pending in self.pending.items():
            self._add(other, pending)  # those of the user's own, which Vizier does not know yet
        self._proposed = None
        values = super().suggest(number)
        if values is not None and values != self._proposed:  # moved to where the requirements hold
            self.study.fail(self._client(number), _MISSED)
            self.study.give(self._client(number), self._space.parameters(values))
        return values

    def _propose(self, number: int) -> Values | None:
        client = self._client(number)
        if self._proposed is not None:
            self.study.fail(client, _MISSED)
        self._proposed = self.study.suggest(client, self.room)
        return self._proposed

    def _add(self, number: int, values: Values) -> None:
        if not self.study.has(self._client(number), values, alone=True):
            self.study.give(self._client(number), self._space.parameters(values))

    # Learning

    def report(self, number: int, step: int, loss: float) -> bool:
        """Tell what a trial reports of the first objective, and return whether Vizier's rule would end it now."""
        if self._purpose is None or number not in self.pending:
            return False
        self._add(number, self.pending[number])
        return self.study.measure(self._client(number), step, self._losses((loss,)))

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        if self._purpose is None:
            return
        client = self._client(observation.number)
        if observation.state is TrialState.CANCELLED:
            if self.study.has(client, observation.parameters, alone=False):
                self.study.forget(client)
            return
        metrics = self._metrics(observation)
        if observation.number < 0 and metrics is None:
            return  # an earlier run's, of which Vizier cannot be told that it failed: the space may have been another
        self._add(observation.number, observation.parameters)
        if metrics is None:
            self.study.fail(client, _why(observation))
        else:
            self.study.succeed(client, metrics)

    def _metrics(self, observation: Observation) -> Mapping[str, float] | None:
        """Return the metrics of an ended trial by the study's names; None where it has not all of them."""
        if observation.state is TrialState.FAILED or observation.losses is None:
            return None
        bounds = self._bounds(self._asked)
        beyond = dict(zip(bounds, observation.violations, strict=False))
        if len(beyond) < len(bounds) or not all(map(math.isfinite, beyond.values())):
            return None
        return {**self._losses(observation.losses), **beyond}

    def _losses(self, losses: tuple[float, ...]) -> dict[str, float]:
        """Return the values of the first objectives, by the study's names."""
        pairs = zip(self._asked.objectives, losses, strict=False)
        return {metric_id(each.metric): loss if each.goal == "minimize" else -loss for each, loss in pairs}


class VizierRule(StoppingRule):
    """Stops the trials that the study's own rule (automated_stopping_spec) would end.

    Args:
        search: whose trials report.
    """

    def __init__(self, search: VizierSearch) -> None:
        self._search = search

    def observe(self, number: int, step: int, loss: float) -> bool:
        return math.isfinite(loss) and self._search.report(number, step, loss)

    def ended(self, number: int, state: TrialState) -> None:
        """The strategy itself observes how trials end."""


def _has_sdk() -> bool:
    try:
        return importlib.util.find_spec("google.cloud.aiplatform_v1") is not None
    except ModuleNotFoundError:  # there is no package google.cloud
        return False


def _metric(objective: Objective) -> dict[str, Any]:
    return {"metricId": metric_id(objective.metric), "goal": objective.goal.upper()}


def _safety(name: str) -> dict[str, Any]:
    return {"metricId": name, "goal": "MINIMIZE", "safetyConfig": {"safetyThreshold": 0.0}}


def _why(observation: Observation) -> str:
    if observation.state is TrialState.FAILED:
        return "the trial failed"
    if observation.state is TrialState.PRUNED:
        return "the trial was stopped before it had all metrics"
    return "the trial told no value for a constraint"
