"""A run whose driver is a job on a service: start, follow, resume and cancel it from this machine."""

import contextlib
import json
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from cloudtune.bundle.survey import Survey
from cloudtune.driver.follower import RunFollower
from cloudtune.driver.interrupt import Condition, interruptible
from cloudtune.driver.process import Site, end_cancelled, watch
from cloudtune.errors import ConfigError, Problem, ProviderError, RunBusy, RunNotFound, TrialError
from cloudtune.machines.catalogue import Catalogue
from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.porting.adapted import Adapted
from cloudtune.provider.emulated import leading_there
from cloudtune.provider.handle import RunHandle
from cloudtune.provider.interface import Finding, Provider
from cloudtune.provider.preparing import planned, prepare_in
from cloudtune.remote.bundle import PROGRAM, Target, bundle, immovable, moved
from cloudtune.remote.journal import JOURNAL, Reader, copy
from cloudtune.remote.program import STORE
from cloudtune.results.progress import Watcher
from cloudtune.space.parameters import Int
from cloudtune.spec.fields import pick
from cloudtune.spec.job import Limits, TrialSpec, TuningJob
from cloudtune.spec.objective import Objective
from cloudtune.store.records import DRIVER_CHARGES, RunState
from cloudtune.store.rows import charges_text
from cloudtune.store.secrets import kept_environment
from cloudtune.store.store import RunStore, Store

FINISHED = "finished"
"""The metric of the driver's own run: number of trials that have ended."""

_DRIVER = "driver"
"""Name of the driver's emulator among those of a run."""

_DRIVER_RUN = "driver_run"
"""Key of a run's notes: the id of the driver's own run, in a store in the run's folder."""

_TICK = 0.2
"""Seconds after which a follower reports progress and checks for an interrupt, even if the driver prints nothing."""

_REFRESH_INTERVAL = 5.0
"""Seconds within which `refresh` does not read the driver's log again."""


_GOES_ON = (RunState.RUNNING, RunState.STOPPING)
"""States of a run whose driver's end is still to be seen."""

_FILL_INTERVAL = 60.0
"""Seconds between two readings of the journal that a driver keeps, for what its log lacks."""


