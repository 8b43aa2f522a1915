"""The spec: one tuning job and its parts, the same in Python and in YAML."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from cloudtune.space.combinations import count_of
from cloudtune.space.parameters import Count, Integer, Number, SpecModel
from cloudtune.space.space import Space
from cloudtune.spec.compute import Compute, Encryption, Network
from cloudtune.spec.confirm import ConfirmField
from cloudtune.spec.consistency import Found, constraint_problems, nul_problems, refuse, search_problems
from cloudtune.spec.constraint import Constraint, Constraints
from cloudtune.spec.fields import Cost, Duration, Name, PerProvider, Requirements, SpaceEntries, Text
from cloudtune.spec.first import FirstTrials
from cloudtune.spec.native import FIELD, Native, gathered, native_path, own_keys
from cloudtune.spec.notify import Notifications
from cloudtune.spec.objective import COST, Objective, Objectives, check_regex
from cloudtune.spec.sources import source_problems
from cloudtune.spec.stopping import Stopping
from cloudtune.spec.strategies import AutoStrategy, Grid, Strategy


def _environment_text(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f'write the text that the program gets in quotes, e.g. "{str(value).lower()}"')  # noqa: TRY004
    return str(value) if isinstance(value, int | float) else value


def _variable(name: str) -> str:
    if "=" in name or "\0" in name:
        raise ValueError("holds = or a NUL character")
    return name


class TrialSpec(SpecModel):
    """What one trial runs: a command, a function, or the program that an image starts."""

    source: Text | None = None
    """The folder whose files travel with the trial; relative to the job file. Null: the trial runs where the job file is."""
    ignore: tuple[Text, ...] = ()
    """Patterns, as in a .gitignore, of files in `source` that do not travel."""
    command: Text | Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """A shell command line, or a list of a program and its arguments. Parameters replace {name}; those without {name} are appended as --name value."""
    function: Annotated[str, StringConstraints(pattern=r"^[\w.]+:[\w.]+$")] | None = None
    """A Python function, package.module:name, that takes the parameters as keywords and returns its metrics."""
    image: PerProvider | None = None
    """The container image; one, or one a provider."""
    environment: dict[
        Annotated[Text, AfterValidator(_variable)],
        Annotated[str, BeforeValidator(_environment_text)],
    ] = {}
    """Environment variables of the trial. Plans, logs and the store do not show their values."""

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        if self.command is not None and self.function is not None:
            raise ValueError("has both a command and a function; keep one")
        if self.command is None and self.function is None and self.image is None:
            raise ValueError("says nothing to run; give a command, a function or an image with its own entrypoint")
        return self


class Limits(SpecModel):
    """When the job ends, and how much of it runs at once."""

    trials: Count | None = None
    """How many trials are started, with the repetitions of `confirm`; null only for a grid, which ends by itself."""
    parallel: Count = 1
    """How many trials run at the same time."""
    failed: Count | None = None
    """So many failed trials fail the job; null: it fails when its first 3 trials (or `parallel`, if more) fail in the same way."""
    time: Duration | None = None
    """How long the job may take."""
    trial_time: Duration | None = None
    """How long one trial may take, from each of its starts: a paused one that goes on has the whole time again."""
    target: Number | None = None
    """The job ends when a trial's objective is at least this good."""
    no_improvement: Count | None = None
    """The job ends when so many finished trials in a row brought no better objective."""
    cost: Cost | None = None
    """What all trials together may cost; the job ends before more is spent."""


