"""The ask/tell loop: suggest trials, launch them, record what they report, prune them, and end the run.

Trials are launched by any `Launcher`: as processes here, tasks of a cluster, or training jobs of a service. Slots are
filled one by one as they become free. What happened and what will be done about it is committed to the store in one
transaction before anything is launched, so that another driver can resume where one was killed.
"""

import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cloudtune.costs.spending import Spending
from cloudtune.driver.announcer import Announcer
from cloudtune.driver.asking import Asking
from cloudtune.driver.attempts import Attempts, begin, queue, take_back
from cloudtune.driver.clock import Clock
from cloudtune.driver.confirming import LITTLE_LEFT, Confirming, announced, judgement
from cloudtune.driver.course import Moments, course
from cloudtune.driver.decisions import TRIED_AGAIN, Running, asked_for, decided, reason_of, verdict_of
from cloudtune.driver.intake import Intake
from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended, Launcher, Queued, Remark, TrialUpdate
from cloudtune.driver.limits import limit_reached, time_reached
from cloudtune.driver.pauses import Pauses
from cloudtune.driver.reasons import INTERRUPTED, ending, resume_hint
from cloudtune.driver.taken import cost_of
from cloudtune.driver.warm_start import learn
from cloudtune.errors import in_one_line
from cloudtune.results.continued import continued_reports
from cloudtune.results.objectives import losses
from cloudtune.results.progress import Progress, ProgressCounter, Watcher, keep_counting_values
from cloudtune.search import KnownTrial, Purpose, Search
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.store.stops import STOPPED
from cloudtune.store.store import RunStore
from cloudtune.store.unit_of_work import UnitOfWork

TICK = 0.25
"""Seconds between two checks of the time limit and of requests to cancel."""

_SAVE_ELAPSED = 5.0
"""Seconds after which the run's elapsed time is written even if there is nothing else to write."""

_FILL_TIME = 0.005
"""Seconds of suggesting after which the trials suggested so far are launched before the next slot is filled."""


