"""Ask and tell: the search for the next trial, apart from anything that runs trials."""

import math
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Self

from cloudtune.results.constraints import known_violations, violations
from cloudtune.results.objectives import losses
from cloudtune.results.progress import keep_counting_values
from cloudtune.search.arguments import SearchArguments, searcher
from cloudtune.search.background import BackgroundStrategy
from cloudtune.search.known_trials import KnownTrial, observations, possible, whole
from cloudtune.search.paused import Paused
from cloudtune.search.ranking import Ranking
from cloudtune.search.strategy import Observation, Purpose
from cloudtune.search.suggestion import Result, Suggestion, number_of
from cloudtune.space.parameters import Scalar
from cloudtune.space.plain import PlainSpace, spelled_out
from cloudtune.space.space import Space, Values
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import StoppingSpec
from cloudtune.spec.strategies import StrategySpec
from cloudtune.store.records import FIRST, TRIED, TrialState, child_of
from cloudtune.trial import checked_number, checked_step


class Search:
    """Suggests trials, and learns from what they report and how they end.

    Run the trials wherever you like, one after the other or many at a time, and tell the results in the order in which
    they come. Cloudtune's own driver goes through this class.

    A suggestion is a function of the arguments, the seed and the calls so far, and of nothing else: the same calls give
    the same suggestions. So a search has no state to save. To resume, make a new one with the same arguments and
    `seed`, call `restore` for each trial that was suggested, in the order of their numbers, and then `report` and
    `tell` again in the order of the first time. Calls from several threads need a lock around them.

    >>> from cloudtune import Float
    >>> from cloudtune.search import Search
    >>> search = Search(
    ...     {"x": Float(low=-5, high=5), "y": {"type": "float", "low": -5, "high": 5}},
    ...     {"metric": "loss", "goal": "minimize"},
    ...     seed=1, trials=30,
    ... )
    >>> while (trial := search.ask()) is not None:
    ...     x, y = trial.parameters["x"], trial.parameters["y"]
    ...     _ = search.tell(trial, {"loss": (x - 1) ** 2 + (y + 2) ** 2})
    >>> search.best.metrics["loss"] < 0.1
    True

    With a stopping rule, report on the way, and end a trial that is not worth its end:

    >>> search = Search(
    ...     {"x": Float(low=0, high=1)},
    ...     {"metric": "accuracy", "goal": "maximize"},
    ...     strategy="random", stopping={"type": "median", "grace": 1},
    ...     seed=1, trials=20,
    ... )
    >>> states = []
    >>> while (trial := search.ask()) is not None:
    ...     for step in range(1, 6):
    ...         if search.report(trial, step, {"accuracy": trial.parameters["x"] * step}):
    ...             states.append(search.tell(trial, state="pruned"))
    ...             break
    ...     else:
    ...         states.append(search.tell(trial))
    >>> sorted({state.value for state in states})
    ['completed', 'pruned']

    With constraints the best trial is the best of those that keep them all:

    >>> search = Search(
    ...     {"x": Float(low=0, high=1)},
    ...     {"metric": "accuracy", "goal": "maximize"},
    ...     seed=1, trials=20,
    ...     constraints={"metric": "latency_ms", "max": 50},
    ... )
    >>> while (trial := search.ask()) is not None:
    ...     _ = search.tell(trial, {"accuracy": trial.parameters["x"], "latency_ms": 100 * trial.parameters["x"]})
    >>> 0.45 < search.best.parameters["x"] <= 0.5
    True

    Args:
        space: the parameters by name: models such as ``Float(low=1e-4, high=1, scale="log")``, or mappings such as
            ``{"type": "int", "low": 1, "high": 8}``; a list under a name holds variants for different conditions.
        objective: one objective such as ``{"metric": "loss", "goal": "minimize"}``, or a list of several.
        strategy: its type, a mapping of its type and settings such as ``{"type": "bayesian", "startup": 8}``, or a
            model of `cloudtune.spec.strategies`.
        seed: from 0 to 2^31 - 1; None for the seed in the strategy, or else a random one.
        stopping: the rule that `report` follows, as the strategy is given; None for the one that belongs to the
            strategy (hyperband), or else none.
        require: conditions on the parameters that every trial meets, such as ``["batch * width <= 4096"]``; one, or
            several.
        trials: the number of trials that `ask` suggests, at least 1; None for no end but the strategy's own. Some
            strategies spend their trials better when they know.
        constraints: bounds on metrics such as ``{"metric": "latency_ms", "max": 50}``, or a list of several; trials that
            violate one are never the `best`.
        first: trials to suggest before those of the strategy, as mappings of some or all values by name; the strategy
            chooses the values that are not given. They count among `trials`.
        cost_budget: what all trials together may cost, in the unit of the costs that are told, for strategies that go by
            that (``{"type": "bayesian", "cost_aware": True}``); the caller ends the search. None where that is not limited.

    Attributes:
        space: what is searched.
        objectives: what is optimised.
        constraints: the bounds on metrics.
        seed: the seed of the suggestions.

    Raises:
        SpecError: an argument is not valid, or the strategy cannot search this space; lists every mistake with its path.
    """

    def __init__(
        self,
        space: PlainSpace,
        objective: Objective | Mapping[str, Any] | Iterable[Objective | Mapping[str, Any]],
        strategy: str | Mapping[str, Any] | StrategySpec = "bayesian",
        *,
        seed: int | None = None,
        stopping: str | Mapping[str, Any] | StoppingSpec | None = None,
        require: str | Iterable[str] = (),
        trials: int | None = None,
        constraints: Constraint | Mapping[str, Any] | Iterable[Constraint | Mapping[str, Any]] = (),
        first: Iterable[Mapping[str, Scalar]] = (),
        cost_budget: float | None = None,
    ) -> None:
        from cloudtune.spec.text import from_data  # noqa: PLC0415  # a driver's job is validated already

        asked = from_data(
            SearchArguments,
            {
                "space": spelled_out(space, type(self).__name__),
                "objective": objective if isinstance(objective, Objective | Mapping | str) else list(objective),
                "strategy": {"type": strategy} if isinstance(strategy, str) else strategy,
                "stopping": {"type": stopping} if isinstance(stopping, str) else stopping,
                "require": require if isinstance(require, str) else list(require),
                "seed": seed,
                "trials": trials,
                "constraints": constraints
                if isinstance(constraints, Constraint | Mapping | str)
                else list(constraints),
                "first": [dict(given) for given in first],
                "cost_budget": cost_budget,
            },
            type(self).__name__,
        )
        self._set_up(asked, asked.trials, asked.seed)
        self._strategy.begin(Purpose(self.objectives, self.constraints))

    @classmethod
    def for_job(
        cls, job: TuningJob, *, seed: int | None = None, purpose: Purpose | None = None, background: bool = False
    ) -> Self:
        """Return the search that a job asks for, as its driver has it.

        Args:
            job: the spec; its ``warm_start`` is left to `learn`.
            seed: see `Search`.
            purpose: of its suggestions; None for a search that only looks at known trials.
            background: whether a strategy that takes its time works in a thread: `background` is it then.

        Raises:
            SpecError: the strategy cannot search this space.
        """
        search = cls.__new__(cls)
        search._set_up(job, job.search_trials, seed, background=background)  # noqa: SLF001  # made by its own class
        if purpose is not None:
            search._strategy.begin(purpose)  # noqa: SLF001
        return search

    def _set_up(
        self, asked: "TuningJob | SearchArguments", trials: int | None, seed: int | None, *, background: bool = False
    ) -> None:
        own_seed = seed if seed is not None else getattr(asked.strategy, "seed", None)
        self.seed: int = secrets.randbelow(2**31) if own_seed is None else own_seed
        self.space = Space(asked.space, asked.require)
        self.objectives = asked.objective
        self.constraints = asked.constraints
        self._strategy, self._rule = searcher(asked, self.space, trials, self.seed, background=background)
        self._trials = trials
        self._next = 0
        self._left_out = 0
        self._nothing_left = False
        self._first = deque(dict(given) for given in asked.first)
        self._enqueued: deque[Values] = deque()
        self._pending: dict[int, Values] = {}
        self._paused = Paused(self._rule, self._strategy)
        self._reported: dict[int, dict[str, float]] = {}
        self._ranking = Ranking()

    @property
    def background(self) -> BackgroundStrategy | None:
        """The strategy, if a thread works for it; `ask` then returns None, too, while it is `asking`."""
        return self._strategy if isinstance(self._strategy, BackgroundStrategy) else None

    @property
    def total(self) -> int | None:
        """The number of trials after which `ask` returns None; None where that is not known."""
        ends = [end for end in (self._trials, self._strategy.total) if end is not None]
        return min(ends) if ends else None

    @property
    def exhausted(self) -> bool:
        """Whether `ask` returned None, or would for having suggested all `trials`, and no paused trial can go on now."""
        return self._no_new and self._promoted() is None

    @property
    def _no_new(self) -> bool:
        """Whether no further trial will be suggested."""
        if self._trials is not None and self._next - self._left_out >= self._trials:
            return True
        return (self._nothing_left or self._strategy.waits) and not self._first and not self._enqueued

    def _promoted(self) -> int | None:
        return self._paused.next(last=self._no_new and not self._pending)

    @property
    def pauses(self) -> bool:
        """Whether a trial that `report` ends is paused, as the rule says ``resume: checkpoint``; else it is pruned."""
        return self._paused.possible

    @property
    def paused(self) -> dict[int, Values]:
        """The parameters of the paused trials, by number; those that are left at the end are to be told ``pruned``."""
        return {number: dict(values) for number, values in self._paused.trials.items()}

    @property
    def pending(self) -> dict[int, Values]:
        """The parameters of the trials that were suggested and have not ended, by number."""
        return {number: dict(values) for number, values in self._pending.items()}

    @property
    def best(self) -> Result | None:
        """The best feasible trial, the first of equal ones; None before the first, and for several objectives."""
        front = self._ranking.front if len(self.objectives) == 1 else []
        return front[0] if front else None

    @property
    def front(self) -> list[Result]:
        """The feasible trials that no other is at least as good as in every objective, by number."""
        return self._ranking.front

    @property
    def nearest(self) -> Result | None:
        """Where no trial is feasible, the one that violates the constraints least; else None."""
        return self._ranking.nearest

    def ask(self, *, room: int = 1) -> Suggestion | None:
        """Return the next trial to run; None when `trials` were suggested, or the strategy has nothing left.

        The first trials come first, then those of `enqueue`, then the strategy's. The trial is pending until `tell`: a
        strategy suggests something else meanwhile. Where trials are paused, one that has become one of the best comes before
        a new one, and None may be followed by another trial once more is told.

        Args:
            room: how many trials may begin now, this one included: a strategy that asks a service asks for so many at once.
        """
        number = self._promoted()
        if number is None and (new := self._new(room)) is not None:
            return new
        number = self._promoted() if number is None else number  # now that there is nothing else to come
        if number is not None:
            self._pending[number] = self._paused.take(number)
        return None if number is None else Suggestion(number, dict(self._pending[number]), resumed=True)

    def _new(self, room: int) -> Suggestion | None:
        if self._no_new:
            return None
        for origin, given in ((FIRST, self._first), (TRIED, self._enqueued)):
            if given and not self._strategy.asking:
                return self._begin(self._strategy.complete(self._next, given.popleft()), origin)
        left = room if self._trials is None else self._trials - (self._next - self._left_out)
        self._strategy.room = min(room, left)
        values = self._strategy.suggest(self._next)
        self._nothing_left = values is None and not self._strategy.asking
        return None if values is None else self._begin(values, child_of(self._strategy.parent(self._next)))

    def enqueue(self, parameters: Mapping[str, Scalar]) -> None:
        """Have `ask` return a trial with these values before it asks the strategy again.

        It comes after the first trials and those that were enqueued before, and counts among `trials`.

        >>> from cloudtune.search import Search
        >>> search = Search({"x": {"type": "float", "low": 0, "high": 1}}, {"metric": "loss", "goal": "minimize"})
        >>> search.enqueue({"x": 0.25})
        >>> search.ask()
        Suggestion(number=0, parameters={'x': 0.25}, origin='tried', resumed=False)

        Args:
            parameters: values by name, some or all of a trial; when its turn comes the strategy chooses the others.

        Raises:
            ValueError: no trial of the space has these values; says why.
        """
        self._enqueued.append(possible(self.space, parameters))

    @property
    def enqueued(self) -> list[Values]:
        """The given values of the trials that `ask` returns before it asks the strategy, in this order."""
        return [dict(given) for given in (*self._first, *self._enqueued)]

    def attach(self, parameters: Mapping[str, Scalar]) -> Suggestion:
        """Return a trial of your own choice, such as the settings of today, as if the strategy had suggested it.

        >>> from cloudtune.search import Search
        >>> search = Search({"x": {"type": "float", "low": 0, "high": 1}}, {"metric": "loss", "goal": "minimize"})
        >>> search.attach({"x": 0.25})
        Suggestion(number=0, parameters={'x': 0.25}, origin='tried', resumed=False)

        Args:
            parameters: a value for each parameter that exists under the trial's conditions.

        Raises:
            ValueError: they are no trial of the space.
        """
        values = whole(self.space, parameters)
        self._strategy.restore(self._next, values)
        return self._begin(values, TRIED)

    def _begin(self, values: Values, origin: str = "") -> Suggestion:
        suggestion = Suggestion(self._next, dict(values), origin)  # which the caller may change
        self._pending[self._next] = values
        self._next += 1
        return suggestion

    def restore(self, number: int, parameters: Mapping[str, Scalar], origin: str = "") -> None:
        """Make a trial pending that a search with the same arguments suggested before.

        `ask` goes on after the highest number. Numbers between are left out, as by `skip`.

        Args:
            number: of the suggestion.
            parameters: of the suggestion.
            origin: of the suggestion. Each one of ``first`` is the next of the search's first trials.

        Raises:
            ValueError: the number was suggested or restored already, or the space has no such parameter.
        """
        if number < self._next:
            raise ValueError(f"trial {number} cannot be restored: the next number is {self._next}")
        unknown = [name for name in parameters if name not in self.space.names]
        if unknown:
            raise ValueError(f"trial {number} cannot be restored: the space has no parameter {unknown[0]!r}")
        values = dict(parameters)
        self._strategy.restore(number, values)
        self._pending[number] = values
        self._left_out += number - self._next
        self._next = number + 1
        if origin == FIRST and self._first:
            self._first.popleft()

    def skip(self, number: int) -> None:
        """Leave out a number, and those before it that were not suggested: they are not the search's, and do not count."""
        if number >= self._next:
            self._left_out += number + 1 - self._next
            self._next = number + 1

    def learn(self, known: Iterable[KnownTrial], *, transfer: bool = False) -> int:
        """Learn from trials that were run before the search; call it once, before the first trial.

        >>> from cloudtune.search import KnownTrial, Search
        >>> search = Search({"x": {"type": "float", "low": 0, "high": 1}}, {"metric": "loss", "goal": "minimize"})
        >>> search.learn([KnownTrial({"x": 0.5}, {"loss": 0.25}), KnownTrial({"x": 7}, {"loss": 0.0})])
        1

        Args:
            known: the trials. They get no number here, and are never the `best` one. Those whose state is WAITING have
                not been run: they come after the search's first trials, as further ones.
            transfer: False where the same program ran on the same data, so that the trials count as the search's own;
                True for related experiments, whose losses are hints alone.

        Returns:
            The number of trials that were learnt from. Trials outside the space are not, unless `transfer` is True.

        Raises:
            ValueError: a trial was suggested or restored already, or one that was not run is none of the space.
        """
        if self._next:
            raise ValueError("known trials come before the first trial; call learn right after making the search")
        trials = list(known)
        for trial in trials:
            if not trial.state.ended:
                self._first.append(possible(self.space, trial.parameters))
        found = observations(trials, self.space, self.objectives, self.constraints, transfer=transfer)
        for observation in found:
            if transfer:
                self._strategy.hint(observation)
            else:
                self._strategy.observe(observation)
        return len(found)

    def report(self, trial: Suggestion | int, step: int, metrics: Mapping[str, float] | float) -> bool:
        """Take in what a pending trial reports on its way, and return whether the stopping rule ends it now.

        Then stop the trial, and tell its state ``pruned``, or ``paused`` where the search `pauses`. Without a stopping rule
        the answer is always False. The rule judges the objective alone, and does not get the reports of a trial that
        violates a constraint so far: they end no trial, and others are not compared with it.

        Args:
            trial: the suggestion, or its number.
            step: the trial's own count (epoch, fold), increasing.
            metrics: names and values, or the value of the only objective. The rule judges the first; not finite decides nothing.

        Raises:
            ValueError: the trial is not pending.
            TypeError: a value is not a number, the step not a whole one, or the trial neither a suggestion nor a number.
        """
        number = self._number_of(trial)
        reported = self._named(metrics)
        kept = self._reported.setdefault(number, {})
        keep_counting_values(self.objectives, kept, reported)
        if self._rule is None or any(0 < each < math.inf for each in violations(self.constraints, kept)):
            return False
        loss = losses(self.objectives[:1], reported)
        if loss is None:
            return False
        over = self._rule.observe(number, checked_step(step), loss[0])
        if self._paused.learns(number):
            found, beyond = losses(self.objectives, kept), known_violations(self.constraints, kept)
            self._paused.teach(
                Observation(number, self._pending[number], TrialState.COMPLETED, found, violations=beyond)
            )
        return over

    def tell(
        self,
        trial: Suggestion | int,
        metrics: Mapping[str, float] | float | None = None,
        *,
        state: TrialState | str = TrialState.COMPLETED,
        cost: float | None = None,
    ) -> TrialState:
        """Take in how a pending trial ended.

        Args:
            trial: the suggestion, or its number.
            metrics: names and values, or the value of the only objective; None for what was reported: of each metric
                the last value, or the best where the objective says ``measurement: best``.
            state: ``completed``; ``pruned`` where `report` returned True, or ``paused`` where the search `pauses`: `ask`
                may return it again; ``failed`` where the trial has no result, so that the strategy avoids its like;
                ``cancelled`` where nothing can be learnt from that.
            cost: what the trial took, in one unit for all trials, such as seconds; None where that is not known.

        Returns:
            The state: failed, not completed, where an objective is not a finite number.

        Raises:
            ValueError: the trial is not pending, a completed trial has no value of an objective, or the state is not
                that of an end, or the cost is negative or not finite.
            TypeError: a value is not a number, or the trial neither a suggestion nor a number.
        """
        if cost is not None and not (math.isfinite(cost) and cost >= 0):
            raise ValueError(f"a trial cannot cost {cost}; tell a finite number that is not negative, or None")
        number, ended = number_of(trial), TrialState(state)
        if number in self._paused.trials and ended is not TrialState.PAUSED:
            self._pending[number] = self._paused.take(number)
        number = self._number_of(number)
        if ended is TrialState.PAUSED and self.pauses:
            self._paused.add(number, self._pending.pop(number))
            return ended
        if not ended.ended:
            raise ValueError(f"{ended.value!r} is not how a trial ends; tell completed, pruned, failed or cancelled")
        values = self._reported.get(number, {}) if metrics is None else self._named(metrics)
        missing = [objective.metric for objective in self.objectives if objective.metric not in values]
        if missing and ended is TrialState.COMPLETED:
            raise ValueError(f"trial {number} has no value of the objective {missing[0]!r}; tell it, or state='failed'")
        found = losses(self.objectives, values) if ended is not TrialState.FAILED else None
        if found is None and ended is TrialState.COMPLETED:
            ended = TrialState.FAILED
        parameters = self._pending.pop(number)
        self._reported.pop(number, None)
        beyond = violations(self.constraints, values) if ended is TrialState.COMPLETED else ()
        if not self._paused.told(number):
            self._strategy.observe(Observation(number, parameters, ended, found, violations=beyond, cost=cost))
        if self._rule is not None:
            self._rule.ended(number, ended)
            self._paused.changed()
        if ended is TrialState.COMPLETED and found is not None:
            self._ranking.add(found, Result(number, dict(parameters), values, beyond))
        return ended

    def _number_of(self, trial: Suggestion | int) -> int:
        number = number_of(trial)
        if number not in self._pending:
            known = 0 <= number < self._next
            raise ValueError(f"trial {number} {'was told already' if known else 'was not suggested'}")
        return number

    def _named(self, metrics: Mapping[str, float] | float) -> Mapping[str, float]:
        """Return metrics by name, as floats, in a mapping that nobody else changes."""
        if isinstance(metrics, Mapping):
            return {name: math.nan if value is None else checked_number(name, value) for name, value in metrics.items()}
        if len(self.objectives) > 1:
            names = ", ".join(objective.metric for objective in self.objectives)
            raise ValueError(f"the value {metrics} is of which objective? Give a mapping of {names}")
        return {(name := self.objectives[0].metric): checked_number(name, metrics)}
