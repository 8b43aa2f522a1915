"""Launch each trial on one of several profiles with room; relaunch it on another if it finds no room there."""

import contextlib
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from cloudtune.driver.launcher import Ended, Launcher, Remark, TrialUpdate
from cloudtune.errors import ProviderError
from cloudtune.store.records import Report, Trial, TrialState
from cloudtune_mixed.part import place_in, profile_of, within
from cloudtune_mixed.settings import MixedSettings
from cloudtune_mixed.strays import Strays
from cloudtune_mixed.worker import Broken, News, Outage, Ready, Worker

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

_START = 60.0
"""Seconds that the first trial waits for all profiles to be ready, so that the fastest does not get all trials."""

_END = 30.0
"""Seconds that a profile has to stop its work; one that cannot be reached may take longer, and is not awaited."""

_LONGEST_PAUSE = 3600.0

_MAX_FAILURES = 8
"""Times in a row that a profile may have no room or be out of reach before it is given up."""


@dataclass(slots=True)
class _Profile:
    """The driver's state of a profile.

    Attributes:
        worker: its thread.
        most: greatest number of trials at once.
        state: ``ready`` for trials, ``starting``, or ``out``: it cannot be reached.
        trials: the numbers of its trials.
        failures: times in a row that it had no room or could not be reached.
        rests_until: when it is tried again (`time.monotonic`).
        room: greatest number of trials while it rests: those that it had when another found no room.
        given_up: why it is not tried again; "" as long as it is.
    """

    worker: Worker
    most: int
    state: Literal["starting", "ready", "out"] = "starting"
    trials: set[int] = field(default_factory=set)
    failures: int = 0
    rests_until: float = 0.0
    room: int = 0
    given_up: str = ""

    @property
    def free(self) -> int:
        """Number of trials that may be launched on it now."""
        if self.given_up or self.state != "ready":
            return 0
        resting = time.monotonic() < self.rests_until
        return max((min(self.most, self.room) if resting else self.most) - len(self.trials), 0)


