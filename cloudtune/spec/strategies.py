"""How a job searches (its strategy) and when it gives up a trial (its stopping rule), as the spec writes them."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, model_validator

from cloudtune.space.parameters import Count, Integer, Positive, SpecModel, no_text

Seed = Annotated[Integer, Field(ge=0, lt=2**31)]


class Grid(SpecModel):
    """Every combination of the values, in a fixed order (the last parameter turns fastest)."""

    type: Literal["grid"] = "grid"
    levels: Annotated[Integer, Field(ge=1)] | None = None
    """How many equally spaced values of a parameter without a step are tried; null where every axis is finite."""


class Random(SpecModel):
    """Independent draws from the space's distribution; a finite space is drawn without repetition."""

    type: Literal["random"] = "random"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""


class Sobol(SpecModel):
    """A scrambled Sobol sequence: spreads more evenly than random."""

    type: Literal["sobol"] = "sobol"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""


class Bayesian(SpecModel):
    """A Gaussian process that learns from the finished trials where the next one pays most."""

    type: Literal["bayesian"] = "bayesian"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    startup: Count | None = None
    """Quasi-random trials before the model decides; null for a number that suits the space and the budget."""


class Hyperband(SpecModel):
    """Many short trials, of which the promising ones go on (asynchronous successive halving, arXiv 1810.05934)."""

    type: Literal["hyperband"] = "hyperband"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    min_resource: Count = 1
    """The step at which trials are first compared."""
    max_resource: Count
    """The step at which a trial is complete."""
    eta: Annotated[Integer, Field(ge=2)] = 3
    """One in so many trials goes on at each comparison."""
    searcher: Literal["random", "bayesian", "evolutionary"] = "random"
    """Where new trials come from."""

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if self.max_resource < self.min_resource:
            raise ValueError(f"max_resource {self.max_resource} is below min_resource {self.min_resource}")
        return self


class Evolutionary(SpecModel):
    """A population that is bred from its best members."""

    type: Literal["evolutionary"] = "evolutionary"
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""
    population: Annotated[Integer, Field(ge=2)] | None = None
    """Members of a generation; null for a number that suits the space."""


class OptunaSampler(SpecModel):
    """A sampler of Optuna, which comes with the extra ``optuna``."""

    type: Literal["optuna"] = "optuna"
    sampler: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*$")] = "TPESampler"
    """The class in optuna.samplers, such as TPESampler, CmaEsSampler, NSGAIISampler or GPSampler."""
    options: dict[str, JsonValue] = {}
    """Arguments of the sampler, such as n_startup_trials."""
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""


class HyperoptTpe(SpecModel):
    """The tree of Parzen estimators of HyperOpt, which comes with the extra ``hyperopt``."""

    type: Literal["hyperopt"] = "hyperopt"
    startup: Count = 20
    """Random trials before the estimators decide."""
    candidates: Count = 24
    """Draws among which the best expected improvement is taken."""
    gamma: Annotated[float, BeforeValidator(no_text), Field(gt=0, lt=1)] = 0.25
    """The share of the trials that count as good, times the square root of their number."""
    seed: Seed | None = None
    """Makes the run repeatable; null draws one."""


Strategy = Annotated[
    Grid | Random | Sobol | Bayesian | Hyperband | Evolutionary | OptunaSampler | HyperoptTpe,
    Field(discriminator="type"),
]


class _Rule(SpecModel):
    grace: Annotated[Integer, Field(ge=0)] = 0
    """Steps (reports) of a trial before it may be stopped."""
    interval: Count = 1
    """Trials are judged at every so many steps."""


class Median(_Rule):
    """Stops a trial whose best value is worse than the median of the others' running averages at the same step."""

    type: Literal["median"] = "median"


class Bandit(_Rule):
    """Stops a trial whose best value lies outside a slack of the best trial's at the same step."""

    type: Literal["bandit"] = "bandit"
    slack_factor: Positive | None = None
    """The slack as a ratio of the best value."""
    slack_amount: Positive | None = None
    """The slack as a distance from the best value."""

    @model_validator(mode="after")
    def _one_slack(self) -> Self:
        if (self.slack_factor is None) == (self.slack_amount is None):
            raise ValueError("needs one of slack_factor and slack_amount, not both")
        return self


class Truncation(_Rule):
    """Stops the lowest percentage of the trials at every judgement."""

    type: Literal["truncation"] = "truncation"
    percentage: Annotated[Integer, Field(ge=1, le=99)]
    """The share that is stopped."""


class Curve(_Rule):
    """Stops a trial that has hardly a chance of ending better than the best, as the curves of completed trials tell."""

    type: Literal["curve"] = "curve"
    probability: Annotated[float, BeforeValidator(no_text), Field(gt=0, lt=1)] = 0.05
    """The chance of ending better than the best, below which a trial is stopped."""


class Asha(SpecModel):
    """Asynchronous successive halving (arXiv 1810.05934): at steps min, min·eta, min·eta², … only the top 1/eta go on."""

    type: Literal["asha"] = "asha"
    min_resource: Count = 1
    """The step of the first rung."""
    max_resource: Count | None = None
    """The step beyond which nothing is stopped; null for no bound."""
    eta: Annotated[Integer, Field(ge=2)] = 3
    """One in so many trials goes on at each rung."""


class Auto(SpecModel):
    """The service's own early stopping."""

    type: Literal["auto"] = "auto"


Stopping = Annotated[Median | Bandit | Truncation | Curve | Asha | Auto, Field(discriminator="type")]
