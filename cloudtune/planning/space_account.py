"""Account for a space: which parameters travel as they stand, and how the others do."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from cloudtune.planning.plan import Ledger, Support
from cloudtune.space.codecs import NumberAsText
from cloudtune.space.space_codec import EncodedDimension, SpaceCodec, fixed_steps, listed_steps
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian, Grid

More = Callable[[EncodedDimension], Iterable[str]]
"""Yields what else a service does with a dimension."""


def _nothing_more(encoded: EncodedDimension) -> Iterable[str]:  # noqa: ARG001  # see More
    return ()


def travel_steps(
    job: TuningJob,
    codec: SpaceCodec,
    more: More = _nothing_more,
    masked: Callable[[EncodedDimension], bool] | None = None,
) -> dict[str, list[str]]:
    """Return how each parameter travels that does not travel as it stands, by its name in the spec.

    Args:
        job: the spec.
        codec: of its space.
        more: yields what else the service does with a dimension.
        masked: whether a dimension is sampled where it does not exist; None for what the codec says.
    """
    found: dict[str, list[str]] = {}
    for encoded in codec.encoded_dimensions:
        found.setdefault(encoded.dimension.name, []).extend(_steps(job, encoded, more))
        if (masked or codec.masked)(encoded):
            waste = ", which wastes trials" if isinstance(job.strategy, Bayesian) else ""
            step = f"is always sampled{waste}; the trial does not see it where its condition does not hold"
            found[encoded.dimension.name].append(step)
    return {name: list(dict.fromkeys(steps)) for name, steps in found.items() if steps}


def _steps(job: TuningJob, encoded: EncodedDimension, more: More) -> Iterator[str]:
    if encoded.sent_as != encoded.dimension.name:
        yield f"is called {encoded.sent_as}"
    # A number travels as its text and comes back as itself: that is the services' own way.
    yield from (codec.describe() for codec in encoded.codecs if not isinstance(codec, NumberAsText))
    grid = isinstance(job.strategy, Grid)
    yield from listed_steps(job.space[encoded.dimension.name], encoded.parameter, grid=grid)
    yield from more(encoded)


def account_for_space(
    ledger: Ledger, job: TuningJob, steps: Mapping[str, list[str]], places: Mapping[str, str], fixed: str
) -> list[str]:
    """Account for each parameter of a space; return the names of those that travel as they stand.

    Args:
        ledger: takes where each parameter goes.
        job: the spec.
        steps: from `travel_steps`.
        places: the place of each parameter in the request, by its name in the spec; "" for one that does not vary.
        fixed: the place in the request of those that do not vary.
    """
    exact = []
    for name, place in places.items():
        own = list(dict.fromkeys([*steps.get(name, []), *([] if place else fixed_steps(job.space[name]))]))
        if own:
            ledger.note(f"space.{name}", Support.ENCODED, "; ".join(own), place or fixed)
        else:
            ledger.carry(f"space.{name}", place or fixed)
            exact.append(name)
    return exact
