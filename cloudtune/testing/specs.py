"""Hypothesis strategies for jobs and their parts: property tests that reach every field of the spec.

All jobs are valid. Texts are such as people write; pass your own `texts` for others::

    @given(job=jobs())
    def test_my_translation_loses_nothing(job: TuningJob) -> None: ...

    @given(job=jobs(strategy=Sobol(seed=1), stopping=st.none()))
    def test_my_own_sobol(job: TuningJob) -> None: ...

Strategies are made once and kept: to make and check them takes Hypothesis several times as long as to draw from them.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cloudtune.plugins.entry_points import providers
from cloudtune.space.requirements import quoted
from cloudtune.space.space import Dimension, Space
from cloudtune.spec.beliefs import Belief
from cloudtune.spec.compute import Accelerators, Compute, Encryption, Network
from cloudtune.spec.confirm import Confirm
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.job import Limits, TrialSpec, TuningJob, WarmStart
from cloudtune.spec.money import Money
from cloudtune.spec.notify import Email, Notification
from cloudtune.spec.objective import Objective
from cloudtune.spec.sources import LIBRARIES
from cloudtune.spec.stopping import Asha, Auto, Bandit, Curve, Median, Truncation
from cloudtune.spec.strategies import (
    AutoStrategy,
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
from cloudtune.testing.spaces import TEXTS, Entry, Texts, first_trials, parameter_names, parameters, scalars, spaces

__all__ = [
    "TEXTS", "Entry", "Texts", "durations", "first_trials", "jobs", "objectives", "parameter_names", "parameters", "scalars",
    "sizes", "spaces", "stopping_rules", "strategies",
]  # fmt: skip

_CHANNELS = (
    Notification(slack="${SLACK_WEBHOOK_URL}"),
    Notification(email=Email(to=("me@example.com",), server="smtp.example.com"), events=("failure",)),
    Notification(
        email=Email(
            to=("me@example.com",),
            server="smtp.example.com:465",
            sender="runs@example.com",
            user="runs",
            password="${SMTP_PASSWORD}",  # noqa: S106  # a reference
        )
    ),
    Notification(webhook="https://example.com/runs", headers={"Authorization": "Bearer ${OPS_TOKEN}"}),
    Notification(command=("notify-send", "cloudtune")),
)
_SOURCES = tuple(LIBRARIES)
_REGEXES = (r"score = (\S+)", r'"loss": ([-+0-9.e]+)', r"acc\w*=(?P<value>[0-9.]+)")


@cache
def durations() -> SearchStrategy[timedelta]:
    """Generate positive durations: round ones, and others to the microsecond, up to 1000 days."""
    seconds = st.sampled_from([1, 90, 20 * 60, 3600, 5400, 86400]).map(lambda count: timedelta(seconds=count))
    return st.one_of(seconds, st.timedeltas(timedelta(microseconds=1), timedelta(days=1000)))


@cache
def sizes() -> SearchStrategy[int]:
    """Generate sizes in bytes: round ones, and others, up to 2^60."""
    round_sizes = st.builds(
        lambda count, unit: count * unit, st.integers(1, 999), st.sampled_from([10**6, 10**9, 2**30])
    )
    return st.one_of(round_sizes, st.integers(1, 2**60))


# Jobs


@cache
def objectives(texts: Texts = TEXTS) -> SearchStrategy[tuple[Objective, ...]]:
    """Generate one to three objectives with different metrics."""
    objective = st.builds(
        Objective,
        metric=texts,
        goal=st.sampled_from(["maximize", "minimize"]),
        regex=st.none() | st.sampled_from(_REGEXES),
        measurement=st.sampled_from(["last", "best"]),
    )
    return st.lists(objective, min_size=1, max_size=3, unique_by=lambda one: one.metric).map(tuple)


@cache
def strategies(*, finite: bool = True) -> SearchStrategy[Any]:
    """Generate every search strategy; `finite` is whether the space is, since otherwise a grid needs levels."""
    seeds = st.none() | st.integers(0, 2**31 - 1)
    levels = st.integers(1, 9)
    least = st.shared(st.integers(1, 9), key="least resource")
    return st.one_of(
        st.builds(Grid, levels=st.none() | levels if finite else levels),
        st.builds(AutoStrategy, seed=seeds),
        st.builds(Random, seed=seeds),
        st.builds(Sobol, seed=seeds),
        st.builds(Bayesian, seed=seeds, startup=st.none() | st.integers(1, 50), cost_aware=st.booleans()),
        st.builds(Evolutionary, seed=seeds, population=st.none() | st.integers(2, 50)),
        st.builds(
            Hyperband,
            seed=seeds,
            min_resource=least,
            max_resource=least.flatmap(lambda count: st.integers(count, 100)),
            eta=st.integers(2, 5),
            searcher=st.sampled_from(["random", "bayesian", "evolutionary"]),
            resume=st.sampled_from([None, "checkpoint"]),
        ),
        st.builds(
            Population,
            seed=seeds,
            members=st.integers(2, 9),
            interval=least,
            max_resource=least.flatmap(lambda count: st.integers(count + 1, 100)),
            quantile=st.floats(0.01, 0.5),
            resample=st.floats(0, 1),
        ),
        st.builds(
            OptunaSampler,
            seed=seeds,
            sampler=st.sampled_from(["TPESampler", "CmaEsSampler"]),
            options=st.dictionaries(st.sampled_from(["n_startup_trials"]), st.integers(1, 9)),
        ),
        st.builds(
            HyperoptTpe,
            seed=seeds,
            startup=st.integers(1, 50),
            candidates=st.integers(1, 50),
            gamma=st.floats(0.1, 0.5),
        ),
    )


@cache
def stopping_rules() -> SearchStrategy[Any]:
    """Generate every stopping rule."""
    times: dict[str, SearchStrategy[int]] = {"grace": st.integers(0, 9), "interval": st.integers(1, 9)}
    slack = st.floats(1e-6, 1e6)
    return st.one_of(
        st.builds(Median, **times),
        st.builds(Bandit, slack_factor=slack, **times),
        st.builds(Bandit, slack_amount=slack, **times),
        st.builds(Curve, probability=st.floats(0.01, 0.5), **times),
        st.builds(Truncation, percentage=st.integers(1, 99), **times),
        st.builds(
            Asha,
            min_resource=st.integers(1, 9),
            max_resource=st.none() | st.integers(9, 99),
            eta=st.integers(2, 5),
            resume=st.sampled_from([None, "checkpoint"]),
        ),
        st.builds(Auto),
    )


_SELDOM = st.sampled_from([False] * 7 + [True])
_STOPPING = st.none() | stopping_rules()


@st.composite
def jobs(draw: DrawFn, /, *, texts: Texts = TEXTS, **fields: Any) -> TuningJob:
    """Generate valid jobs that use every field of the spec, each in about half of them; ``confirm``, which is always driven, in few.

    Args:
        texts: for the fields and keys that take any text of at least one character.
        fields: fields of the job to fix, as values or as strategies; fields that depend on them follow.
    """
    chosen = {name: draw(value) if isinstance(value, SearchStrategy) else value for name, value in fields.items()}

    def choose(name: str, strategy: SearchStrategy[Any]) -> Any:
        if name not in chosen:
            chosen[name] = draw(strategy)
        return chosen[name]

    space = choose("space", spaces(texts=texts))
    finite = all(dimension.axis.size is not None for dimension in Space(space).dimensions)
    search = choose("strategy", strategies(finite=finite).flatmap(lambda each: _with_prior(each, space)))
    single = isinstance(aim := choose("objective", objectives(texts)), Objective) or len(aim) == 1
    choose("stopping", st.none() if isinstance(search, Hyperband | Population) else _STOPPING)
    limits = choose("limits", _limits(endless=isinstance(search, Grid), single=single))
    if draw(st.booleans()):
        choose("first", first_trials(space, most=min(3, limits.trials or 3)))
    choose("confirm", _confirmations(limits.trials) if draw(_SELDOM) else st.none())
    choose("require", _requirements(space))
    for name, strategy in _independent(texts, tuple(sorted(providers()))).items():
        if name in ("name", "trial") or draw(st.booleans()):
            choose(name, strategy)
    for name in {"objective", "constraints"} & chosen.keys() - fields.keys():
        chosen[name] = draw(_heard(chosen[name], chosen))
    return TuningJob(**chosen)


def _heard(measured: Any, job: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Generate objectives or constraints of which some that may be heard where the program logs them are."""
    trial, printed = job["trial"], job.get("metrics", {})
    if not isinstance(measured, tuple) or (trial.command is None and trial.function is None):
        return st.just(measured)
    each = [
        st.just(one) if one.regex is not None or one.metric in printed else st.sampled_from([*_SOURCES, None]).map(partial(_from, one))
        for one in measured
    ]  # fmt: skip
    return st.tuples(*each)


