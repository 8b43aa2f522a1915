"""Whether SageMaker's own tuner can do a job, or only cloudtune's driver with a training job a trial."""

from collections.abc import Iterator

from cloudtune.space.parameters import Categorical, Float, Int, LogNormal, Normal, Ordinal, Parameter
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Auto, Bayesian, Grid, Hyperband, Median, Random
from cloudtune_sagemaker.rules import MAX_JOBS, MAX_VALUES
from cloudtune_sagemaker.wire import DEFINITION, Branch, helped, too_many

Reason = tuple[str, str]
"""A path of the spec, and the row of `SUPPORT` that says why it needs the driver."""


def driven(job: TuningJob, branches: list[Branch]) -> bool:
    """Whether the job is driven: because it says so, or because nothing else can do it."""
    return job.mode == "driven" or (job.mode == "auto" and any(reasons(job, branches)))


def reasons(job: TuningJob, branches: list[Branch]) -> Iterator[Reason]:
    """What in a job SageMaker's tuner cannot do."""
    if len(job.objective) > 1:
        yield "objective", "objective.several"
    for index, objective in enumerate(job.objective):
        if objective.measurement == "best":
            yield f"objective[{index}].measurement", "objective.measurement"
    yield from _of_strategy(job, branches)
    if job.stopping is not None and not isinstance(job.stopping, Auto | Median):
        yield "stopping", "stopping"
    if job.retries:
        yield "retries", "retries"
    if job.warm_start is not None and job.warm_start.table is not None:
        yield "warm_start.table", "warm_start.table"
    if not helped(job) and len(branches) == 1 and f"{DEFINITION}s" not in job.sagemaker:
        yield from _of_plain_space(job)


def _of_strategy(job: TuningJob, branches: list[Branch]) -> Iterator[Reason]:
    strategy = job.strategy
    if not isinstance(strategy, Grid | Random | Bayesian | Hyperband):
        yield "strategy", "strategy.driven"
    elif isinstance(strategy, Bayesian) and strategy.startup is not None:
        yield "strategy.startup", "strategy.driven"
    elif isinstance(strategy, Hyperband) and strategy.searcher != "random":
        yield "strategy.searcher", "strategy.driven"
    elif isinstance(strategy, Grid) and not _fits_grid(job, branches):
        yield "strategy", "strategy.driven"
    if too_many(branches) or not (any(any(branch.ranges.values()) for branch in branches) or _native_ranges(job)):
        yield "space", "strategy.driven"


def _native_ranges(job: TuningJob) -> bool:
    """Whether the native settings name what is searched."""
    config = job.sagemaker.get("HyperParameterTuningJobConfig")
    return f"{DEFINITION}s" in job.sagemaker or (isinstance(config, dict) and bool(config.get("ParameterRanges")))


def _fits_grid(job: TuningJob, branches: list[Branch]) -> bool:
    """Whether the service's grid is the same: categories alone, all combinations, none twice."""
    size = 1
    for kind, declared in branches[0].ranges.items():
        if kind != "CategoricalParameterRanges":
            return False
        for each in declared:
            size *= len(each["Values"])
    return size <= MAX_JOBS and not job.search_space().conditional and job.limits.trials in (None, size)


def _of_plain_space(job: TuningJob) -> Iterator[Reason]:
    """What a program that reads the service's texts itself would see in another form."""
    for name, entry in job.space.items():
        for parameter in entry if isinstance(entry, tuple) else (entry,):
            if parameter.when or not (_is_plain(parameter) or isinstance(job.strategy, Grid)):
                yield f"space.{name}", "space.driven"
                break


def _is_plain(parameter: Parameter) -> bool:
    if isinstance(parameter, Normal | LogNormal):
        return False
    if isinstance(parameter, Int):
        return parameter.step == 1
    if isinstance(parameter, Categorical | Ordinal):
        return len(parameter.values) <= MAX_VALUES
    return not isinstance(parameter, Float) or parameter.step is None
