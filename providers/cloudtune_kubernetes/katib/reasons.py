"""What in a job Katib cannot do."""

from collections.abc import Iterator

from cloudtune.interop.katib.algorithms import algorithm_of
from cloudtune.interop.katib.metrics import filters_of
from cloudtune.planning.mode import Reason, constraint_reasons, course_reasons, plain_space_reasons
from cloudtune.planning.plan import Support
from cloudtune.space.parameters import Float
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import (
    Bayesian,
    Evolutionary,
    Grid,
    Hyperband,
    HyperoptTpe,
    OptunaSampler,
    Population,
    Random,
    Sobol,
)
from cloudtune_kubernetes.katib.experiment import losses_of
from cloudtune_kubernetes.katib.space import Written, algorithm_name, is_plain, loses_its_scale, write
from cloudtune_kubernetes.pod import helped

_STRATEGIES = (Random, Grid, Sobol, Bayesian, Evolutionary, HyperoptTpe, OptunaSampler, Population)


def reasons(job: TuningJob, codec: SpaceCodec) -> Iterator[Reason]:
    """Yield what in a job Katib cannot do; where the mode is left open, also what it does only nearly."""
    if len(job.objective) > 1:
        yield "objective", "objective.several"
    if ";" in job.objective[0].metric:
        yield "objective[0].metric", "objective.name"
    yield from constraint_reasons(job)
    yield from _of_strategy(job, codec)
    yield from course_reasons(job, (Auto, Median))
    if job.warm_start is not None:
        yield "warm_start", "warm_start"
    if not helped(job):
        yield from _of_a_plain_program(job, codec)


def _of_strategy(job: TuningJob, codec: SpaceCodec) -> Iterator[Reason]:
    if isinstance(job.strategy, Hyperband):
        yield "strategy", "strategy.hyperband"
        return
    if not isinstance(job.strategy, _STRATEGIES):
        yield "strategy", "strategy.driven"
        return
    if isinstance(job.strategy, Population) and (job.mode == "auto" or not helped(job)):
        yield "strategy", "strategy.population.driven"
    space = write(codec)
    if not space.varied:
        yield "space", "strategy.driven"
        return
    for key, support, _ in losses_of(algorithm_of(job.strategy, space.varied, None)):
        if support is Support.UNSUPPORTED or job.mode == "auto":
            yield f"strategy.{key}", "strategy.driven"
    if isinstance(job.strategy, Grid) and not _fits_grid(job, space):
        yield "strategy", "strategy.driven"
    for travel in codec.encoded_dimensions:
        if job.mode == "auto" and loses_its_scale(travel):
            yield f"space.{travel.dimension.name}", "space.scale.driven"


def _fits_grid(job: TuningJob, space: Written) -> bool:
    """Return whether Katib's grid has each combination once: no conditions, and whole numbers and lists alone."""
    return not job.search_space().conditional and not any(isinstance(each, Float) for each in space.varied.values())


def _of_a_plain_program(job: TuningJob, codec: SpaceCodec) -> Iterator[Reason]:
    algorithm = algorithm_name(job)
    yield from plain_space_reasons(job, codec, lambda travel: is_plain(algorithm, travel))
    _, lost = filters_of(job.objective[0], job.metrics)
    if job.objective[0].metric in lost:
        yield "objective[0].regex", "objective.regex.driven"
    for name in job.metrics:
        if name in lost:
            yield f"metrics.{name}", "objective.regex.driven"