class RemoteDriver(Provider):
    """The provider of a run whose driver is a tuning job of one trial on a service.

    Trials are planned, logged and fetched by their own provider; the driver job is started, followed and cancelled
    here.

    Args:
        target: the provider of the trials.
        needed: the names of the providers that the driver needs.
        driver_provider: the provider of the driver job.
        profile: the profile of the driver job.
    """

    summary = "a driver that is a job of its own"
    support: ClassVar = {}

    def __init__(self, target: Provider, needed: Sequence[str], driver_provider: Provider, profile: str) -> None:
        super().__init__(target.settings, target.mounts)
        self.name = target.name  # type: ignore[misc]  # as which jobs name it
        self._target = target
        self._needed = tuple(dict.fromkeys(needed))
        self._driver_provider = driver_provider.driver_host()
        self._profile = profile
        self._refreshed: dict[str, float] = {}
        self._filled: dict[str, float] = {}

    def emulators(self) -> Mapping[str, str]:
        found = dict(self._target.emulators())
        for address in self._driver_provider.emulators().values():
            found[_DRIVER] = address
        return found

    def addresses(self) -> Mapping[str, str]:
        return self._driver_provider.addresses()

    # Before a run

    def adapt(self, job: TuningJob) -> Adapted:
        return self._target.adapt(job)

    def catalogue(self) -> Catalogue:
        return self._target.catalogue()

    def plan(self, job: TuningJob) -> Plan:
        return self._target.plan(job.driven())

    def rated(self, plan: Plan, job: TuningJob) -> Plan:
        """Return the plan with the prices of the trials' machines, and of the driver's."""
        rated = self._target.rated(plan, job)
        driver = planned(self._driver_provider, _driver_job(job, Path(), {}, self._driver_provider.name))[1]
        known = [rate for rate in driver.rates if {rate.currency} == {each.currency for each in rated.rates}]
        if known:
            return replace(rated, driver=max(known, key=lambda rate: rate.per_hour))
        if job.limits.cost is None or not rated.rates:
            return rated
        message = "it is for the trials alone, since nothing says what the driver's own machine costs"
        return rated.with_notes([Note("limits.cost", Support.APPROXIMATE, message)])

    def check(self) -> list[Finding]:
        return [*self._target.check(), *self._driver_provider.check()]

    def survey(self, job: TuningJob, base: Path, *, pickled: bool = False) -> Survey:
        return self._target.survey(job.driven(), base, pickled=pickled)

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        if not self._target.away:
            raise ConfigError(
                f"trials on {self._target.name} run where their driver does (or some do); leave --driver away"
            )
        far = self._target.unreachable_from(self._driver_provider)
        if far:
            raise ConfigError(f"{far}; leave --driver away, and drive the run from here")
        if self._target.emulators() and not self._driver_provider.emulators():
            raise ConfigError(
                f"trials in an emulator on this machine cannot be reached from {self._driver_provider.name}; leave --driver away, or "
                "emulate both"
            )
        if job.mode == "managed":
            return [Problem("mode", "is managed, which leaves nothing to drive; take it away, or leave --driver away")]
        driver = _driver_job(job, base, {}, self._driver_provider.name)
        _, plan = planned(self._driver_provider, driver)
        if plan.mode != "managed":
            raise ConfigError(
                f"a driver cannot run on {self._profile}, whose provider {self._driver_provider.name} has no tuner of its own to "
                "start it: choose the profile of a service with a tuner, or leave --driver away"
            )
        plan.refuse()
        return [*immovable(job), *self._target.verify(job.driven(), base)]

    def prepare(self, run: RunStore, job: TuningJob) -> None:
        self._target.prepare(run, job.driven())

    def reopen(self, run: RunStore, job: TuningJob) -> None:
        self._target.reopen(run, job.driven())

    # A run

    def start(self, run: RunStore) -> None:
        record = run.record()
        if record.state.ended:
            return
        driver_id = record.native.get(_DRIVER_RUN) or f"{run.id}-driver-1"
        driver = self._driver(run)
        if driver is not None and (driver.refresh().ended or driver.state is RunState.INTERRUPTED):
            # Else its end was taken in before, after which the run may have got further trials.
            unseen = record.state in _GOES_ON
            if unseen and driver.state.ended and self._taken_in(run, driver).ended:
                return
            before, _, number = driver_id.rpartition("-")
            driver_id, driver = f"{before}-{int(number) + 1}", None
        if driver is None:
            run.write(columns={"native": {**record.native, _DRIVER_RUN: driver_id}})
            driver = self._prepared(run, driver_id)
        if driver.record.state is RunState.WAITING:
            driver.start()
            run.write(
                columns={"state": RunState.RUNNING.value, "reason": "", "started": record.started or time.time()},
                events=[(None, f"its driver is {driver.record.native['job']} on {self._profile}")],
            )

    def _prepared(self, run: RunStore, driver_id: str) -> RunHandle:
        base = Path(run.record().native["base"])
        job = TuningJob.from_data(json.loads(run.record().job))
        folder = run.folder / "driver"
        target = Target(self._target, self._target.settings_elsewhere, self._needed)
        bundle(run, target, folder / "source", journal=self._driver_provider.keeps_appended)
        secrets = {**leading_there, **(kept_environment(run) if job.trial.environment else {})}
        spec = _driver_job(job, base, secrets, self._driver_provider.name)
        made = prepare_in(Store(folder), self._driver_provider, self._profile, spec, base=folder, run_id=driver_id)
        shutil.rmtree(folder / "source")  # it is packed by now
        return RunHandle(made, self._driver_provider)

    def _driver(self, run: RunStore) -> RunHandle | None:
        """Return the driver's own run, with its own connection to its store; None if it has not been created."""
        driver_id = run.record().native.get(_DRIVER_RUN)
        if driver_id is None:
            return None
        try:
            return RunHandle(Store(run.folder / "driver").run(driver_id), self._driver_provider)
        except RunNotFound:
            return None

    def follow(self, run: RunStore, watcher: Watcher | None = None) -> RunState:
        self.start(run)
        try:
            with run.locked(dying=True), interruptible() as interrupt:
                return self._follow(run, watcher, lambda: interrupt.level > 0)
        except RunBusy:
            return watch(run, watcher)

    def _follow(self, run: RunStore, watcher: Watcher | None, leave: Condition) -> RunState:
        driver = self._driver(run)
        if run.record().state.ended or driver is None:
            return run.record().state
        reader, seen, lines, told = self._reader(run), RunFollower(run), _Lines(driver), 0
        while True:
            over = lines.read(reader)
            self._fill(reader, driver)
            told = _pass_on(driver, run, told)
            if watcher is not None:
                watcher(seen.progress())
            if over:
                return self._conclude(run, reader)
            if leave():
                run.write(columns={"reason": f"its driver goes on; `cloudtune resume {run.id}` follows it again"})
                return RunState.INTERRUPTED

    @property
    def _site(self) -> Site:
        """What ran the trials; `verify` has refused a provider that cannot be driven."""
        assert isinstance(self._target, Site)
        return self._target

    def _conclude(self, run: RunStore, reader: Reader) -> RunState:
        """Bring the run's store up to date after its driver has ended, and return the run's state."""
        driver = self._driver(run)
        assert driver is not None
        driver.wait()
        unheard = run.wish() == "cancel" and not any(reader.last)  # a driver that never began has left nothing
        if reader.gap or not (run.record().state.ended or unheard):
            self._read_rest(driver, run, reader)
        self._charge(run)
        if not run.record().state.ended and run.wish() == "cancel":
            self._site.abandon(run)
            end_cancelled(run)
        state = run.record().state
        if state.ended:
            self._site.settle(run)
            return state
        reason = f"its driver has ended ({driver.record.reason or 'before its time'}); `cloudtune resume {run.id}` starts another"
        run.write(columns={"state": RunState.INTERRUPTED.value, "reason": reason})
        return RunState.INTERRUPTED

    def _reader(self, run: RunStore) -> Reader:
        return Reader(run, whole=self._driver_provider.keeps_appended)

    def _fill(self, reader: Reader, driver: RunHandle) -> None:
        """Read the journal that a driver keeps where its log lacks something, such as its beginning; not too often."""
        recent = time.monotonic() - self._filled.get(driver.id, -_FILL_INTERVAL) < _FILL_INTERVAL
        if self._driver_provider.keeps_appended and reader.gap and not recent:
            self._filled[driver.id] = time.monotonic()
            _read_journal(driver, reader)

    def _read_rest(self, driver: RunHandle, run: RunStore, reader: Reader) -> None:
        """Take in what a driver that has ended left of its run beside its log."""
        if self._driver_provider.keeps_appended:
            _read_journal(driver, reader)
        else:
            _fetch_store(driver, run)

    def _taken_in(self, run: RunStore, driver: RunHandle) -> RunState:
        """Bring the run's store up to date after its driver has ended while nobody followed it; return the run's state."""
        with contextlib.suppress(RunBusy), run.locked():
            reader = self._reader(run)
            for line in _printed(driver):
                reader.read(line)
            self._conclude(run, reader)
        return run.record().state

    def _charge(self, run: RunStore) -> None:
        """Note what the machines of the run's drivers, which have ended, cost."""
        drivers = Store(run.folder / "driver")
        ended = [trial for record in drivers.records() for trial in drivers.run(record.id).trials()]
        text = charges_text([charge for trial in ended for charge in trial.charges])
        run.write(columns={"native": {**run.record().native, DRIVER_CHARGES: text}})

    def refresh(self, run: RunStore) -> None:
        driver = self._driver(run)
        recent = time.monotonic() - self._refreshed.get(run.id, -_REFRESH_INTERVAL) < _REFRESH_INTERVAL
        if recent or driver is None or run.record().state not in _GOES_ON:
            return
        try:
            with run.locked():
                reader, over = self._reader(run), driver.refresh().ended
                for line in _printed(driver):
                    reader.read(line)
                self._fill(reader, driver)
                run.write(columns={"seen": time.time()})
                if over:
                    self._conclude(run, reader)
        except RunBusy:
            return  # the process that follows the run keeps the store up to date
        self._refreshed[run.id] = time.monotonic()

    def cancel(self, run: RunStore) -> None:
        run.write(columns={"wish": "cancel"})
        driver = self._driver(run)
        if driver is None:
            end_cancelled(run)
        else:
            driver.cancel()  # the driver ends its trials; `_conclude` ends what it leaves

    def logs(self, run: RunStore, number: int, *, follow: bool = False) -> Iterator[str]:
        return self._followed(run, number) if follow else self._target.logs(run, number)

    def _followed(self, run: RunStore, number: int) -> Iterator[str]:
        printed = 0
        while True:
            self.refresh(run)
            trial = run.trial(number)
            over = trial is None or trial.state.ended
            lines = list(self._target.logs(run, number))
            yield from lines[printed:]
            printed = len(lines)
            if over:
                return
            time.sleep(_TICK)

    def fetch(self, run: RunStore, number: int, target: Path) -> list[Path]:
        return self._target.fetch(run, number, target)


