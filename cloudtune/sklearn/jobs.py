"""The job of a search: what its arguments say in the terms of the spec."""

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
"""Candidates of a search that has no end of its own and was given none: `RandomizedSearchCV`'s ``n_iter``."""

_NUMBER = r"([-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|nan|inf))"


def strategy_of(
    given: Any, space: Any, *, n_iter: int | None, seed: int | None, folds: int
) -> tuple[dict[str, Any], SearchSpace]:
    """How to search, and the space as this strategy needs it.

    Without a strategy, lists are searched completely, as by `GridSearchCV`, unless `n_iter` says how many candidates
    there shall be; everything else is searched by a model.

    Args:
        given: the type of a strategy, a strategy, or None.
        space: see `search_space`.
        n_iter: how many candidates; None where nobody said.
        seed: of strategies that say none themselves.
        folds: of each candidate, which are the steps by which ``hyperband`` decides.

    Raises:
        SpecError: the space is none.
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
    """What a search aims at: the mean of the score that decides, or of each where none does.

    Args:
        names: of the scorers; none for a single one without a name; None where a function of the user's gives them.
        refit: the search's argument: the name of the score that decides, or anything else.
    """
    if isinstance(refit, str) and names != []:
        return [f"mean_test_{refit}"]
    return [f"mean_test_{name}" for name in names or ["score"]]


def patterns(names: Sequence[str] | None, *, train: bool) -> dict[str, str]:
    """How the metrics of a fold are found in what a trial of a service prints, by their names."""
    kinds = ("test", "train") if train else ("test",)
    metrics = [*(f"{kind}_{name}" for kind in kinds for name in names or ["score"]), *TIMES, FAILED]
    return {name: rf"(?:^|[^A-Za-z0-9_.-]){re.escape(name)}={_NUMBER}" for name in metrics}


def search_job(label: str, *parts: Mapping[str, Any]) -> TuningJob:
    """The job of a search.

    Args:
        label: what is tuned.
        *parts: fields of the job; a later part completes and outweighs the earlier ones.

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
    """How many candidates a search will have, at most; None where only its limits in time tell."""
    ends = [job.limits.trials]
    with contextlib.suppress(UnsuitableStrategy):  # told when the run is prepared
        ends.append(strategy_for(job, job.search_space(), seed=0).total)
    return min((end for end in ends if end is not None), default=None)


def _plain(value: Any) -> Any:
    """Models as plain data, so that all mistakes are found and told in one way."""
    if isinstance(value, SpecModel):
        return value.model_dump(mode="json", exclude_unset=True) | (
            {"type": value.type} if hasattr(value, "type") else {}
        )
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