class Driver:
    """Drives one run to its end.

    Args:
        job: the spec.
        run: the run's store; the caller holds its lock.
        launcher: of the trials; the caller closes it.
        seed: of the strategy.
        watcher: called with the progress, at most ten times a second.
        interrupt: checked in every turn of the loop.
        known: trials of earlier runs, for a warm start.
        spending: charges the trials, and limits what they cost; None to charge nothing.
    """

    def __init__(
        self,
        job: TuningJob,
        run: RunStore,
        launcher: Launcher,
        *,
        seed: int,
        watcher: Watcher | None = None,
        interrupt: Interrupt | None = None,
        known: Sequence[KnownTrial] = (),
        spending: Spending | None = None,
    ) -> None:
        self._job = job
        self._run = run
        self._launcher = launcher
        self._interrupt = interrupt or Interrupt()
        self._moments = Moments()
        self._running: dict[int, Running] = {}
        self._waiting: deque[Trial] = deque()
        self._counter = ProgressCounter(job.objective, job.constraints)
        self._spending = spending or Spending(job)
        self._clock = Clock()
        self._confirming = Confirming(job, self._spending, self._clock)
        self._attempts = Attempts(job.retries)
        self._ending: tuple[RunState, str] | None = None
        self._work = UnitOfWork(run)
        self._announcer = Announcer(self._work, watcher)
        purpose = Purpose(job.objective, job.constraints, run.id, run.folder, self._announcer.say)
        self._search = Search.for_job(job, seed=seed, purpose=purpose, background=True)
        self._asking = Asking(self._search, self._announcer.say)
        self._intake = Intake(run, self._search, self._work, self._announcer.event)
        self._paused = Pauses(job, self._search, self._work)
        self._to_launch: deque[Trial] = deque()
        self._updates: deque[TrialUpdate] = deque()
        self._broken, self._stuck = False, False
        self._to_stop: list[int] = []
        self._elapsed_saved, self._next_check, self._noted_interrupt = 0.0, 0.0, 0
        if known:
            self._announcer.event(None, learn(self._search, job, known))

    def run(self) -> RunState:
        """Run trials until the job is done; return the run's state, INTERRUPTED if it can be resumed.

        Any exception interrupts the run and is raised again: trials that do not outlive their driver become WAITING.

        Raises:
            ProviderError: the place of the trials cannot be reached, or refuses.
            StoreError: the store cannot be written, or no process can be started.
        """
        try:
            return self._loop()
        except BaseException as error:
            self._break_off(error)
            raise
        finally:
            self._asking.close()

    def _loop(self) -> RunState:
        self._restore()
        started = self._run.record().started or time.time()
        # A request to cancel stays: it may have come while this process was about to drive, and is still to be answered.
        self._run.write(columns={"state": RunState.RUNNING.value, "reason": "", "started": started})
        while True:
            self._check_limits()
            self._fill_slots()
            self._commit()
            self._stop_trials()
            while self._to_launch:
                self._launcher.launch(self._to_launch.popleft())
            self._show_progress()
            done = not self._running and (self._draining or not self._has_more()) and not self._repeat()
            if done and self._asking.over(interrupted=self._interrupt.level > 0):
                return self._finish()
            ready = self._may_launch() and not self._stuck
            self._handle(self._launcher.poll(0.0 if ready else self._asking.pause(TICK)))

    # What the strategy knows at the start

    def _restore(self) -> None:
        """Restore the state of an earlier driver: count ended trials, adopt running ones or start them again."""
        history = self._run.history()
        self._clock.restore(self._run.record().elapsed)
        self._attempts.restore(self._run.events())
        self._spending.follow(self._clock.elapsed)
        self._spending.restore(history)
        self._confirming.restore(history)
        moves = course(history, self._run.reports())
        self._moments = Moments(moves)
        for move in moves:
            if move.kind == "ask":
                self._search.restore(move.trial.number, move.trial.parameters, move.trial.origin)
            elif move.report is not None:
                self._judge(move.report)
            else:
                self._conclude(move.trial)
        for trial in sorted(history, key=lambda trial: trial.number):
            self._search.skip(trial.number)
            if trial.state is TrialState.PAUSED:
                self._paused.restore(trial)
            elif not trial.state.ended:
                self._resume_trial(trial)
            elif trial.repeat_of is not None:
                self._conclude(trial)

    def _resume_trial(self, trial: Trial) -> None:
        if trial.launched and self._launcher.adopt(trial):
            self._run.forget_reports(trial.number, trial.attempt)
            running = self._run_trial(trial)
            self._announcer.event(trial.number, "taken over from the driver that launched it")
            if trial.reason and not trial.queued:  # that driver had decided to stop it
                self._stop(running, decided(trial.reason), trial.reason)
            return
        if trial.state is TrialState.RUNNING and decided(trial.reason) is not TrialState.WAITING:
            self._end_as(trial, decided(trial.reason), trial.reason)
            return
        if trial.state is TrialState.RUNNING:
            self._announcer.event(trial.number, "was lost with its driver; it is started again")
            reports = list(self._run.reports(trial.number))
            self._spending.lose(trial, reports, self._launcher.machine(trial))
            if self._search.pauses:  # where its checkpoint is the last one, the next attempt has nothing more to report
                for report in continued_reports(reports, trial.attempt):
                    keep_counting_values(self._job.objective, trial.metrics, report.metrics)
            if self._launcher.once:  # the launch may still arrive: as the same attempt it makes no second job
                self._run.forget_reports(trial.number, trial.attempt)
                trial.attempt -= 1
        if trial.queued:
            take_back(trial)
        self._wait(trial)

    # Filling the slots

    @property
    def _draining(self) -> bool:
        """Whether the run ends or is interrupted, so that no more trials are launched."""
        return self._ending is not None or self._interrupt.level > 0

    def _has_more(self) -> bool:
        """Return whether a trial waits, or the search may suggest another."""
        return bool(self._waiting) or not (self._search.exhausted or self._confirming.closed)

    def _fill_slots(self) -> None:
        since = time.perf_counter()
        self._intake.read()
        while self._may_launch():
            trial = self._next_trial()
            self._stuck = trial is None
            if trial is None:
                break
            begin(trial, self._launcher, keep=self._search.pauses)
            self._run_trial(trial)
            self._to_launch.append(trial)
            if time.perf_counter() - since > _FILL_TIME:
                break

    def _next_trial(self) -> Trial | None:
        """Return a trial that waits, or a suggestion; None where there is none now that the launcher has room for."""
        for trial in self._waiting:
            if self._launcher.has_room_for(trial):
                self._waiting.remove(trial)
                return trial
        while (suggested := self._suggest()) is not None and not self._launcher.has_room_for(suggested):
            self._waiting.append(suggested)
        return suggested

    def _run_trial(self, trial: Trial) -> Running:
        """Count a trial as running."""
        machine = self._launcher.machine(trial)
        for charged in self._spending.start(trial, lambda: self._launcher.billed(trial), machine):
            self._work.trial(charged)
        running = self._running[trial.number] = Running(trial)
        return running

    def _may_launch(self) -> bool:
        within = not self._draining and len(self._running) < self._job.limits.parallel and self._has_more()
        room = within and self._launcher.room() != 0 and self._spending.may_start()
        return room and self._confirming.leaves_room(self._waiting)

    def _suggest(self) -> Trial | None:
        suggestion = self._asking.ask(self._moments, self._job.limits.parallel - len(self._running))
        if suggestion is None:
            return None
        if suggestion.resumed:
            return self._paused.take(suggestion.number)
        self._intake.suggested(suggestion)
        return Trial(suggestion.number, suggestion.parameters, origin=suggestion.origin, asked=self._asking.moment)

    def _commit(self) -> None:
        """Write what happened and what will be launched, if there is anything to write."""
        elapsed = self._clock.elapsed()
        due = elapsed > self._elapsed_saved + _SAVE_ELAPSED
        if self._to_launch or self._work or due:
            self._write(columns={"elapsed": elapsed} if due else {})

    def _write(self, columns: Mapping[str, object] | None = None) -> None:
        self._work.write(columns, self._to_launch)
        if columns and "elapsed" in columns:
            self._elapsed_saved = self._clock.elapsed()

    # What happens

    def _handle(self, updates: Sequence[TrialUpdate]) -> None:
        self._updates.extend(updates)
        while self._updates:
            update = self._updates.popleft()
            running = self._running.get(update.number)
            if running is None or update.attempt != running.trial.attempt:
                continue  # late output of an attempt that has ended
            if isinstance(update, Report):
                self._record(running, update)
            elif isinstance(update, Remark):
                self._announcer.event(update.number, update.text)
            elif isinstance(update, Queued):
                if queue(running, update):
                    self._announcer.event(update.number, running.trial.reason or "begins")
                    self._work.trial(running.trial)
            else:
                self._settle(running, update)
        for number, step in [] if self._broken else self._asking.verdicts():
            if number in self._running:
                self._stop(self._running[number], *self._paused.put_aside(step))

    def _record(self, running: Running, report: Report) -> None:
        report = replace(report, moment=self._moments.of(report))
        self._work.report(report)
        running.reported.update(report.metrics)
        self._attempts.reached(report)
        keep_counting_values(self._job.objective, running.trial.metrics, report.metrics)
        if restarted := self._paused.restarted(running.trial, report):
            self._announcer.event(report.number, restarted)
        if running.trial.repeat_of is None and self._judge(report):
            self._stop(running, *self._paused.put_aside(report.step))

    def _judge(self, report: Report) -> bool:
        """Pass a report to the search; return whether its trial is pruned."""
        return not self._broken and self._search.report(report.number, report.step, report.metrics)

    def _stop(self, running: Running, state: TrialState, why: str) -> None:
        """Decide the state that a trial is stopped in; the decision is written before the trial is stopped."""
        if running.stop is not None:
            return
        running.stop, running.why = state, why
        self._to_stop.append(running.trial.number)
        running.trial.reason = reason_of(state, why)
        self._work.trial(running.trial)

    def _stop_trials(self) -> None:
        for number in self._to_stop:
            if number in self._running:  # else it has ended
                self._launcher.stop(number)
        self._to_stop.clear()

    def _settle(self, running: Running, end: Ended) -> None:
        trial = running.trial
        del self._running[trial.number]
        trial.place = end.place or trial.place
        self._spending.end(trial, self._launcher.billed(trial) if end.billed is None else end.billed, end.machine)
        if self._interrupt.level >= 2 and running.stop is None and end.failure:
            running.stop = TrialState.WAITING  # what interrupts this driver, such as a shutdown, may have ended it
        if running.stop is None:
            end = self._attempts.judged(end)
        state, reason = verdict_of(running, end, self._job, self._launcher.printed)
        if end.lost and running.stop is None:
            self._start_again(trial, f"attempt {trial.attempt} was lost ({end.failure}); it is started again")
        elif state is TrialState.WAITING:
            self._wait(trial)
        elif state is TrialState.FAILED and end.retry and self._ending is None and self._attempts.retry(trial.number):
            self._start_again(trial, f"attempt {trial.attempt} failed: {reason}{TRIED_AGAIN}")
        else:
            self._end_as(trial, state, reason)

    def _end_as(self, trial: Trial, state: TrialState, reason: str) -> None:
        """End or pause a trial."""
        if state is TrialState.PAUSED:
            self._paused.add(trial, reason)
        else:
            self._end(trial, state, reason)

    def _end(self, trial: Trial, state: TrialState, reason: str) -> None:
        trial.state, trial.reason, trial.ended = state, reason, time.time()
        self._work.trial(trial)
        if self._conclude(trial):
            self._announcer.event(trial.number, f"failed: {reason}")

    def _wait(self, trial: Trial) -> None:
        trial.state, trial.reason = TrialState.WAITING, ""
        self._work.trial(trial)
        self._waiting.append(trial)

    def _start_again(self, trial: Trial, message: str) -> None:
        self._wait(trial)
        self._announcer.event(trial.number, message)

    def _conclude(self, trial: Trial) -> bool:
        """Count an ended trial and pass it to the search; return whether it failed with a new message."""
        values = losses(self._job.objective, trial.metrics) if trial.state is not TrialState.FAILED else None
        new = self._counter.add(trial, values)
        self._confirming.ended(trial)
        if not self._broken and trial.repeat_of is None:
            self._search.tell(trial.number, trial.metrics, state=trial.state, cost=cost_of(self._job, trial))
            if trial.told is None and trial.asked is not None:
                trial.told = next(self._moments)
                self._work.trial(trial)
        return new

    # Limits and requests

    def _check_limits(self) -> None:
        """Decide whether the run has to end or was interrupted, and stop the trials accordingly."""
        if self._ending is None and (ends := self._why_to_end()) is not None:
            self._ending = ends
            self._announcer.event(None, ends[1])
        if self._ending is not None and (self._running or self._waiting):
            self._cancel(self._ending[1], [*self._waiting, *(running.trial for running in self._running.values())])
        elif self._interrupt.level > self._noted_interrupt:
            self._noted_interrupt = self._interrupt.level
            self._announcer.event(None, INTERRUPTED[self._interrupt.level].format(len(self._running)))
        if self._ending is None and self._interrupt.level >= 2:
            for running in self._running.values():
                self._stop(running, TrialState.WAITING, "interrupted")

    def _cancel(self, why: str, trials: Sequence[Trial]) -> None:
        """Stop running trials, and end waiting ones."""
        for trial in trials:
            if trial.number in self._running:
                self._stop(self._running[trial.number], TrialState.CANCELLED, why)
                continue
            self._waiting.remove(trial)
            trial.state, trial.reason, trial.ended = TrialState.CANCELLED, why, time.time()
            self._work.trial(trial)
            self._conclude(trial)

    def _close(self, why: str) -> None:
        """End the search, but not the run: its candidates are still to be confirmed."""
        if self._confirming.close(why):
            self._announcer.event(None, why)
            trials = [*self._waiting, *(running.trial for running in self._running.values())]
            self._cancel(why, [trial for trial in trials if trial.repeat_of is None])

    def _repeat(self) -> bool:
        """Let the repetitions wait that the job asks for, once the search is over; return whether there are any to start."""
        repetitions = [] if self._ending is not None else self._confirming.repetitions(self._run)
        for trial in repetitions:
            self._search.skip(trial.number)
            self._wait(trial)
        if repetitions:
            self._announcer.event(None, announced(repetitions))
        return bool(repetitions) and not self._draining

    def _why_to_end(self) -> tuple[RunState, str] | None:
        """Return the state that the run has to end in now, and the reason; None to continue."""
        reached = limit_reached(self._job, self._counter)
        if reached is not None and (self._job.confirm is None or reached[0] is not RunState.COMPLETED):
            return reached
        if reached is not None:
            self._close(reached[1])
        elif not self._running and self._has_more() and not self._confirming.leaves_room(self._waiting):
            self._close(LITTLE_LEFT)
        goes_on = self._running or self._has_more()
        if goes_on and (spent := self._spending.exhausted(idle=not self._running, ahead=TICK)) is not None:
            return RunState.COMPLETED, spent
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + TICK
            if (late := time_reached(self._job, self._clock.elapsed())) is not None:
                return late
            wish = self._run.wish()
            if wish == "cancel":
                return RunState.CANCELLED, "cancelled by its user"
            self._cancel(STOPPED, asked_for(wish, self._waiting, self._running.values()))
        return None

    def _finish(self) -> RunState:
        if self._ending is not None or not self._has_more():
            for trial in self._paused.end(self._ending):
                self._conclude(trial)
        left = (self._interrupt.why or "before its end") if self._has_more() else ""
        state, reason = self._ending or ending(self._counter.counts, self._run.id, self._confirming.closed, left=left)
        for charged in self._spending.close():
            self._work.trial(charged)
        for repeated in self._counter.failures.repeated():
            self._announcer.event(None, repeated)
        if self._job.confirm is not None and state.ended:
            self._counter.best, told = judgement(self._job, self._run.trials())
            self._announcer.event(None, told)
        self._work.event(None, f"{state.value}: {reason}" if reason else state.value)
        columns = {"state": state.value, "reason": reason, "elapsed": self._clock.elapsed()}
        self._write(columns={**columns, "ended": time.time()} if state.ended else columns)
        self._intake.note_left(state)
        self._show_progress(state)
        return state

    # Exceptions

    def _break_off(self, error: BaseException) -> None:
        """Write what is known after an exception; trials wait for the next driver, or are RUNNING if the store is broken, too."""
        self._broken = True
        with contextlib.suppress(BaseException):  # the error that is raised already is the one that counts
            self._handle(())
            self._handle(self._launcher.poll(0.0))
        with contextlib.suppress(BaseException):
            self._release_trials()
            reason = resume_hint(self._run.id, f"its driver broke ({in_one_line(error)})")
            self._announcer.event(None, f"{RunState.INTERRUPTED.value}: {reason}")
            self._write({"state": RunState.INTERRUPTED.value, "reason": reason, "elapsed": self._clock.elapsed()})

    def _release_trials(self) -> None:
        """Return trials that were not launched, or end with this driver, to WAITING."""
        launched = [running.trial for running in self._running.values() if running.trial.queued]
        for trial in [*self._to_launch, *(each for each in launched if not self._launcher.outlives(each))]:
            del self._running[trial.number]
            take_back(trial)
            self._wait(trial)
        self._to_launch.clear()
        for running in self._running.values():
            if self._launcher.outlives(running.trial):
                continue
            if running.stop in (TrialState.PRUNED, TrialState.PAUSED):
                self._end_as(running.trial, running.stop, running.why)
            else:
                self._wait(running.trial)

    # Events and progress

    def _show_progress(self, state: RunState | None = None) -> None:
        self._announcer.show(lambda: self._progress(state), last=state is not None)

    def _progress(self, state: RunState | None) -> Progress:
        return self._counter.snapshot(
            state or (RunState.STOPPING if self._draining else RunState.RUNNING),
            launched=tuple(running.trial for running in self._running.values()),
            paused=len(self._paused),
            total=self._confirming.total(self._search.total),
            elapsed=self._clock.elapsed(),
            limit=self._job.limits.time,
            cost=self._spending.text,
        )
