"""The strategies of the spec, by which a job suggests trials."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    SerializeAsAny,
    StringConstraints,
    WrapValidator,
    model_validator,
)

from cloudtune.plugins.entry_points import STRATEGIES
from cloudtune.space.parameters import Count, Integer, SpecModel, no_text
from cloudtune.space.space import Entries
from cloudtune.spec.beliefs import Prior
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.kinds import Kinds
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import Asha, StoppingSpec

_PENALISED = (
    "{} knows no constraints: a trial that violates one counts as worse than every feasible one, and the more the "
    "more it violates"
)

Seed = Annotated[Integer, Field(ge=0, lt=2**31)]


class Searched(Protocol):
    """The fields of a job that a strategy's remarks are about; see `cloudtune.spec.job.TuningJob`."""

    @property
    def space(self) -> Entries: ...
    @property
    def require(self) -> tuple[str, ...]: ...
    @property
    def objective(self) -> tuple[Objective, ...]: ...
    @property
    def constraints(self) -> tuple[Constraint, ...]: ...
    @property
    def warm_start(self) -> Any: ...  # `cloudtune.spec.job.WarmStart`, which stands above


class Remark(NamedTuple):
    """What a plan says of a field of the job.

    Attributes:
        path: of the field.
        support: ``encoded``, ``approximate`` or ``unsupported``.
        message: what happens, and for an unsupported field what to change.
    """

    path: str
    support: Literal["encoded", "approximate", "unsupported"]
    message: str


class StrategySpec(SpecModel):
    """The base of all strategies of the spec, also of those in other packages.

    A strategy of another package names its type and its settings::

        class SpiralSpec(StrategySpec):
            type: Literal["spiral"] = "spiral"
            seed: Seed | None = None
            turns: Count = 3

    A field ``seed`` makes the run repeatable; without a seed cloudtune draws one.
    """

    type: str

    @property
    def suggesting(self) -> "StrategySpec":
        """The strategy that suggests the trials: this one, unless it delegates to another."""
        return self

    @property
    def stops_trials(self) -> bool:
        """Whether the strategy stops or pauses trials itself, so that the job may have no stopping rule."""
        return self.own_stopping is not None

    @property
    def ends_by_itself(self) -> bool:
        """Whether the search has an end without ``limits.trials``."""
        return False

    @property
    def own_stopping(self) -> StoppingSpec | None:
        """The stopping rule that belongs to the strategy, so that the job may have no other; None for none."""
        return None

    @property
    def derivable(self) -> bool:
        """Whether the suggestions follow from the seed and the history, so that a replay can derive them anew."""
        return True

    @property
    def services(self) -> tuple[str, ...]:
        """The providers whose services suggest the trials, wherever these run; none for most."""
        return ()

    @property
    def charges(self) -> bool:
        """Whether a service takes money for each trial that it suggests."""
        return False

    def remarks(self, searched: "Searched") -> Iterator[Remark]:  # noqa: ARG002  # most strategies take everything as it is
        """Yield what a plan says of how the strategy searches a job: what it approximates, or cannot do."""
        yield from ()

    @property
    def on_constraints(self) -> str:
        """What a plan says where a job has constraints: how the strategy differs from one that learns from violations.

        "" where it learns from `cloudtune.search.Observation.violations`, or from no result at all.
        """
        return f"whether {self.type} learns from violations is not known: the best trial is a feasible one in any case"


class _OwnStrategy(StrategySpec):
    """The base of cloudtune's own strategies."""

    @property
    def on_constraints(self) -> str:
        return ""


class AutoStrategy(_OwnStrategy):
    """Chosen by cloudtune from the space, the objectives and the limits; the plan says what and why."""

    type: Literal["auto"] = "auto"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    prior: Prior | None = None
    """Where good values are expected, by parameter; the strategy is bayesian then."""


class Grid(_OwnStrategy):
    """Every combination of the values, in a fixed order (the last parameter varies fastest)."""

    type: Literal["grid"] = "grid"
    levels: Annotated[Integer, Field(ge=1)] | None = None
    """Number of equally spaced values of a parameter without a step; null if every axis is finite."""

    @property
    def ends_by_itself(self) -> bool:
        return True


class Random(_OwnStrategy):
    """Independent draws from the space's distribution; a finite space is drawn without repetition."""

    type: Literal["random"] = "random"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""


class Sobol(_OwnStrategy):
    """A scrambled Sobol sequence: spreads more evenly than random."""

    type: Literal["sobol"] = "sobol"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""


class Bayesian(_OwnStrategy):
    """Bayesian optimization: a Gaussian process models the objective, and the next trial maximizes an acquisition function."""

    type: Literal["bayesian"] = "bayesian"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    startup: Count | None = None
    """Quasi-random trials before the model is used; null chooses a number by the space and the budget."""
    prior: Prior | None = None
    """Where good values are expected, by parameter: {lr: {around: 1e-3, spread: 3x}}. It counts the less the more trials have ended."""
    cost_aware: bool = False
    """Whether trials that are expected to be cheap come first, the less the more of limits.cost or limits.time is spent, where these do not suffice for all of limits.trials."""


