"""Strategies that take their time, such as those that ask a service: a thread works for them, and their search never waits."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial

from cloudtune.errors import ProviderError, in_one_line
from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.search.strategy import Observation, Purpose, Strategy
from cloudtune.space.space import Values
from cloudtune.store.records import TrialState

MOMENT = 0.05
"""Seconds that `BackgroundStrategy.suggest` waits, so that a quick answer needs no second call."""

LONG = 20.0
"""Seconds of one piece of work after which the run's user is told that it takes long."""

_OUTAGES = 20
"""Errors in a row that may pass, each after what its client had tried, before the work is given up."""

_PAUSES = (1.0, 30.0)
"""Seconds before the first piece of work is tried again, and the most; each pause is twice the last one."""

Task = Callable[[], object]


class Worker:
    """A thread that does one piece of work after the other, in their order.

    One that fails by what may pass is done again; at any other error the thread ends, and `failure` is it.

    Args:
        name: who works, as in "the vizier strategy".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._begun: float | None = None
        self._slow_told = False
        self._closed = False
        self.failure: BaseException | None = None
        self.said: deque[str] = deque()

    def do(self, task: Task) -> None:
        """Have something done after all before it."""
        with self._changed:
            if self._closed or self.failure is not None:
                return
            self._tasks.append(task)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"cloudtune: {self._name}", daemon=True)
            self._thread.start()

    def wait(self, seconds: float, until: Callable[[], bool]) -> None:
        """Wait for so long at most until a condition holds that some work brings about, or the thread has failed."""
        with self._changed:
            self._changed.wait_for(lambda: until() or self.failure is not None, seconds)

    @property
    def busy(self) -> bool:
        """Whether something is still to be done."""
        return bool(self._tasks) and self.failure is None

    def close(self) -> None:
        """Do nothing more but what was begun; return at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while self._await_task():
                self._insist(self._tasks[0])
                with self._changed:
                    self._tasks.popleft()
                    self._begun = None
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # raised by the thread that asked for it
            with self._changed:
                self.failure = error
                self._changed.notify_all()

    def _await_task(self) -> bool:
        """Wait for the next task; return whether there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._tasks))
            self._begun, self._slow_told = time.monotonic(), False
            return not self._closed

    def _insist(self, task: Task) -> None:
        """Do a task, again after errors that may pass."""
        pause, most = _PAUSES
        for failures in range(_OUTAGES + 1):
            try:
                task()
            except ProviderError as error:
                if not error.retryable or failures == _OUTAGES or self._closed:
                    raise
                if not failures:
                    self._slow_told = True
                    self.said.append(f"{in_one_line(error)}; trials that run go on, and it is tried again")
            else:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closed, pause)
            pause = min(2 * pause, most)

    def news(self) -> Iterator[str]:
        """Yield what the run's user should know since the last call."""
        while self.said:
            yield self.said.popleft()
        begun = self._begun
        if begun is not None and not self._slow_told and time.monotonic() > begun + LONG:
            self._slow_told = True
            yield f"{self._name} has worked on one answer for {LONG:g} s by now; trials that run go on meanwhile"


