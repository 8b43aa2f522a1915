"""Conversion of Ray Tune's tuners and schedulers (ray.tune.schedulers) to strategies and stopping rules.

What they were made with is kept in attributes that Ray does not document; those read here are the same from 2.40 to 2.60.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pb2 import PB2
from ray.tune.search import sample

from cloudtune.interop.formats import Note
from cloudtune.spec.strategies import Population

ITERATION = "training_iteration"
"""The attribute that counts the reports of a trial, as our steps do."""

_FACTORS = {0.8, 1.2}
"""By one of them our population strategy multiplies numbers."""

_INTERVALS = 10
"""Intervals that a member trains where the source does not say it."""


@dataclass(slots=True)
class Source:
    """A search of Ray Tune, as far as it is known.

    Attributes:
        space: its parameters.
        scheduler: what stops or changes its trials; None for none.
        fields: of the job.
        stop: the values at which a trial is complete, by attribute.
        notes: on what is not as it was.
    """

    space: Mapping[str, Any]
    scheduler: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    stop: Mapping[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def source_of(found: Any) -> Source:
    """Return what an object of a user's module says: a ``param_space``, a `Tuner`, or a scheduler.

    Raises:
        ValueError: it is none of them, or asks for what there is no equivalent of.
    """
    if isinstance(found, tune.Tuner):
        source = _of_tuner(found)
    elif isinstance(found, TrialScheduler):
        source = Source({}, found)
    elif isinstance(found, Mapping):
        return Source(found)
    else:
        raise ValueError(f"a space of Ray Tune is a dict, not {type(found).__name__}")  # noqa: TRY004  # as `read` takes it
    _aim(source)
    _schedule(source)
    return source


def _of_tuner(tuner: Any) -> Source:
    made = tuner._local_tuner  # noqa: SLF001  # it gives nothing back of what it was made with
    if made is None:
        raise ValueError("a Tuner of a Ray Client keeps nothing here; import it where Ray is not connected")
    config, run = made._tune_config, made.get_run_config()  # noqa: SLF001
    source = Source(made.param_space or {}, config.scheduler)
    source.fields["objective"] = {"metric": config.metric, "mode": config.mode}
    if config.num_samples > 0:
        source.fields["limits"] = {"trials": config.num_samples}
    if config.search_alg is not None:
        name = type(config.search_alg).__name__
        source.notes.append(Note("strategy", f"the searcher {name} is not read; the strategy is Bayesian"))
    source.stop = run.stop if isinstance(run.stop, Mapping) else {}
    if run.stop is not None and not source.stop:
        source.notes.append(
            Note("", "when a trial is complete is said by a function or a stopper; its program decides")
        )
    return source


def _aim(source: Source) -> None:
    """Set the objective, by the tuner or else by its scheduler; leave it away where neither has one."""
    own = source.fields.pop("objective", {})
    metric = own.get("metric") or getattr(source.scheduler, "_metric", None)
    mode = own.get("mode") or getattr(source.scheduler, "_mode", None)
    if metric is not None:
        source.fields["objective"] = {"metric": metric, "goal": "maximize" if mode == "max" else "minimize"}


def _schedule(source: Source) -> None:
    scheduler = source.scheduler
    if isinstance(scheduler, PopulationBasedTraining):
        _population(source)
    elif isinstance(scheduler, AsyncHyperBandScheduler):
        _asha(source)
    elif scheduler is not None and type(scheduler) is not FIFOScheduler:
        name = type(scheduler).__name__
        source.notes.append(
            Note("stopping", f"the scheduler {name} is not read; say what ends trials early in stopping")
        )


def _asha(source: Source) -> None:
    made: Any = source.scheduler
    longest, eta = int(made._max_t), round(made._reduction_factor)  # noqa: SLF001
    shortest = min(milestone for milestone, *_ in made._brackets[0]._rungs)  # noqa: SLF001
    source.fields["stopping"] = {
        "type": "asha",
        "min_resource": int(shortest),
        "max_resource": longest,
        "eta": max(eta, 2),
    }
    if len(made._brackets) > 1:  # noqa: SLF001
        source.notes.append(
            Note("stopping", "of its brackets there is only the first: every trial may end at each rung")
        )
    _note_time(source, made._time_attr)  # noqa: SLF001


def _note_time(source: Source, attribute: str) -> None:
    if attribute != ITERATION:
        source.notes.append(
            Note("", f"its steps are values of {attribute!r}; report them here: trial.report(…, step=…), whole numbers")
        )


def _population(source: Source) -> None:
    """Set the strategy of Population Based Training, and draw from the parameters that it mutates."""
    made: Any = source.scheduler
    notes = source.notes
    interval = max(round(made._perturbation_interval), 1)  # noqa: SLF001
    strategy: dict[str, Any] = {"type": "population", "interval": interval}
    complete = source.stop.get(made._time_attr)  # noqa: SLF001
    strategy["max_resource"] = interval * _INTERVALS if complete is None else max(round(complete), interval + 1)
    if complete is None:
        notes.append(
            Note("strategy", f"when a member is complete is not known: max_resource is {strategy['max_resource']}")
        )
    members = source.fields.pop("limits", {}).get("trials")
    if members is None or members < 2:
        notes.append(
            Note("strategy", f"how many members there are is not known: {Population.model_fields['members'].default}")
        )
    else:
        strategy["members"] = members
    if made._quantile_fraction > 0:  # noqa: SLF001
        strategy["quantile"] = made._quantile_fraction  # noqa: SLF001
    else:
        notes.append(
            Note("strategy", "quantile_fraction is 0, by which no member goes on from another; here it is 0.25")
        )
    strategy["resample"] = made._resample_probability  # noqa: SLF001
    source.fields |= {"strategy": strategy, "limits": {}}
    _note_time(source, made._time_attr)  # noqa: SLF001
    notes.extend(Note("strategy", message) for message in _population_differences(made))
    notes.append(
        Note(
            "",
            "a member begins with what is in trial.checkpoint_dir(), where it keeps its state, and ends after max_resource steps",
        )
    )
    _mutated(source)


def _population_differences(made: Any) -> list[str]:
    """Return how a scheduler differs from our population strategy."""
    found = []
    if isinstance(made, PB2):
        found.append("PB2 chooses values by a Gaussian process; here they are moved as population based training does")
    elif set(made._perturbation_factors) != _FACTORS:  # noqa: SLF001
        found.append(f"numbers are multiplied by {tuple(made._perturbation_factors)} there, here by 0.8 or 1.2")  # noqa: SLF001
    if made._custom_explore_fn is not None and not isinstance(made, PB2):  # noqa: SLF001
        found.append("its custom_explore_fn is not called; require says which combinations are allowed")
    if made._burn_in_period > made._perturbation_interval:  # noqa: SLF001
        found.append(f"members change from step {made._burn_in_period:g} on there, here from the first interval on")  # noqa: SLF001
    if not made._synch:  # noqa: SLF001
        found.append("members are compared as each reaches an interval there, here when all have (synch=True)")
    return found


def _mutated(source: Source) -> None:
    """Merge the parameters that are mutated into the space."""
    made: Any = source.scheduler
    if isinstance(made, PB2):
        ranges = {name: tune.uniform(*bounds) for name, bounds in made._hyperparam_bounds_flat.items()}  # noqa: SLF001
        changed: Mapping[str, Any] = _nested(ranges)
    else:
        changed = made._hyperparam_mutations  # noqa: SLF001
    source.space = _merged(source.space, changed, "", source.notes)


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dicts for names whose parts are joined by slashes, as `ray.tune.utils.flatten_dict` joins them."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split("/")
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return found


def _merged(space: Mapping[str, Any], changed: Mapping[str, Any], path: str, notes: list[Note]) -> dict[str, Any]:
    found = dict(space)
    kept = [name for name, value in space.items() if name not in changed and isinstance(value, sample.Domain)]
    notes.extend(
        Note(f"{path}.{name}" if path else name, "a member keeps its first value there, here it moves as others do")
        for name in kept
    )
    for name, value in changed.items():
        place = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            found[name] = _merged(found.get(name, {}), value, place, notes)
        elif isinstance(value, list | tuple):
            found[name] = tune.choice(list(value))
        elif callable(value):
            raise ValueError(  # noqa: TRY004  # as above
                f"{place}: hyperparam_mutations has a function, whose range cannot be read; give tune.uniform(…) or the like"
            )
        else:
            found[name] = value
        if name in space and not isinstance(value, Mapping):
            notes.append(
                Note(
                    place, "its first values come from param_space there, here from hyperparam_mutations as later ones"
                )
            )
    return found
