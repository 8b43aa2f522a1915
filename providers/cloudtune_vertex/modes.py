"""Whether Vertex AI's own tuner can do a job, or only cloudtune's driver with a custom job a trial."""

from collections.abc import Iterator

from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.parameters import Constant, Float, Int
from cloudtune.space.space_codec import Travel
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Auto, Bayesian, Grid, Median, Random
from cloudtune_vertex.wire import Nested, helped

Reason = tuple[str, str]
"""A path of the spec, and the row of `SUPPORT` that says why it needs the driver."""


def driven(job: TuningJob, codec: Nested) -> bool:
    """Whether the job is driven: because it says so, or because nothing else can do it."""
    return job.mode == "driven" or (job.mode == "auto" and any(reasons(job, codec)))


def reasons(job: TuningJob, codec: Nested) -> Iterator[Reason]:
    """What in a job Vertex AI's tuner cannot do."""
    if len({objective.measurement for objective in job.objective}) > 1:
        yield "objective", "objective.measurement"
    yield from _of_strategy(job, codec)
    if job.stopping is not None and not isinstance(job.stopping, Auto | Median):
        yield "stopping", "stopping"
    if job.retries:
        yield "retries", "retries"
    if job.warm_start is not None:
        yield "warm_start", "warm_start"
    if not helped(job):
        yield from _of_plain_space(job, codec)


def _of_strategy(job: TuningJob, codec: Nested) -> Iterator[Reason]:
    strategy = job.strategy
    if not isinstance(strategy, Grid | Random | Bayesian):
        yield "strategy", "strategy.driven"
    elif isinstance(strategy, Bayesian) and strategy.startup is not None:
        yield "strategy.startup", "strategy.driven"
    elif isinstance(strategy, Grid) and not _fits_grid(job, codec):
        yield "strategy", "strategy.driven"
    if all(isinstance(travel.parameter, Constant) for travel in codec.travels) and not job.vertex.get("studySpec"):
        yield "space", "strategy.driven"


def _fits_grid(job: TuningJob, codec: Nested) -> bool:
    """Whether the service's grid is the same: listed and whole values alone, and no conditions."""
    kinds = [travel.parameter for travel in codec.travels]
    return not job.search_space().conditional and not any(isinstance(kind, Float) for kind in kinds)


def _of_plain_space(job: TuningJob, codec: Nested) -> Iterator[Reason]:
    """What a program that reads the service's arguments itself would see in another form, or should not see."""
    for name in job.space:
        travels = [travel for travel in codec.travels if travel.dimension.name == name]
        if len(travels) > 1 or codec.masked(travels[0]) or not _is_plain(travels[0]):
            yield f"space.{name}", "space.driven"


def _is_plain(travel: Travel) -> bool:
    """Whether a parameter travels as it stands, but for the form of a number or a text."""
    if not all(isinstance(codec, NumberAsText | ValuesAsText) for codec in travel.codecs):
        return False
    match travel.parameter:
        case Int(step=step):
            return step == 1
        case Float(scale=scale, step=step):
            return step is None and scale != "reverse_log"
        case _:
            return True
