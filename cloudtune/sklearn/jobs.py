"""The job of a search, made from the arguments of `TuneSearchCV`."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune.search import UnsuitableStrategy, strategy_for
from cloudtune.sklearn.evaluating import FAILED, TIMES
from cloudtune.sklearn.spaces import SearchSpace, search_space
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.job import TuningJob

DEFAULT_TRIALS = 10
"""The number of candidates of a search without limits that is no grid; the default of `RandomizedSearchCV`."""

_NUMBER = r"([-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|nan|inf))"


def strategy_of(
    given: Any, space: Any, *, n_iter: int | None, seed: int | None, folds: int
) -> tuple[dict[str, Any], SearchSpace]:
    """Return the strategy as plain data, and the space as that strategy needs it.

    Without a strategy, lists are searched completely, as by `GridSearchCV`, unless `n_iter` is given; all other spaces
    are searched by the Bayesian strategy.

    Args:
        given: the type of a strategy, a strategy, or None.
        space: see `search_space`.
        n_iter: the number of candidates; None if not given.
        seed: the seed of strategies that have none.
        folds: the number of folds of each candidate, which is ``max_resource`` of ``hyperband``.

    Raises:
        SpecError: the space is not valid.
    """
    strategy = _plain({"type": given} if isinstance(given, str) else given or {})
    found = search_space(space, in_order=True)
    if not strategy:
        strategy = {"type": "grid" if found.listed and n_iter is None else "bayesian"}
    if strategy.get("type") == "grid":
        return strategy, found
    if seed is not None and strategy.get("seed") is None:
        strategy = {**strategy, "seed": seed}
    if strategy.get("type") == "hyperband":
        strategy = {"max_resource": folds, **strategy}
    return strategy, search_space(space, in_order=False)


def objectives(names: Sequence[str] | None, refit: Any) -> list[str]:
    """Return the objectives of a search: the mean of the score that decides, or of each score if none does.

    Args:
        names: the names of the scorers; [] for a single one without a name; None if a scoring function gives them.
        refit: the argument of the search: the name of the score that decides, or anything else.
    """
    if isinstance(refit, str) and names != []:
        return [f"mean_test_{refit}"]
    return [f"mean_test_{name}" for name in names or ["score"]]


def patterns(names: Sequence[str] | None, *, train: bool) -> dict[str, str]:
    """Return the regexes of a fold's metrics in the output of a service's trial, by metric name."""
    kinds = ("test", "train") if train else ("test",)
    metrics = [*(f"{kind}_{name}" for kind in kinds for name in names or ["score"]), *TIMES, FAILED]
    return {name: rf"(?:^|[^A-Za-z0-9_.-]){re.escape(name)}={_NUMBER}" for name in metrics}


def search_job(label: str, *parts: Mapping[str, Any]) -> TuningJob:
    """Return the job of a search.

    Args:
        label: the estimator's class name, from which the job's name is made.
        *parts: fields of the job; later parts override earlier ones, and mappings are merged.

    Raises:
        SpecError: a field is not valid.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "-", label)
    job: dict[str, Any] = {"name": words.lower().strip("-")[:40].rstrip("-") or "search"}
    for part in parts:
        for name, value in part.items():
            plain = _plain(value)
            if plain is not None:
                both = isinstance(plain, dict) and isinstance(job.get(name), dict)
                job[name] = {**job[name], **plain} if both else plain
    return TuningJob.from_data(job, "TuneSearchCV")


def candidate_count(job: TuningJob) -> int | None:
    """Return the most candidates of a search; None if only its time limits end it."""
    ends = [job.limits.trials]
    with contextlib.suppress(UnsuitableStrategy):  # raised again when the run is prepared
        ends.append(strategy_for(job, job.search_space(), seed=0).total)
    return min((end for end in ends if end is not None), default=None)


def _plain(value: Any) -> Any:
    """Return a model of the spec as plain data, so that all mistakes are found by the same validation."""
    if isinstance(value, SpecModel):
        return value.model_dump(mode="json", exclude_unset=True) | (
            {"type": value.type} if hasattr(value, "type") else {}
        )
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