def _driver_job(job: TuningJob, base: Path, secrets: dict[str, str], provider: str) -> TuningJob:
    """Return the tuning job of one trial that is the driver.

    Args:
        job: the job that it drives.
        base: what the paths of that job are relative to.
        secrets: the values of its environment variables, sent in the way of a trial's.
        provider: the provider of the driver; the job's image and identity for it apply.
    """
    image, identity = pick(job.trial.image, provider), pick(job.identity, provider)
    return TuningJob(
        name=f"{job.name[:50].rstrip('-_')}-driver",
        trial=TrialSpec(source="source", command=("python", PROGRAM), environment=secrets, image=image),
        objective=(Objective(metric=FINISHED, goal="maximize"),),
        space={"start": Int(low=0, high=1)},  # a tuner needs a parameter to tune
        limits=Limits(trials=1),
        data={name: each.source for name, each in moved(job, base)[1].items()},
        network=job.network,
        identity=identity,
        encryption=job.encryption,
        tags=job.tags,
    )


class _Lines:
    """The lines of a driver's log, read by a thread.

    Args:
        driver: its run.
    """

    def __init__(self, driver: RunHandle) -> None:
        self._lines: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=[driver], name=f"log of {driver.id}", daemon=True).start()

    def _listen(self, driver: RunHandle) -> None:
        own = _for_another_thread(driver)
        try:
            while not own.refresh().ended and not _has_log(own):
                time.sleep(_TICK)
            for line in own.logs(0, follow=True) if _has_log(own) else ():
                self._lines.put(line)
        except Exception as error:  # noqa: BLE001  # `read` raises it
            self._lines.put(error)
        else:
            self._lines.put(None)

    def read(self, reader: Reader) -> bool:
        """Pass new lines to the reader, for `_TICK` seconds at most; return whether the log has ended.

        Raises:
            ProviderError: the log cannot be read.
        """
        until = time.monotonic() + _TICK
        while (left := until - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                return False
            if line is None:
                return True
            if isinstance(line, Exception):
                raise line
            reader.read(line)
        return False


def _for_another_thread(driver: RunHandle) -> RunHandle:
    """Return the same run with its own connection to the store and its own clients."""
    store, provider = driver._store, driver._provider  # noqa: SLF001  # both belong to this module's own run
    return RunHandle(Store(store.store.project).run(store.id), type(provider)(provider.settings, provider.mounts))


def _has_log(driver: RunHandle) -> bool:
    trials = driver.trials()
    return bool(trials) and bool(trials[0].place)


def _printed(driver: RunHandle) -> Iterator[str]:
    """Return the lines that a driver has printed so far."""
    return driver.logs(0) if _has_log(driver) else iter(())


def _pass_on(driver: RunHandle, run: RunStore, last: int) -> int:
    """Tell of a run what its driver waits for, each once; return the position of the last event that was looked at."""
    last, events = driver._store.events_after(last)  # noqa: SLF001  # this module's own run
    said = [f"its driver {message}" for _, _, message in events if message.startswith("waits for")]
    known = {_kind_of(message) for _, _, message in run.events()} if said else set()
    if new := {_kind_of(message): message for message in reversed(said) if _kind_of(message) not in known}:
        run.write(events=[(None, message) for message in new.values()])
    return last


def _kind_of(message: str) -> str:
    """Return what of a message stays the same while details change, which several who follow a driver may have told."""
    return message.partition(" (")[0]


def _read_journal(driver: RunHandle, reader: Reader) -> None:
    """Read all that a driver has kept of its entries, if it can be had: what its log lacks, or lost with its machine."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = driver.fetch(0, Path(folder))
        except (TrialError, ProviderError):
            return
        reader.gap = False
        for file in (each for each in files if each.name == JOURNAL):
            for line in file.read_text("utf-8").splitlines():
                reader.read(line)


def _fetch_store(driver: RunHandle, run: RunStore) -> None:
    """Copy the store that a driver output at its end into the run's, if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = driver.fetch(0, Path(folder))
        except (TrialError, ProviderError):
            return
        left = next((file for file in files if file.name == STORE), None)
        if left is None:
            return
        own = Store(Path(folder) / "project")
        own.path.parent.mkdir(parents=True)
        left.rename(own.path)
        copy(own.run(run.id), run)
        record = own.run(run.id).record()
        own.close()
    columns = {"state": record.state.value, "reason": record.reason, "elapsed": record.elapsed, "ended": record.ended}
    run.write(columns={**columns, "started": record.started})
