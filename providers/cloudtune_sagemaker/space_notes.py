"""Where each parameter of a space went in a tuning job's request, for the plan's account."""

from collections.abc import Iterator, Sequence

from cloudtune.planning.plan import Ledger, Support
from cloudtune.space.codecs import NumberAsText
from cloudtune.space.parameters import Categorical, Constant, Ordinal
from cloudtune.space.space_codec import SpaceCodec, Travel, fixed_steps
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian, Grid
from cloudtune_sagemaker.wire import CONFIG, DEFINITION, Branch, root_name


def account_for_one(ledger: Ledger, job: TuningJob, codec: SpaceCodec, branch: Branch) -> None:
    """Accounts for a space that one training job definition searches."""
    said = _steps(job, codec, resolved=set())
    for name, place in branch.places.items():
        fixed = place.removeprefix("static.")
        target = (
            f"{CONFIG}.ParameterRanges.{place}" if fixed == place else f"{DEFINITION}.StaticHyperParameters.{fixed}"
        )
        steps = [said[name]] if name in said else []
        if fixed != place:
            steps += [step for step in fixed_steps(job.space[name]) if not steps]
        if steps:
            ledger.note(f"space.{name}", Support.ENCODED, "; ".join(steps), target)
        else:
            ledger.carry(f"space.{name}", target)


def account_for_branches(ledger: Ledger, job: TuningJob, codec: SpaceCodec, branches: Sequence[Branch]) -> None:
    """Accounts for a space that several training job definitions search, one a value of a parameter."""
    root = root_name(branches, codec)
    said = _steps(job, codec, resolved={root})
    message = "each of its values has a training job definition of its own"
    ledger.note(f"space.{root}", Support.ENCODED, message, f"{DEFINITION}s[0].StaticHyperParameters")
    noted = set()
    for index, branch in enumerate(branches):
        for name in branch.places:
            if name not in noted:
                steps = "; ".join(
                    [*([said[name]] if name in said else []), "is searched in the definitions of its branches"]
                )
                ledger.note(f"space.{name}", Support.ENCODED, steps, f"{DEFINITION}s[{index}].HyperParameterRanges")
            noted.add(name)


def _steps(job: TuningJob, codec: SpaceCodec, *, resolved: set[str]) -> dict[str, str]:
    """How each parameter that does not travel as it stands does, by its name in the spec.

    Args:
        job: the spec.
        codec: of its space.
        resolved: parents whose conditions the request itself carries.
    """
    found: dict[str, list[str]] = {}
    for travel in codec.travels:
        found.setdefault(travel.dimension.name, []).extend(_steps_of(job, travel, resolved))
    return {name: "; ".join(dict.fromkeys(steps)) for name, steps in found.items() if steps}


def _steps_of(job: TuningJob, travel: Travel, resolved: set[str]) -> Iterator[str]:
    if travel.sent_as != travel.dimension.name:
        yield f"is called {travel.sent_as}"
    # A number travels as its text and comes back as itself: that is SageMaker's own way.
    yield from (codec.describe() for codec in travel.codecs if not isinstance(codec, NumberAsText))
    entry = job.space[travel.dimension.name]
    variants = entry if isinstance(entry, tuple) else (entry,)
    if isinstance(job.strategy, Grid) and not all(
        isinstance(each, Categorical | Ordinal | Constant) for each in variants
    ):
        yield "its values on the grid travel as categories"
    if set(travel.dimension.parameter.when or {}) - resolved:
        waste = ", which wastes trials" if isinstance(job.strategy, Bayesian) else ""
        yield f"is always sampled{waste}; the trial does not see it where its condition does not hold"