class WarmStart(SpecModel):
    """Known trials that the strategy learns from: of earlier runs, or of a table."""

    runs: tuple[Text, ...] = ()
    """Ids of earlier runs, whole."""
    table: Text | None = None
    """A file of known trials, .csv, .json or .jsonl: a column a parameter and one a metric of the objectives and constraints; a row without a value of an objective is run first. Relative to the job file."""
    kind: Literal["identical", "transfer"] = "identical"
    """identical: same data and program, so its trials count as this run's; transfer: a similar problem, so its trials are only a prior."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if not self.runs and self.table is None:
            raise ValueError("names nothing to learn from; give runs, a table, or both")
        return self


class TuningJob(SpecModel):
    """One tuning job: the trial, the search space, the objective, the strategy and the limits."""

    name: Name
    """Names the runs: letters, digits, - and _, up to 63."""
    trial: TrialSpec
    """What one trial runs."""
    objective: Objectives
    """What is optimised: one objective, or a list."""
    constraints: Constraints = ()
    """Bounds on metrics that a trial must keep to be the best: one, or a list."""
    metrics: dict[Text, Text] = {}
    """Further metrics to record from the trial's output: a name and a regex whose first group is the number."""
    space: SpaceEntries
    """The parameters by name; a list under a name holds variants of it for different conditions."""
    require: Requirements = ()
    """Conditions on the parameters that every trial meets, such as "batch * width <= 4096" or "min_lr < max_lr"; one, or a list."""
    strategy: Strategy = AutoStrategy.model_construct()
    """How the next trial is chosen; auto: by what suits the space, the objectives and the limits."""
    first: FirstTrials = ()
    """Trials to run before those that the strategy chooses: some or all values of each; the strategy chooses the others."""
    stopping: Stopping | None = None
    """The rule by which trials are stopped early."""
    limits: Limits = Limits.model_construct()
    """When the job ends."""
    retries: Annotated[Integer, Field(ge=0)] = 0
    """How often a failed trial is tried again."""
    warm_start: (
        Annotated[
            WarmStart,
            BeforeValidator(lambda value: {"runs": value} if isinstance(value, list | tuple) else value),
        ]
        | None
    ) = None
    """Earlier runs to learn from; also written as a list of run ids."""
    confirm: ConfirmField = None
    """Runs the top candidates again with other seeds at the end; also written as the number of repetitions. They count in `limits`."""
    mode: Literal["auto", "managed", "driven"] = "auto"
    """managed: the service's own tuner; driven: cloudtune's, with one plain job of the service a trial; auto: managed where it can."""
    strict: bool = False
    """Whether settings that the provider can only approximate are errors."""
    compute: Compute = Compute.model_construct()
    """What one trial runs on."""
    data: dict[Text, PerProvider] = {}
    """Inputs by name: a local path, s3://, gs://, azureml:// or https; one, or one a provider."""
    output: PerProvider | None = None
    """Where outputs go: a folder or a bucket; one, or one a provider."""
    network: Network | None = None
    """The network of the trials' machines."""
    region: PerProvider | None = None
    """The region that trials run in; one, or one a provider. Null: the profile's."""
    identity: PerProvider | None = None
    """The role or service account that trials run as; one, or one a provider."""
    encryption: Encryption | None = None
    """Keys for data at rest."""
    notify: Notifications = ()
    """Who is told when the run ends, fails, or has spent 80 % of its budget: one channel, or a list. cloudtune.toml names channels for all runs."""
    tags: dict[Text, str] = {}
    """Labels of the job on the service."""
    native: dict[Text, Native] = {}
    """Native settings by the provider's name, merged last; those of an installed provider also stand under its name beside the fields."""

    @model_validator(mode="before")
    @classmethod
    def _native_in_one_field(cls, data: Any) -> Any:
        """Take ``sagemaker: {…}`` for ``native: {sagemaker: {…}}``, and an alias for its provider's name."""
        return gathered(cls, data) if isinstance(data, Mapping) else data

    @field_validator("metrics")
    @classmethod
    def _metrics_compile(cls, metrics: dict[str, str]) -> dict[str, str]:
        for name, regex in metrics.items():
            try:
                check_regex(regex)
            except ValueError as error:
                raise ValueError(f"the regex of {name!r} {error}") from None
        return metrics

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        starts = self.trial.command is not None or self.trial.function is not None
        problems = [*search_problems(self), *constraint_problems(self, self.metrics), *self._limit_problems()]
        if problems := [*problems, *source_problems(self, starts=starts), *self._unspeakable()]:
            refuse(type(self).__name__, problems)
        return self

    def _unspeakable(self) -> Iterator[Found]:
        trial = self.trial
        yield from nul_problems(("trial", "command"), trial.command)
        for name, value in trial.environment.items():
            yield from nul_problems(("trial", "environment", name), value)
        for name, entry in self.space.items():
            for place, each in enumerate(entry) if isinstance(entry, tuple) else [(None, entry)]:
                path = ("space", name) if place is None else ("space", name, place)
                for field in ("values", "value"):
                    yield from nul_problems((*path, field), getattr(each, field, None))

    def _limit_problems(self) -> list[Found]:
        problems: list[Found] = []
        limits = self.limits
        if limits.trials is None and not self.strategy.ends_by_itself:
            kind = "search" if isinstance(self.strategy, AutoStrategy) else f"{self.strategy.type} search"
            message = f"how many trials? A {kind} has no end of its own"
            problems.append((("limits", "trials"), message))
        if limits.trials is not None and len(self.first) > limits.trials:
            message = f"{limits.trials} trials are fewer than the {len(self.first)} of first"
            problems.append((("limits", "trials"), message))
        if limits.target is not None and len(self.objective) > 1:
            problems.append((("limits", "target"), "a target needs a single objective"))
        if self.confirm is not None and limits.trials is not None:
            least = self.confirm.trials + self.confirm.top
            if limits.trials < least:
                message = (
                    f"{self.confirm.trials} of the {limits.trials} trials would be repetitions ({self.confirm.repeats} of each of "
                    f"{self.confirm.top} candidates), which limits.trials counts; raise that to {least} or more, or confirm fewer"
                )
                problems.append((("confirm",), message))
        return problems

    @property
    def search_trials(self) -> int | None:
        """How many trials the strategy suggests: `limits.trials` without the repetitions of `confirm`; None for no limit."""
        if self.limits.trials is None or self.confirm is None:
            return self.limits.trials
        return self.limits.trials - self.confirm.trials

    @property
    def most_trials(self) -> int | None:
        """How many trials are started at most: `limits.trials`, or all of a finite space and their repetitions; None for no limit."""
        limit, levels = self.limits.trials, self.strategy.levels if isinstance(self.strategy, Grid) else None
        if self.strategy.stops_trials or (limit is not None and not isinstance(self.strategy, Grid)):
            return limit
        size = count_of(self.search_space(), levels)
        most = size if size is None or self.confirm is None else size + self.confirm.trials
        return limit if most is None else min(most, limit or most)

    @property
    def cost_budget(self) -> float | None:
        """What all trials may cost: `limits.cost`, or else the seconds of all that run at once in `limits.time`; None for no limit."""
        limits = self.limits
        if limits.cost is not None:
            return float(limits.cost.amount)
        return None if limits.time is None else limits.time.total_seconds() * limits.parallel

    def search_space(self) -> Space:
        """Return the search space: axes, conditions and requirements."""
        return Space(self.space, self.require)

    @property
    def measured(self) -> tuple[Objective | Constraint, ...]:
        """The objectives and constraints by whose names and regexes metrics are recorded, each metric once."""
        known = {*(each.metric for each in self.objective), *self.metrics}
        return (*self.objective, *(each for each in self.constraints if each.metric not in known))

    @property
    def cost_place(self) -> str | None:
        """The path of the objective or constraint ``cost`` that cloudtune measures; None without it.

        A sole objective of that name is the program's own, as is one with a regex or a source.
        """
        own = [each.metric for each in self.objective] == [COST] or COST in self.metrics
        named: list[tuple[str, Objective | Constraint]] = [
            (f"objective[{index}]", each) for index, each in enumerate(self.objective)
        ]
        named += [(f"constraints[{index}]", each) for index, each in enumerate(self.constraints)]
        first = next(((path, each) for path, each in named if each.metric == COST), None)
        its_own = first is not None and (first[1].regex, first[1].source) != (None, None)
        return None if own or first is None or its_own else first[0]

    def driven(self) -> "TuningJob":
        """Return the job with the mode ``driven``."""
        return self if self.mode == "driven" else self.model_copy(update={"mode": "driven"})

    def native_settings(self, provider: str) -> Mapping[str, JsonValue]:
        """Return the native settings of a provider; empty for none."""
        return self.native.get(provider, {})

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name: str) -> Any:
            """Return the native settings of an installed provider, as ``job.sagemaker``."""
            if not name.startswith("_") and name in (keys := own_keys(type(self))):
                return self.native_settings(keys[name])
            return super().__getattr__(name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values of fields, which are not checked.

        Args:
            update: by field; native settings of an installed provider also under its name.
            deep: whether the values are copied, too.
        """
        given = dict(update or {})
        if not given.keys() <= type(self).model_fields.keys():
            keys = own_keys(type(self))
            own = {keys[key]: given.pop(key) for key in list(given) if key in keys}
            given[FIELD] = {name: said for name, said in {**self.native, **given.get(FIELD, {}), **own}.items() if said}
        return super().model_copy(update=given, deep=deep)

    @classmethod
    def from_yaml(cls, source: str | Path) -> "TuningJob":
        """Return the job of a YAML text (a str) or file (a Path).

        Raises:
            SpecError: the text is not YAML or not a job; lists every mistake with its line and column.
            OSError: the file cannot be read.
        """
        from cloudtune.spec.text import from_yaml  # noqa: PLC0415  # YAML is loaded when first needed

        return from_yaml(cls, source)

    def to_yaml(self) -> str:
        """Return the job as YAML that `from_yaml` reads as an equal job."""
        from cloudtune.spec.text import to_yaml  # noqa: PLC0415  # YAML is loaded when first needed

        return to_yaml(self)

    @classmethod
    def from_data(cls, data: Any, source: str = "the job") -> "TuningJob":
        """Return the job of plain data, as of parsed JSON.

        Args:
            data: a mapping.
            source: what the data is, for messages.

        Raises:
            SpecError: lists every mistake with its path.
        """
        from cloudtune.spec.text import from_data  # noqa: PLC0415  # the words for mistakes are loaded when needed

        return from_data(cls, data, source)

    def to_data(self, *, portable: bool = False) -> dict[str, JsonValue]:
        """Return the job as plain data, without default values, that `from_data` reads as an equal job.

        Args:
            portable: whether it must be readable where other providers are installed, as in a store: all native
                settings are under ``native`` then.
        """
        from cloudtune.spec.text import to_data  # noqa: PLC0415

        return to_data(self, portable=portable)


def regex_paths(job: TuningJob) -> dict[str, str]:
    """Return the regexes of a job's objectives and constraints by their paths."""
    named: list[tuple[str, Sequence[Objective | Constraint]]] = [
        ("objective", job.objective),
        ("constraints", job.constraints),
    ]
    return {
        f"{field}[{index}].regex": each.regex
        for field, listed in named
        for index, each in enumerate(listed)
        if each.regex is not None
    }


def per_provider(job: TuningJob) -> Iterator[tuple[str, str]]:
    """Yield the path and the provider's name of each setting of a job for a single provider."""
    compute, encryption = job.compute, job.encryption or Encryption()
    settings = {
        "trial.image": job.trial.image,
        "compute.instance": compute.instance,
        **{f"data.{name}": place for name, place in job.data.items()},
        "output": job.output,
        "region": job.region,
        "identity": job.identity,
        "encryption.key": encryption.key,
        "encryption.volume_key": encryption.volume_key,
    }
    for path, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{path}.{name}", name) for name in value)
    yield from ((native_path(type(job), name), name) for name in job.native)