class MixedLauncher(Launcher):
    """Launches trials through a worker for each profile.

    Args:
        run: gets an event when a profile has no room, with the reason.
        makers: make the launchers; by the profile's name, in the order in which trials go to them.
        parallel: trials at once, all profiles together.
        settings: of the profile that consists of several.
        machines: the names by which the profiles' machines are charged, also of profiles that the run no longer has.
    """

    def __init__(
        self,
        run: "RunStore",
        makers: Mapping[str, Callable[[], Launcher]],
        parallel: int,
        settings: MixedSettings,
        machines: Mapping[str, str],
    ) -> None:
        self._run = run
        self._settings = settings
        self._machines = machines
        self._happened: queue.SimpleQueue[tuple[str, News]] = queue.SimpleQueue()
        strays = Strays(run.folder)
        self._profiles = {
            name: _Profile(
                Worker(name, make, strays, lambda *news: self._happened.put(news)),
                settings.parallel.get(name, parallel),
            )
            for name, make in makers.items()
        }
        self._late: list[TrialUpdate] = []
        try:
            self._wait_for_all()
        except BaseException:
            self.close()
            raise

    def _wait_for_all(self) -> None:
        """Wait until each profile is ready or has failed to start, so that the fastest does not get all trials."""
        until = time.monotonic() + _START
        while any(each.state == "starting" for each in self._profiles.values()):
            left = until - time.monotonic()
            if left <= 0:
                return
            self._late += self.poll(left)

    # Where trials go

    def room(self) -> int | None:
        return sum(each.free for each in self._profiles.values())

    def has_room_for(self, trial: Trial) -> bool:
        kept = self._checkpoint_of(trial)
        return kept is None or self._profiles[kept].free > 0

    def _checkpoint_of(self, trial: Trial) -> str | None:
        """Return the profile where a trial, or its parent, was paused: the others cannot see its checkpoint; None for any profile."""
        parent = None if trial.parent is None else self._run.trial(trial.parent)
        paused = trial if trial.state is TrialState.PAUSED else parent
        profile = profile_of(paused.place) if paused is not None and paused.place else None
        known = self._profiles.get(profile) if profile is not None else None
        return None if known is None or known.given_up else profile

    def place(self, trial: Trial) -> str:
        profile = self._checkpoint_of(trial) or self._choose()
        self._profiles[profile].trials.add(trial.number)
        return place_in(profile, self._profiles[profile].worker.place(trial))

    def _choose(self) -> str:
        free = [name for name, each in self._profiles.items() if each.free]
        if self._settings.order == "even":
            return min(free, key=lambda name: len(self._profiles[name].trials) / self._profiles[name].most)
        return free[0]

    def outlives(self, trial: Trial) -> bool:
        return self._worker_of(trial).outlives(within(trial))

    def launch(self, trial: Trial) -> None:
        self._worker_of(trial).launch(within(trial))

    def printed(self, trial: Trial) -> Sequence[str]:
        return self._worker_of(trial).printed(within(trial))

    def billed(self, trial: Trial) -> float:
        return self._worker_of(trial).billed(within(trial))

    def machine(self, trial: Trial) -> str:
        return self._machines[profile_of(trial.place)]

    def adopt(self, trial: Trial) -> bool:
        profile = self._profiles.get(profile_of(trial.place))
        if profile is None:
            return False  # the run no longer has this profile
        profile.trials.add(trial.number)
        profile.worker.adopt(within(trial))
        return True

    def _worker_of(self, trial: Trial) -> Worker:
        return self._profiles[profile_of(trial.place)].worker

    def stop(self, number: int) -> None:
        for profile in self._profiles.values():
            if number in profile.trials:
                profile.worker.stop(number)

    # What happens

    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        happened, self._late = self._late, []
        for name, news in self._drained(0.0 if happened else timeout):
            passed_on = self._take(name, news)
            if passed_on is not None:
                happened.append(passed_on)
        self._wake()
        return happened

    def _drained(self, timeout: float) -> Iterator[tuple[str, News]]:
        with contextlib.suppress(queue.Empty):
            yield self._happened.get(timeout=timeout) if timeout > 0 else self._happened.get_nowait()
            while True:
                yield self._happened.get_nowait()

    def _take(self, name: str, news: News) -> TrialUpdate | None:
        profile = self._profiles[name]
        match news:
            case Report() | Remark():
                return news
            case Ended():
                profile.trials.discard(news.number)
                return self._ended(name, news)
            case Ready(most):
                profile.state = "ready"
                profile.most = profile.most if most is None else min(profile.most, most)
            case Outage(error):
                profile.state = "out"
                self._rest(name, f"cannot be used: {error}", for_good=not error.retryable)
            case Broken(error):
                raise error
        return None

    def _ended(self, name: str, ended: Ended) -> Ended:
        place = ended.place and place_in(name, ended.place)
        machine = place_in(name, ended.machine) if ended.machine else self._machines[name]
        ended = replace(ended, place=place, machine=machine)
        if ended.unplaced and not ended.lost:
            self._rest(name, f"has no room: {ended.failure}")
            return replace(ended, failure=f"no room on {name}", lost=True)
        if ended.lost:
            return replace(ended, failure=f"on {name}: {ended.failure}")
        self._profiles[name].failures = 0
        return ended

    def _rest(self, name: str, why: str, *, for_good: bool = False) -> None:
        """Launch nothing more on a profile for a while, or for good."""
        profile, now = self._profiles[name], time.monotonic()
        if profile.given_up or (profile.state == "ready" and now < profile.rests_until):
            profile.room = len(profile.trials)
            return  # several trials found no room at the same time
        pause = min(self._settings.pause * 2**profile.failures, _LONGEST_PAUSE)
        profile.failures += 1
        profile.rests_until, profile.room = now + pause, len(profile.trials)
        if for_good or profile.failures > _MAX_FAILURES:
            profile.given_up = f"{name} {why}"
        until = "gets no more trials of this run" if profile.given_up else f"gets no trials for {pause:g} seconds"
        self._run.write(events=[(None, f"{name} {why}; it {until}")])
        if all(each.given_up for each in self._profiles.values()):
            raise ProviderError("; ".join(each.given_up for each in self._profiles.values()))

    def _wake(self) -> None:
        for profile in self._profiles.values():
            if profile.state == "out" and not profile.given_up and time.monotonic() >= profile.rests_until:
                profile.state = "starting"
                profile.worker.wake()

    def close(self) -> None:
        workers = [each.worker for each in self._profiles.values()]
        for worker in workers:
            worker.close()
        until = time.monotonic() + _END
        for worker in workers:
            worker.join(max(until - time.monotonic(), 0.0))
