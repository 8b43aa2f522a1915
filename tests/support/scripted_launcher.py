"""A launcher that launches nothing: what happens to each trial is a list that the test gives."""

from collections import deque
from collections.abc import Callable, Sequence

from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.store.records import Report, Trial


class Script(Launcher):
    """Launches nothing: what happens to each trial is a list that the test gives by a function of the trial."""

    def __init__(
        self, plot: Callable[[Trial], list[Report | Ended]], *, order: Callable[[int], int] = lambda _: 0
    ) -> None:
        self.plot = plot
        self.order = order
        self.live: dict[int, deque[Report | Ended]] = {}
        self.launched: list[tuple[int, int]] = []
        self.adoptable: set[int] = set()
        self.stopped: list[int] = []
        self.most_at_once = 0
        self.turns = 0

    def launch(self, trial: Trial) -> None:
        self.launched.append((trial.number, trial.attempt))
        self.live[trial.number] = deque(self.plot(trial))
        self.most_at_once = max(self.most_at_once, len(self.live))

    def adopt(self, trial: Trial) -> bool:
        if trial.number in self.adoptable:
            self.live[trial.number] = deque(self.plot(trial))
            return True
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        """One happening of one trial at a time, so that every order of events can be had."""
        self.turns += 1
        ready = [number for number, plot in self.live.items() if plot]
        if not ready:
            return []
        number = ready[self.order(self.turns) % len(ready)]
        happening = self.live[number].popleft()
        if isinstance(happening, Ended):
            del self.live[number]
        return [happening]

    def stop(self, number: int) -> None:
        self.stopped.append(number)
        attempt = max(attempt for trial, attempt in self.launched if trial == number)
        self.live[number] = deque([Ended(number, attempt, "it was killed by SIGTERM", retry=True)])

    def close(self) -> None:
        self.live.clear()


def good(trial: Trial, loss: float | None = None) -> list[Report | Ended]:
    value = trial.parameters["x"] if loss is None else loss
    assert isinstance(value, float)
    return [Report(trial.number, trial.attempt, 1, 0.0, {"loss": value}), Ended(trial.number, trial.attempt)]


def broken(trial: Trial) -> list[Report | Ended]:
    return [Ended(trial.number, trial.attempt, "it exited with code 1", retry=True)]


def curve(trial: Trial, values: Sequence[float]) -> list[Report | Ended]:
    reports = [Report(trial.number, trial.attempt, step, 0.0, {"loss": value}) for step, value in enumerate(values, 1)]
    return [*reports, Ended(trial.number, trial.attempt)]