def _from(measured: Objective | Constraint, source: str | None) -> Objective | Constraint:
    return measured.model_copy(update={"source": source})


def _with_prior(strategy: Any, entries: dict[str, Entry]) -> SearchStrategy[Any]:
    """Generate a strategy with beliefs and without, where it takes any."""
    if not isinstance(strategy, AutoStrategy | Bayesian):
        return st.just(strategy)
    dimensions = Space(entries).dimensions
    beliefs = st.builds(_belief, st.sampled_from(dimensions), st.none() | st.floats(0.01, 100))
    return (st.none() | beliefs).map(lambda prior: strategy.model_copy(update={"prior": prior}))


def _belief(dimension: Dimension, spread: float | None) -> dict[str, Belief]:
    around = dimension.axis.at(0.5)
    number = isinstance(around, int | float) and not isinstance(around, bool)
    return {dimension.name: Belief(around=around, spread=spread if number else None)}


@cache
def _constraints(words: Texts) -> SearchStrategy[Constraint]:
    """Generate constraints on metrics that are neither objectives nor further metrics."""
    low, high = st.floats(-1e6, 0), st.floats(0, 1e6) | st.sampled_from(["8GB", "512MiB", "50ms", "2h"])
    bounds = st.one_of(st.tuples(low, high), st.tuples(st.none(), high), st.tuples(low, st.none()))
    return st.builds(
        lambda name, ends, regex: Constraint(metric=f"bounded {name}", min=ends[0], max=ends[1], regex=regex),
        words,
        bounds,
        st.none() | st.sampled_from(_REGEXES),
    )


