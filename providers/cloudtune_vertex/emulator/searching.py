"""What a study searches, as a job of cloudtune: the emulator tunes with cloudtune's own strategies.

The service's (Vertex AI Vizier) are its own: values and their order differ from the service's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from cloudtune.driver.limits import UNCAPPED
from cloudtune.space.parameters import Categorical, Entry, Float, Int, Ordinal, Parameter, Scalar
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.job import Limits, TrialSpec, TuningJob
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import Curve, Median, Stopping
from cloudtune.spec.strategies import Bayesian, Grid, Random, Strategy
from cloudtune_vertex.emulator.errors import Refused
from cloudtune_vertex.emulator.model import Message


@dataclass(frozen=True, slots=True)
class _Axis:
    """One parameter of a study.

    Attributes:
        name: the service's; inside it is called `key`, as names of specs are narrower.
        key: its name inside.
        parameter: what is searched inside.
        mirror: the sum of both bounds for a reverse logarithmic scale, which is a logarithmic one looked at from the
            other side (ScaleType.UNIT_REVERSE_LOG_SCALE: "values close to the top … are spread out more"); else None.
    """

    name: str
    key: str
    parameter: Parameter
    mirror: float | None = None

    def told(self, value: Scalar) -> str | float:
        """Return a value as the service tells it: numbers are doubles."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value if self.mirror is None else self.mirror - value)
        return str(value)

    def argument(self, value: Scalar) -> str | float:
        """Return a value as the trial gets it: whole numbers for integers, doubles for discrete ones."""
        told = self.told(value)
        return int(told) if isinstance(self.parameter, Int) else told

    def read(self, value: str | float) -> Scalar:
        """Return a value as it is inside, from what a client tells."""
        if isinstance(value, str):
            return value
        number = value if self.mirror is None else self.mirror - value
        return int(number) if isinstance(self.parameter, Int) and number == int(number) else number


def search_of(request: Message) -> "Search":
    """Return what a tuning job searches.

    Args:
        request: the HyperparameterTuningJob, of protobuf, which keeps the service's rules.

    Raises:
        Refused: its parameters make no space.
    """
    stopping = request.study_spec.study_stopping_config
    constraint = stopping.maximum_runtime_constraint
    trials = [request.max_trial_count, stopping.max_num_trials.value]
    limits = Limits(
        trials=min(count for count in trials if count),
        parallel=request.parallel_trial_count,
        failed=request.max_failed_trial_count or UNCAPPED,
        time=constraint.max_duration.ToTimedelta() if constraint.HasField("max_duration") else None,
        no_improvement=stopping.max_num_trials_no_progress.value or None,
    )
    return Search(request.study_spec, limits)


