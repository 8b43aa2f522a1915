"""Whether Azure Machine Learning's own sweep can do a job, or only cloudtune's driver with a command job a trial."""

from collections.abc import Iterator

from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.parameters import Float, Int, LogNormal, Normal
from cloudtune.space.space_codec import Travel
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Auto, Bandit, Bayesian, Grid, Median, Random, Sobol, Truncation
from cloudtune_azureml.rules import MAX_TRIALS
from cloudtune_azureml.wire import Branched, helped, sampling_of, whole_bell, write

Reason = tuple[str, str]
"""A path of the spec, and the row of `SUPPORT` that says why it needs the driver."""


def driven(job: TuningJob, codec: Branched) -> bool:
    """Whether the job is driven: because it says so, or because nothing else can do it."""
    return job.mode == "driven" or (job.mode == "auto" and any(reasons(job, codec)))


def reasons(job: TuningJob, codec: Branched) -> Iterator[Reason]:
    """What in a job Azure Machine Learning's sweep cannot do."""
    if len(job.objective) > 1:
        yield "objective", "objective.several"
    yield from _of_strategy(job, codec)
    if job.stopping is not None and not isinstance(job.stopping, Auto | Bandit | Median | Truncation):
        yield "stopping", "stopping"
    elif job.stopping is not None and isinstance(job.strategy, Bayesian):
        yield "stopping", "stopping.bayesian"
    if job.retries:
        yield "retries", "retries"
    if job.warm_start is not None:
        yield "warm_start", "warm_start"
    if not helped(job) and not job.azureml.get("search_space"):  # else the native settings say how it travels
        yield from _of_plain_space(job, codec)


def _of_strategy(job: TuningJob, codec: Branched) -> Iterator[Reason]:
    strategy = job.strategy
    if not isinstance(strategy, Grid | Random | Sobol | Bayesian):
        yield "strategy", "strategy.driven"
    elif isinstance(strategy, Bayesian) and strategy.startup is not None:
        yield "strategy.startup", "strategy.driven"
    elif isinstance(strategy, Grid) and not _fits_grid(codec):
        yield "strategy", "strategy.driven"
    if not job.azureml.get("search_space") and not write(codec, sampling_of(job)).space:
        yield "space", "strategy.driven"


def _fits_grid(codec: Branched) -> bool:
    """Whether the service's grid is the same: listed values alone, and conditions as branches."""
    return not any(
        isinstance(travel.parameter, Float) or codec.masked(travel) or (travel.dimension.axis.size or 0) > MAX_TRIALS
        for travel in codec.travels
    )


def _of_plain_space(job: TuningJob, codec: Branched) -> Iterator[Reason]:
    """What a program that reads the service's values itself would see in another form, or should not see."""
    for name in job.space:
        travels = [travel for travel in codec.travels if travel.dimension.name == name]
        if len(travels) > 1 or codec.masked(travels[0]) or not _is_plain(job, travels[0]):
            yield f"space.{name}", "space.driven"


def _is_plain(job: TuningJob, travel: Travel) -> bool:
    """Whether a parameter travels as it stands, but for the form of a number or a text."""
    if not all(isinstance(codec, NumberAsText | ValuesAsText) for codec in travel.codecs):
        return False
    match travel.parameter:
        case Int(scale="log"):
            return sampling_of(job) == "random"
        case Int():
            return (travel.dimension.axis.size or 0) <= MAX_TRIALS
        case Float(scale=scale, step=step):
            return step is None and (scale == "linear" or (scale == "log" and sampling_of(job) == "random"))
        case Normal() | LogNormal():
            return sampling_of(job) == "random" and whole_bell(travel.parameter)
        case _:
            return True