@cache
def _confirmations(trials: int | None) -> SearchStrategy[Confirm | None]:
    """Return a strategy for ``confirm`` that leaves enough of the trials to the search; null where there are too few."""
    if trials is not None and trials < 2:
        return st.none()
    most = 20 if trials is None else trials
    pairs = st.tuples(st.integers(1, 4), st.integers(1, 5)).filter(lambda pair: pair[1] * (pair[0] + 1) <= most)
    return pairs.map(lambda pair: Confirm(repeats=pair[0], top=pair[1]))


def _requirements(space: Any) -> SearchStrategy[tuple[str, ...]]:
    """Generate requirements that every trial of a space meets."""
    names = [quoted(name) for name in space]
    forms = [form.format(name) for name in names for form in ("{0} == {0}", "not {0} != {0}")]
    return st.lists(st.sampled_from(forms), max_size=2, unique=True).map(tuple)


_COUNTS = st.none() | st.integers(1, 200)
_DURATIONS = st.none() | durations()
_TARGETS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
_AMOUNTS = st.none() | st.builds(Money, st.decimals("0.01", 10_000, places=2), st.sampled_from(["", "USD"]))


@cache
@st.composite
def _limits(draw: DrawFn, *, endless: bool, single: bool) -> Limits:
    return Limits(
        trials=draw(_COUNTS if endless else st.integers(1, 200)),
        parallel=draw(st.integers(1, 20)),
        failed=draw(_COUNTS),
        time=draw(_DURATIONS),
        trial_time=draw(_DURATIONS),
        target=draw(_TARGETS) if single else None,
        no_improvement=draw(_COUNTS),
        cost=draw(_AMOUNTS),
    )


