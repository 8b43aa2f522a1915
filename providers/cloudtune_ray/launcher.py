"""Run trials on the nodes of a Ray cluster, in slots that run one after the other and report by long calls."""

import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudtune.driver.launcher import Ended, Launcher, Queued, TrialUpdate
from cloudtune.errors import ProviderError, StoreError
from cloudtune.process.endings import ended_of
from cloudtune.process.logs import sample
from cloudtune.process.mirror import Mirror
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Trial
from cloudtune_ray import actor as actor_module
from cloudtune_ray.briefing import Briefing
from cloudtune_ray.calls import Call, Calls
from cloudtune_ray.cluster import Cluster
from cloudtune_ray.failures import cannot_start, in_words, out_of_memory
from cloudtune_ray.room import Room

LISTEN_TIMEOUT = 30.0
"""Seconds after which a slot answers a call even if it has nothing to report."""

IDLE_TIME = 30.0
"""Seconds after which a slot without a trial releases its resources."""

_MOST_FAILED_STARTS = 5
_CHECK_INTERVAL = 2.0
_STATUS_TIMEOUT = 10.0
_QUEUE_GRACE = 8.0
"""Seconds after which a trial without a slot is told to wait: a slot starts in about two, on a busy machine later."""


@dataclass(eq=False)
class _Slot:
    """An actor, as the driver knows it."""

    name: str
    actor: Any
    mirror: Mirror | None = None
    up: bool = False
    idle_since: float = 0.0


@dataclass
class _Slots:
    """The slots of a run."""

    all: set[_Slot] = field(default_factory=set)
    idle: list[_Slot] = field(default_factory=list)
    found: dict[str, _Slot] = field(default_factory=dict)  # by the attempt that an earlier driver gave them

    @property
    def starting(self) -> list[_Slot]:
        """The slots that are not up yet."""
        return [slot for slot in self.all if not slot.up]