class Search:
    """What a study searches.

    Args:
        study: the StudySpec, of protobuf, which keeps the service's rules.
        limits: of the search.

    Raises:
        Refused: its parameters make no space.
    """

    def __init__(self, study: Message, limits: Limits) -> None:
        self._study, self._limits = study, limits
        self._axes: list[_Axis] = []
        for parameter in self._study.parameters:
            self._add(parameter, None)
        try:
            self.job = self._job()
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise Refused("INVALID_ARGUMENT", f"The study is not valid: {said}") from None

    # The space

    def _add(self, declared: Message, when: dict[str, tuple[Scalar, ...]] | None) -> None:
        axis = _axis(declared, f"p{len(self._axes)}", when)
        self._axes.append(axis)
        for child in declared.conditional_parameter_specs:
            condition = getattr(child, child.WhichOneof("parent_value_condition"))
            self._add(child.parameter_spec, {axis.key: tuple(condition.values)})

    def told(self, values: Mapping[str, Scalar]) -> list[dict[str, Any]]:
        """Return a trial's parameters as the service tells them (Trial.parameters)."""
        return [
            {"parameterId": axis.name, "value": axis.told(values[axis.key])}
            for axis in self._axes
            if axis.key in values
        ]

    def arguments(self, values: Mapping[str, Scalar]) -> dict[str, str | float]:
        """Return a trial's parameters as its program gets them."""
        return {axis.name: axis.argument(values[axis.key]) for axis in self._axes if axis.key in values}

    def read(self, parameters: Iterable[Message]) -> dict[str, Scalar]:
        """Return the values of a trial that a client gives, as they are inside.

        Args:
            parameters: of the trial (Trial.parameters), of protobuf.

        Raises:
            Refused: the study has no such parameter.
        """
        axes = {axis.name: axis for axis in self._axes}
        found: dict[str, Scalar] = {}
        for each in parameters:
            kind = each.value.WhichOneof("kind")
            if each.parameter_id not in axes or kind not in ("number_value", "string_value"):
                raise Refused(
                    "INVALID_ARGUMENT", f"The study has no parameter {each.parameter_id!r} with a value of {kind}."
                )
            axis = axes[each.parameter_id]
            found[axis.key] = axis.read(getattr(each.value, kind))
        return found

    # The job

    def _job(self) -> TuningJob:
        space: dict[str, Entry] = {axis.key: axis.parameter for axis in self._axes}
        return TuningJob(
            name="tuning",
            trial=TrialSpec(command="the custom job"),
            objective=self._objectives(),
            constraints=self._constraints(),
            space=space,
            strategy=self._strategy(),
            stopping=self._stopping(),
            limits=self._limits,
        )

    def _objectives(self) -> tuple[Objective, ...]:
        best = self._study.measurement_selection_type == self._study.MeasurementSelectionType.Value("BEST_MEASUREMENT")
        return tuple(
            Objective(
                metric=metric.metric_id,
                goal="minimize" if metric.goal == metric.GoalType.Value("MINIMIZE") else "maximize",
                measurement="best" if best else "last",
            )
            for metric in self._study.metrics
            if not metric.HasField("safety_config")
        )

    def _constraints(self) -> tuple[Constraint, ...]:
        """Return the safety metrics: "the metric will be a safety metric", with a threshold on the side of its goal."""
        return tuple(
            Constraint(metric=metric.metric_id, max=metric.safety_config.safety_threshold)
            if metric.goal == metric.GoalType.Value("MINIMIZE")
            else Constraint(metric=metric.metric_id, min=metric.safety_config.safety_threshold)
            for metric in self._study.metrics
            if metric.HasField("safety_config")
        )

    def _strategy(self) -> Strategy:
        known: dict[str, Strategy] = {"GRID_SEARCH": Grid(), "RANDOM_SEARCH": Random()}
        return known.get(self._study.Algorithm.Name(self._study.algorithm), Bayesian())

    def _stopping(self) -> Stopping | None:
        """Return the rule that is nearest to the service's, whose grace and confidence are not documented."""
        if len(self._objectives()) > 1:
            return None  # "Automated stopping is not supported for multi-objective studies" in Vizier
        rule = self._study.WhichOneof("automated_stopping_spec")
        if rule == "median_automated_stopping_spec":
            return Median()
        return None if rule is None else Curve()


def _axis(declared: Message, key: str, when: dict[str, tuple[Scalar, ...]] | None) -> _Axis:
    name, scale = declared.parameter_id, declared.ScaleType.Name(declared.scale_type)
    kind = declared.WhichOneof("parameter_value_spec")
    spec: Any = getattr(declared, kind)
    if kind == "categorical_value_spec":
        return _Axis(name, key, Categorical(values=tuple(spec.values), when=when))
    if kind == "discrete_value_spec":
        values = tuple(spec.values)
        ordered: Literal["linear", "log"] = "log" if scale == "UNIT_LOG_SCALE" and values[0] > 0 else "linear"
        return _Axis(name, key, Ordinal(values=values, scale=ordered, when=when))
    low, high = spec.min_value, spec.max_value
    inner: Literal["linear", "log"] = "linear" if scale in ("SCALE_TYPE_UNSPECIFIED", "UNIT_LINEAR_SCALE") else "log"
    mirror = low + high if scale == "UNIT_REVERSE_LOG_SCALE" else None
    number = Int if kind == "integer_value_spec" else Float
    return _Axis(name, key, number(low=low, high=high, scale=inner, when=when), mirror)