@cache
def _independent(words: Texts, installed: tuple[str, ...]) -> dict[str, SearchStrategy[Any]]:
    """Return strategies for the fields that depend on no other, by name; some name installed providers."""
    per_provider = words | st.dictionaries(st.sampled_from([*installed, "katib"]), words, min_size=1, max_size=3)
    native = st.dictionaries(words, _json(words), max_size=3)
    regions = st.sampled_from(["eu-west-1", "us-central1", "westeurope", "mars-1"])
    locations = st.sampled_from(["./data", "s3://bucket/data", "gs://bucket/data", "azureml://datastores/d/paths/p"])
    return {
        "name": st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,20}[A-Za-z0-9])?", fullmatch=True),
        "trial": _trials(words, per_provider),
        "constraints": st.lists(_constraints(words), max_size=3, unique_by=lambda each: each.metric).map(tuple),
        "metrics": st.dictionaries(words, st.sampled_from(_REGEXES), max_size=3),
        "retries": st.integers(0, 5),
        "warm_start": st.builds(
            WarmStart,
            runs=st.lists(words, min_size=1, max_size=3).map(tuple),
            table=st.none() | st.just("known.csv"),
            kind=st.sampled_from(["identical", "transfer"]),
        ),
        "mode": st.sampled_from(["auto", "managed", "driven"]),
        "strict": st.booleans(),
        "notify": st.lists(st.sampled_from(_CHANNELS), max_size=2).map(tuple),
        "compute": _computes(words, per_provider),
        "data": st.dictionaries(words, locations | per_provider, max_size=3),
        "output": locations | per_provider,
        "region": regions | st.dictionaries(st.sampled_from([*installed, "katib"]), regions, min_size=1, max_size=3),
        "network": st.builds(
            Network,
            name=st.none() | words,
            subnets=st.lists(words, max_size=3).map(tuple),
            security_groups=st.lists(words, max_size=3).map(tuple),
            isolated=st.booleans(),
        ),
        "identity": per_provider,
        "encryption": st.builds(
            Encryption,
            key=st.none() | per_provider,
            volume_key=st.none() | per_provider,
            traffic=st.booleans(),
        ),
        "tags": st.dictionaries(words, st.just("") | words, max_size=3),
        **dict.fromkeys(installed, native),
        "native": st.dictionaries(st.sampled_from(["katib", "wandb"]), native, max_size=3),
    }


@cache
def _trials(words: Texts, per_provider: SearchStrategy[Any]) -> SearchStrategy[TrialSpec]:
    shared: dict[str, SearchStrategy[Any]] = {
        "source": st.none() | st.sampled_from([".", "./src"]),
        "ignore": st.lists(st.sampled_from(["*.ckpt", "data/", "!keep.txt"]), max_size=2).map(tuple),
        "environment": st.dictionaries(
            st.from_regex(r"[A-Z][A-Z0-9_]{0,7}", fullmatch=True), st.just("") | words, max_size=3
        ),
    }
    images = st.none() | per_provider
    command = (
        words | st.lists(words, min_size=1, max_size=4).map(tuple) | st.just("python train.py --lr {lr}\necho done")
    )
    functions = st.sampled_from(["train:main", "package.module:fit"])
    return st.one_of(
        st.builds(TrialSpec, command=command, image=images, **shared),
        st.builds(TrialSpec, function=functions, image=images, **shared),
        st.builds(TrialSpec, image=per_provider, **shared),
    )


@cache
def _computes(words: Texts, per_provider: SearchStrategy[Any]) -> SearchStrategy[Compute]:
    return st.builds(
        Compute,
        instance=st.none() | per_provider | st.lists(words, min_size=2, max_size=3, unique=True).map(tuple),
        count=st.integers(1, 16),
        accelerators=st.none() | st.builds(Accelerators, type=words, count=st.integers(1, 8)),
        cpus=st.none() | st.floats(0.1, 128),
        memory=st.none() | sizes(),
        disk=st.none() | sizes(),
        spot=st.booleans(),
        max_wait=st.none() | durations(),
        keep=st.none() | durations(),
    )


@cache
def _json(words: Texts) -> SearchStrategy[Any]:
    """Generate native settings: JSON data of any shape."""
    return st.recursive(
        scalars(words),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=5,
    )