class RayLauncher(Launcher):
    """Runs trials in slots, never more slots than trials at once.

    Args:
        cluster: the cluster; closed with the launcher.
        briefing: what slots and trials need.
        running: trials that an earlier driver left running; their slots are kept for `adopt`.

    Raises:
        ProviderError: no node has the resources that a trial needs.
    """

    def __init__(self, cluster: Cluster, briefing: Briefing, running: Collection[Trial] = ()) -> None:
        self._cluster = cluster
        self._ray = cluster.ray
        self._briefing = briefing
        self._setting = briefing.setting
        self._patterns = metric_patterns(self._setting.job.measured, self._setting.job.metrics, heard=False)
        self._calls: Calls[_Slot] = Calls(cluster.ray)
        self._slots = _Slots()
        self._queue: deque[Mirror] = deque()
        self._happened: deque[TrialUpdate] = deque()
        self._failed_starts = 0
        self._queued: dict[int, float] = {}  # when each waiting trial began to
        self._told: set[int] = set()  # the trials that were told to wait
        self._next_look = 0.0
        self._ray.cloudpickle.register_pickle_by_value(actor_module)
        self._actor_class = self._ray.remote(actor_module.SlotActor)
        self._room = Room(cluster, briefing)
        self._room.check(first=True)
        self._find({f"{trial.number}.{trial.attempt}" for trial in running})

    # The launcher's interface

    def place(self, trial: Trial) -> str:
        return self._setting.place(trial)

    def launch(self, trial: Trial) -> None:
        mirror = self._mirror(trial)
        mirror.forget()
        self._queue.append(mirror)
        self._queued[trial.number] = time.monotonic()
        with self._cluster.reached():
            self._hand_out()

    def printed(self, trial: Trial) -> Sequence[str]:
        return sample(self._setting.files(trial).log)

    def adopt(self, trial: Trial) -> bool:
        mirror = self._mirror(trial)
        slot = self._slots.found.pop(mirror.key, None)
        if slot is None:
            return False
        slot.mirror = mirror
        if trial.queued:  # it has a slot
            self._happened.append(Queued(trial.number, trial.attempt, ""))
        if not self._briefing.pooled:
            self._happened.extend(mirror.take({}))
        self._listen(slot, mirror)
        return True

    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        with self._cluster.reached():
            return self._poll(timeout)

    def _poll(self, timeout: float) -> Sequence[TrialUpdate]:
        if not self._happened:
            try:
                self._hear(timeout)
            except OSError as error:
                place = error.filename or self._setting.folder
                raise StoreError(
                    f"{place} cannot be written: {error.strerror or error}; the run can be resumed once that is mended"
                ) from error
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _CHECK_INTERVAL
            self._check_periodically()
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def stop(self, number: int) -> None:
        for mirror in self._queue:
            if mirror.trial.number == number:
                self._queue.remove(mirror)
                self._forget_waiting(mirror)
                why = "it was stopped by its driver before it began"
                self._happened.append(Ended(number, mirror.trial.attempt, why, lost=True))
                return
        busy = (slot for slot in self._slots.all if slot.mirror is not None and slot.mirror.trial.number == number)
        for slot in busy:
            self._stop(slot)

    def _stop(self, slot: _Slot) -> None:
        assert slot.mirror is not None
        key = slot.mirror.key
        self._ask(slot, lambda: slot.actor.stop.remote(key), lambda _slot, _answer: None)

    def close(self) -> None:
        for slot in self._slots.all:
            if slot.mirror is not None:
                slot.mirror.close()
        if self._ray.is_initialized():  # else the connection has been shut down before
            for slot in self._slots.starting:
                self._kill(slot.actor)
            with contextlib.suppress(self._ray.exceptions.RayError):  # of a cluster that is lost nothing is left
                self._cluster.dismiss([slot.actor for slot in self._slots.all if slot.up])
        self._cluster.close()

    # Slots

    def _find(self, wanted: Collection[str]) -> None:
        """Find slots of an earlier driver: those with a wanted attempt wait for `adopt`, idle ones are reused."""
        actors = self._cluster.actors(self._briefing.prefix)
        calls = {name: actor.status.remote() for name, actor in actors.items()}
        known = dict(self._cluster.answers(calls, _STATUS_TIMEOUT))
        for name, actor in actors.items():
            status, slot = known.get(name), _Slot(name, actor)
            if status is not None and status["key"] in wanted:
                slot.up = True
                self._slots.all.add(slot)
                self._slots.found[status["key"]] = slot
            elif status is not None and (status["key"] is None or status["ended"]):
                self._slots.all.add(slot)
                self._prepare(slot)
            else:
                self._kill(actor)

    def _hand_out(self) -> None:
        """Assign waiting trials to idle slots, and create as many more slots as are needed."""
        while self._queue and self._slots.idle:
            self._assign(self._slots.idle.pop(), self._queue.popleft())
        for _ in range(len(self._queue) - len(self._slots.starting)):
            self._create_slot()

    def _create_slot(self) -> None:
        name = self._briefing.prefix + secrets.token_hex(4)
        options = self._briefing.options(name, self._cluster.namespace)
        try:
            actor = self._actor_class.options(**options).remote(*self._briefing.actor_arguments)
        except (ValueError, TypeError) as error:
            raise ProviderError(f"Ray makes no slot for trials of this kind: {error}") from error
        slot = _Slot(name, actor)
        self._slots.all.add(slot)
        self._prepare(slot)

    def _prepare(self, slot: _Slot) -> None:
        try:
            node = self._briefing.node
        except OSError as error:
            raise ProviderError(f"code or data cannot be packed: {error}") from error
        self._ask(slot, lambda: slot.actor.prepare.remote(node), self._is_up)

    def _is_up(self, slot: _Slot, _answer: None) -> None:
        slot.up = True
        self._failed_starts = 0
        self._rest(slot)

    def _rest(self, slot: _Slot) -> None:
        """Mark a slot as idle, and assign it a waiting trial."""
        slot.mirror, slot.idle_since = None, time.monotonic()
        self._slots.idle.append(slot)
        self._hand_out()

    def _assign(self, slot: _Slot, mirror: Mirror) -> None:
        slot.mirror = mirror
        number, attempt = mirror.trial.number, mirror.trial.attempt
        self._forget_waiting(mirror)
        try:
            order = self._briefing.order(mirror.trial)
        except OSError as error:
            why = f"its checkpoint cannot be packed: {error}"
            self._happened.append(Ended(number, attempt, why, retry=True))
            self._rest(slot)
            return
        self._ask(slot, lambda: slot.actor.run.remote(order, LISTEN_TIMEOUT), self._handle_news)

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):  # it has ended
            self._ray.kill(actor)

    # Answers of slots

    def _ask(self, slot: _Slot, make: Callable[[], Any], hear: Callable[[_Slot, Any], None]) -> None:
        self._calls.make(Call(slot, make, hear))

    def _hear(self, timeout: float) -> None:
        """Wait for the first answer, and handle all that have come."""
        for call, answer, error in self._calls.answers(timeout):
            if call.callee not in self._slots.all:
                continue  # the last answers of a slot that was given up
            if error is None:
                call.hear(call.callee, answer)
            else:
                self._failed(call.callee, error)

    def _handle_news(self, slot: _Slot, news: Mapping[str, Any]) -> None:
        """Handle what an attempt printed and reported, and its end."""
        mirror = slot.mirror
        assert mirror is not None
        if "gone" in news:
            self._lost(mirror, "its slot has forgotten it")
            self._rest(slot)
            return
        self._happened.extend(mirror.take(news))
        if mirror.ended is None:
            self._listen(slot, mirror)
        else:
            mirror.clear_checkpoint()
            self._bring_back(slot, mirror)

    def _listen(self, slot: _Slot, mirror: Mirror) -> None:
        def make() -> Any:
            return slot.actor.listen.remote(mirror.key, *mirror.known(), LISTEN_TIMEOUT)

        self._ask(slot, make, self._handle_news)

    def _bring_back(self, slot: _Slot, mirror: Mirror) -> None:
        """Ask for the next part of the files of an ended trial; report its end after the last one."""
        wanted = mirror.wanted()
        if wanted is None:
            self._over(mirror)
            self._rest(slot)
        else:
            self._ask(slot, lambda: slot.actor.read.remote(mirror.key, *wanted), self._got)

    def _got(self, slot: _Slot, data: bytes) -> None:
        assert slot.mirror is not None
        slot.mirror.receive(data)
        self._bring_back(slot, slot.mirror)

    # Ends

    def _over(self, mirror: Mirror) -> None:
        mirror.close()
        trial, outcome = mirror.trial, mirror.ended
        assert outcome is not None
        if outcome["why"] in (
            "lost",
            "system",
        ):  # "system": its node's disk is full, say; another may have room
            self._lost(mirror, outcome["message"])
        else:
            self._happened.append(ended_of(self._setting, trial.number, trial.attempt, outcome, mirror.files.log))

    def _lost(self, mirror: Mirror, why: str) -> None:
        """Report a trial as lost through no fault of its own."""
        self._happened.extend(mirror.rest())
        mirror.close()
        self._happened.append(Ended(mirror.trial.number, mirror.trial.attempt, why, lost=True))

    def _failed(self, slot: _Slot, error: Exception) -> None:
        """Give up a slot whose call failed, and report the end of its trial."""
        self._give_up(slot)
        why = in_words(self._ray, error)
        if slot.mirror is None:
            self._did_not_start(slot, error, why)
        elif out_of_memory(self._ray, error) or isinstance(error, self._ray.exceptions.RayTaskError):
            slot.mirror.close()
            trial = slot.mirror.trial
            self._happened.append(Ended(trial.number, trial.attempt, why, retry=True))
        else:
            self._lost(slot.mirror, why)
        self._hand_out()

    def _give_up(self, slot: _Slot) -> None:
        self._slots.all.discard(slot)
        if slot in self._slots.idle:
            self._slots.idle.remove(slot)
        self._kill(slot.actor)

    def _did_not_start(self, slot: _Slot, error: Exception, why: str) -> None:
        """Count a slot that did not start, which another slot replaces.

        Raises:
            ProviderError: another slot would fail in the same way.
        """
        if slot.up:
            return
        self._failed_starts += 1
        hopeless = cannot_start(self._ray, error) and not any(other.up for other in self._slots.all)
        if hopeless or self._failed_starts >= _MOST_FAILED_STARTS:
            raise ProviderError(f"no slot for trials could be started on the cluster: {why}")

    # Periodic checks

    def _check_periodically(self) -> None:
        if self._slots.starting:
            self._room.check()
        now = time.monotonic()
        self._tell_waiting(now)
        idle_limit = min(IDLE_TIME, self._briefing.native.linger.total_seconds() / 2)  # before the slot exits by itself
        expired = [slot for slot in self._slots.idle if now - slot.idle_since > idle_limit]
        for slot in expired:
            self._slots.idle.remove(slot)
            self._slots.all.discard(slot)
        self._cluster.dismiss([slot.actor for slot in expired])

    def _tell_waiting(self, now: float) -> None:
        """Tell what the trials wait for that got no slot for some time."""
        late = [mirror for mirror in self._queue if now - self._queued[mirror.trial.number] >= _QUEUE_GRACE]
        if late:
            why = self._room.awaited()
            self._happened.extend(Queued(each.trial.number, each.trial.attempt, why) for each in late)
            self._told.update(each.trial.number for each in late)

    def _forget_waiting(self, mirror: Mirror) -> None:
        """Tell that a trial, which was told to wait, does no more."""
        number, attempt = mirror.trial.number, mirror.trial.attempt
        del self._queued[number]
        if number in self._told:
            self._told.remove(number)
            self._happened.append(Queued(number, attempt, ""))

    def _mirror(self, trial: Trial) -> Mirror:
        return Mirror(trial, self._setting.files(trial), self._patterns)