class Hyperband(_OwnStrategy):
    """Many short trials, of which the best continue (asynchronous successive halving, arXiv 1810.05934)."""

    type: Literal["hyperband"] = "hyperband"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    min_resource: Count = 1
    """The step at which trials are first compared."""
    max_resource: Count
    """The step at which a trial is complete."""
    eta: Annotated[Integer, Field(ge=2)] = 3
    """One in so many trials continues at each comparison."""
    searcher: Literal["random", "bayesian", "evolutionary"] = "random"
    """The strategy that suggests new trials."""
    resume: Literal["checkpoint"] | None = None
    """checkpoint: trials pause at each comparison, and the best go on later from what they keep in trial.checkpoint_dir(); null: the others are stopped for good."""

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if self.max_resource < self.min_resource:
            raise ValueError(f"max_resource {self.max_resource} is below min_resource {self.min_resource}")
        return self

    @property
    def suggesting(self) -> StrategySpec:
        match self.searcher:
            case "random":
                return Random(seed=self.seed)
            case "bayesian":
                return Bayesian(seed=self.seed)
            case "evolutionary":
                return Evolutionary(seed=self.seed)

    @property
    def own_stopping(self) -> StoppingSpec:
        return Asha(min_resource=self.min_resource, max_resource=self.max_resource, eta=self.eta, resume=self.resume)


class Evolutionary(_OwnStrategy):
    """An evolutionary algorithm: new trials are bred from the best of a population."""

    type: Literal["evolutionary"] = "evolutionary"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    population: Annotated[Integer, Field(ge=2)] | None = None
    """Members of a generation; null chooses a number by the space."""


class Population(_OwnStrategy):
    """Population based training (arXiv 1711.09846): after each interval the worst members go on from checkpoints of the best, with parameters near theirs."""

    type: Literal["population"] = "population"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    members: Annotated[Integer, Field(ge=2)] = 8
    """Trials that train side by side, or in turn where fewer may run at a time."""
    interval: Count
    """Steps after which members pause and are compared."""
    max_resource: Count
    """The step at which a member is complete."""
    quantile: Annotated[float, BeforeValidator(no_text), Field(gt=0, le=0.5)] = 0.25
    """The share of the members that are replaced, by as many of the best."""
    resample: Annotated[float, BeforeValidator(no_text), Field(ge=0, le=1)] = 0.25
    """The probability that a parameter of a replaced member is drawn anew, in the place of being moved."""

    @model_validator(mode="after")
    def _several_intervals(self) -> Self:
        if self.max_resource <= self.interval:
            raise ValueError(
                f"max_resource {self.max_resource} leaves members nothing to do after interval {self.interval}"
            )
        return self

    @property
    def stops_trials(self) -> bool:
        return True

    @property
    def ends_by_itself(self) -> bool:
        return True


class OptunaSampler(_OwnStrategy):
    """A sampler of Optuna, which comes with the extra ``optuna``."""

    type: Literal["optuna"] = "optuna"
    sampler: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*$")] = "TPESampler"
    """The class in optuna.samplers, such as TPESampler, CmaEsSampler, NSGAIISampler or GPSampler."""
    options: dict[str, JsonValue] = {}
    """Arguments of the sampler, such as n_startup_trials."""
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""

    @property
    def on_constraints(self) -> str:
        return _PENALISED.format("CmaEsSampler") if self.sampler == "CmaEsSampler" else ""


class HyperoptTpe(_OwnStrategy):
    """The tree of Parzen estimators of HyperOpt, which comes with the extra ``hyperopt``."""

    type: Literal["hyperopt"] = "hyperopt"
    startup: Count = 20
    """Random trials before the estimators are used."""
    candidates: Count = 24
    """Draws among which the one of the greatest expected improvement is chosen."""
    gamma: Annotated[float, BeforeValidator(no_text), Field(gt=0, lt=1)] = 0.25
    """The share of the trials that count as good, times the square root of their number."""
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""

    @property
    def on_constraints(self) -> str:
        return _PENALISED.format("HyperOpt")


_Own = (
    AutoStrategy
    | Grid
    | Random
    | Sobol
    | Bayesian
    | Hyperband
    | Evolutionary
    | Population
    | OptunaSampler
    | HyperoptTpe
)

STRATEGY_KINDS = Kinds("strategy", STRATEGIES, StrategySpec, _Own)
"""The strategies that a job may ask for."""

if TYPE_CHECKING:
    Strategy = StrategySpec
else:
    Strategy = Annotated[_Own, Discriminator("type"), WrapValidator(STRATEGY_KINDS.validate), SerializeAsAny()]