class BackgroundStrategy(Strategy):
    """Has a strategy do its work in a thread, in the order in which it is asked for.

    `suggest` returns None for now as long as the answer is still to come (`asking`). A suggestion knows what was observed when it was
    first asked for, so that it is the same after a resume. Parameters that are not given for a trial of the user's own are drawn
    at random.

    Args:
        inner: the strategy; nothing else calls it.
    """

    needs_history = False

    def __init__(self, inner: Strategy) -> None:
        super().__init__(inner.space, objectives=inner.objectives, seed=inner.seed)
        self._inner = inner
        self._worker = Worker(f"the {inner.spec.model_fields['type'].default} strategy")
        self._answer: _Answer | None = None
        self._taken = _Answer()
        self._announce: Callable[[str], None] = lambda _: None

    # What the search asks

    def begin(self, purpose: Purpose) -> None:
        self._announce = purpose.announce
        self._inner.begin(replace(purpose, announce=self._worker.said.append))

    @property
    def total(self) -> int | None:
        return self._inner.total

    @cached_property
    def rule(self) -> "BackgroundRule | None":
        return None if self._inner.rule is None else BackgroundRule(self._inner.rule, self._worker)

    @property
    def waits(self) -> bool:
        return self._answer is None and self._taken.waits

    @property
    def asking(self) -> bool:
        return self._answer is not None

    def parent(self, number: int) -> int | None:  # noqa: ARG002  # of the answer that was taken
        return self._taken.parent

    def suggest(self, number: int) -> Values | None:
        if (answer := self._answer) is None:
            answer = self._answer = _Answer()
            self._worker.do(partial(answer.become, self._inner, number, self.room))
        self._worker.wait(MOMENT, lambda: answer.given)
        self._refuse()
        if not answer.given:
            return None
        self._taken, self._answer = answer, None
        return answer.values

    def restore(self, number: int, parameters: Values) -> None:
        self._changes(partial(self._inner.restore, number, parameters))

    def observe(self, observation: Observation) -> None:
        self._changes(partial(self._inner.observe, observation))

    def hint(self, observation: Observation) -> None:
        self._changes(partial(self._inner.hint, observation))

    def _changes(self, task: Task) -> None:
        self._taken.waits = False
        self._worker.do(task)

    def _propose(self, number: int) -> Values | None:
        raise NotImplementedError  # `suggest` asks the inner strategy's

    # What the driver asks

    def verdicts(self) -> list[tuple[int, int]]:
        """Return the trials that the strategy's rule would end, each with the step, and announce what there is to say.

        Raises:
            BaseException: what the strategy raised; it does nothing more.
        """
        for message in self._worker.news():
            self._announce(message)
        self._refuse()
        return [] if self.rule is None else self.rule.verdicts()

    def rests(self, seconds: float) -> bool:
        """Wait for so long at most until the strategy has done all that it was told; return whether it has."""
        self._worker.wait(seconds, lambda: not self._worker.busy)
        return not self._worker.busy

    def drop(self) -> None:
        """Tell the strategy that the trial which it is asked for will not be run."""
        if self._answer is not None:
            self._worker.do(partial(self._answer.drop, self._inner))
            self._answer = None

    def close(self) -> None:
        """End the thread after what it has begun; return at once."""
        self._worker.close()

    def _refuse(self) -> None:
        if self._worker.failure is not None:
            raise self._worker.failure


class _Answer:
    """What a strategy suggests for one trial, once it is `given`."""

    def __init__(self) -> None:
        self.given = False
        self.values: Values | None = None
        self.parent: int | None = None
        self.waits = False
        self._number = 0

    def become(self, strategy: Strategy, number: int, room: int) -> None:
        """Ask for the trial with this number, of so many that may begin now."""
        strategy.room = room
        self._number, self.values = number, strategy.suggest(number)
        self.parent = None if self.values is None else strategy.parent(number)
        self.waits = self.values is None and strategy.waits
        self.given = True

    def drop(self, strategy: Strategy) -> None:
        """Take the trial back."""
        if self.values is not None:
            strategy.observe(Observation(self._number, self.values, TrialState.CANCELLED, None))


class BackgroundRule(StoppingRule):
    """Has a strategy's own rule judge reports in the strategy's thread; `observe` returns False, and the verdict comes later.

    Where reports come faster than they are judged, only the newest of each trial is.

    Args:
        inner: the rule, which does not pause trials.
        worker: does the work.
    """

    def __init__(self, inner: StoppingRule, worker: Worker) -> None:
        self._inner, self._worker = inner, worker
        self._newest: dict[int, int] = {}
        self._verdicts: deque[tuple[int, int]] = deque()

    def observe(self, number: int, step: int, loss: float) -> bool:
        self._newest[number] = step
        self._worker.do(partial(self._judge, number, step, loss))
        return False

    def _judge(self, number: int, step: int, loss: float) -> None:
        if self._newest[number] == step and self._inner.observe(number, step, loss):
            self._verdicts.append((number, step))

    def ended(self, number: int, state: TrialState) -> None:
        self._worker.do(partial(self._forget, number, state))

    def _forget(self, number: int, state: TrialState) -> None:
        self._newest.pop(number, None)
        self._inner.ended(number, state)

    def verdicts(self) -> list[tuple[int, int]]:
        """Return the trials that should be stopped, each with the step that it was judged by, since the last call."""
        return [self._verdicts.popleft() for _ in range(len(self._verdicts))]
