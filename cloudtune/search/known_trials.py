"""Trials that were run before a search, as observations that its strategy learns from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudtune.results.constraints import known_violations
from cloudtune.results.objectives import losses
from cloudtune.search.strategy import Observation
from cloudtune.space.completing import on_axis, why_impossible
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Space, Values
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.store.records import TrialState


@dataclass(frozen=True, slots=True)
class KnownTrial:
    """A trial that was run before the search.

    Attributes:
        parameters: its values by name, as far as they are known.
        metrics: what it reported, by name.
        state: how it ended; WAITING for one that has not been run, which the search suggests first.
        origin: the experiment that it belongs to: a run, a table. Losses compare only within one.
    """

    parameters: Mapping[str, Scalar]
    metrics: Mapping[str, float]
    state: TrialState = TrialState.COMPLETED
    origin: str = ""


def observations(
    known: Iterable[KnownTrial],
    space: Space,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    *,
    transfer: bool,
) -> list[Observation]:
    """Return what a strategy can learn from known trials, numbered -1, -2, …

    Args:
        known: the trials.
        space: that is searched now.
        objectives: of the search.
        constraints: of the search. A trial without a value for one, as of a run without it, tells of its losses alone.
        transfer: whether the trials are of related experiments, and so hints, also where a parameter is missing or out
            of range. Else they count as the search's own, and those that are no trials of its space are left out.
    """
    found: list[Observation] = []
    for trial in known:
        if not trial.state.ended:
            continue  # it is one of the first trials
        values = project(space, trial.parameters)
        if values if transfer else space.contains(values):
            lost = losses(objectives, trial.metrics) if trial.state is not TrialState.FAILED else None
            origin = (trial.origin or "another experiment") if transfer else ""
            completed = trial.state is TrialState.COMPLETED
            beyond = known_violations(constraints, trial.metrics) if completed else ()
            found.append(Observation(-len(found) - 1, values, trial.state, lost, origin, beyond))
    return found


def project(space: Space, parameters: Mapping[str, Scalar]) -> Values:
    """Return a trial's values as far as they belong to a space, without those that the space does not have."""
    values: Values = {}
    for dimension in space.dimensions:
        if dimension.name in parameters and dimension.active(values):
            value = on_axis(dimension, parameters[dimension.name])
            if value is not None:
                values[dimension.name] = value[0]
    return values


def possible(space: Space, parameters: Mapping[str, Scalar]) -> Values:
    """Return values that some trial of a space has; raise ValueError, which says why, where none has."""
    given = dict(parameters)
    problems = why_impossible(space, given)
    if problems or not given:
        raise ValueError("; ".join(f"{name}: {message}" for name, message in problems) or "it gives no value")
    return given


def whole(space: Space, parameters: Mapping[str, Scalar]) -> Values:
    """Return the values of a trial of a space; raise ValueError where they are none."""
    values = dict(parameters)
    if not space.contains(values):
        broken = space.broken(values)
        why = "" if broken is None else f": they do not meet {broken.text!r}"
        raise ValueError(f"no trial of the space has the parameters {values}{why}")
    return values
