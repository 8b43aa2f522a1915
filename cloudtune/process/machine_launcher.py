"""Run trials on several machines with slots, and poll each machine for the news of its trials."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from cloudtune.driver.launcher import Ended
from cloudtune.driver.polling import PollingLauncher
from cloudtune.errors import ProviderError
from cloudtune.process.agent import place_of
from cloudtune.process.endings import ended_of
from cloudtune.process.leases import fitting
from cloudtune.process.logs import sample
from cloudtune.process.machine import Machine
from cloudtune.process.mirror import Mirror
from cloudtune.process.needs import needs_of
from cloudtune.process.setting import Setting
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.spec.sources import heard
from cloudtune.store.records import Trial
from cloudtune.trial.commands import compile_command
from cloudtune.trial.hearing import variables

_FRESH = 2.0
"""Seconds without an answer after which a machine is tried before a trial is sent: a lost order may have been begun."""

_ROOM = 1.0
"""Seconds until a machine is asked again to begin a trial for which it had no room: trials of another run have it."""

_OF_THE_MACHINE = ("lost", "system")
"""Reasons of an attempt's end that lie with the machine and not the trial: it is gone, or its disk is full."""


@dataclass(slots=True)
class _Running:
    """An attempt as the driver sees it.

    Attributes:
        mirror: its files on this machine.
        machine: where it runs.
        order: what its machine has to know to begin it; None once it has.
        next_try: when its machine is asked again to begin it, in seconds of `time.monotonic`: it had no room.
        signal: that is sent with the next call.
        kill_at: when it is killed, in seconds of `time.monotonic`.
    """

    mirror: Mirror
    machine: Machine
    order: Mapping[str, Any] | None = None
    next_try: float = 0.0
    signal: int = 0
    kill_at: float = float("inf")

    @property
    def key(self) -> tuple[int, int]:
        return self.mirror.trial.number, self.mirror.trial.attempt


class MachineLauncher(PollingLauncher):
    """Runs trials on machines; they outlive their driver, and the next one takes them over.

    Args:
        machines: that run trials; the launcher closes them.
        setting: of the run; its environment has only the job's own variables.
        data: places of the inputs below the run's folder on a machine, by environment variable.
        slots: trials at the same time on each machine, as far as its GPUs are enough.
        gpus: how many GPUs of a machine trials may use, or which, by its name; those of other machines are found there.
        patience: seconds without an answer of a machine after which its trials are started on others.
        interval: seconds between two polls of the machines.

    Raises:
        ProviderError: none of the machines can be used.
    """

    def __init__(
        self,
        machines: Sequence[Machine],
        setting: Setting,
        data: Mapping[str, str],
        *,
        slots: int = 1,
        gpus: Mapping[str, int | Sequence[str]] | None = None,
        patience: float = 60.0,
        interval: float = 0.3,
    ) -> None:
        super().__init__()
        self._machines, self._setting, self._data = machines, setting, data
        self._patience, self._interval = patience, interval
        self._gpus, self._needs = gpus or {}, needs_of(setting.job)
        self._slots = {machine.name: self._most_on(machine, slots) for machine in machines}
        self.most = sum(self._slots.values())
        self._patterns = metric_patterns(setting.job.measured, setting.job.metrics, heard=False)
        command = setting.job.trial.command
        self._command = None if command is None else compile_command(command, list(setting.job.space))
        self._running: dict[int, _Running] = {}
        self._places: dict[int, Machine] = {}
        self._strays: list[_Running] = []  # given up while their machines did not answer
        if not self.most:
            raise ProviderError("no machine has the accelerators that a trial needs (gpus in the profile)")
        for machine in machines:
            self._poll_machine(machine)
        if not any(machine.up for machine in machines):
            self.close()
            raise ProviderError(self._why(), retryable=True)

    def _why(self) -> str:
        return "; ".join(machine.why for machine in self._machines) or "there is no machine to run trials on"

    # Where there is room

    @property
    def busy(self) -> bool:
        """Whether there is anything to ask: trials run, or no machine can be used."""
        return bool(self._running) or not any(machine.up for machine in self._machines)

    def room(self) -> int:
        return sum(self._free(machine) for machine in self._machines)

    def _most_on(self, machine: Machine, slots: int) -> int:
        said = self._gpus.get(machine.name)
        if self._needs.gpus is None or said is None:
            return slots
        return fitting(self._needs.gpus, said if isinstance(said, int) else len(said), slots)

    def _free(self, machine: Machine) -> int:
        return max(0, self._slots[machine.name] - list(self._places.values()).count(machine)) if machine.up else 0

    def place(self, trial: Trial) -> str:
        self._places[trial.number] = max(self._machines, key=self._free)
        return self._setting.place(trial)

    # Trials

    def outlives(self, trial: Trial) -> bool:  # noqa: ARG002  # all do
        return True

    def printed(self, trial: Trial) -> Sequence[str]:
        return sample(self._setting.files(trial).log)

    def launch(self, trial: Trial) -> None:
        machine = self._places[trial.number]
        running = self._take_up(trial, machine)
        running.mirror.forget()
        try:
            if time.monotonic() - machine.seen > _FRESH:
                machine.connect()
            self._setting.inherit(trial)
            machine.send(Path(running.mirror.files.checkpoint), f"{place_of(trial.number)}/checkpoint")
        except ProviderError:  # nothing runs there, and on another machine it may
            self._lose(running, machine.why)
            return
        running.order = self._order(trial)
        self._note(trial).parent.mkdir(parents=True, exist_ok=True)
        self._note(trial).write_text(machine.name)
        self._next_poll = 0.0  # with the next poll, for all of them together

    def _order(self, trial: Trial) -> dict[str, Any]:
        words = ["", "-m", "cloudtune.trial", "--function", str(self._setting.job.trial.function)]
        accelerators = self._setting.job.compute.accelerators
        return {
            "argv": self._command(trial.parameters, trial.number)
            if self._command
            else [*words, "--metric", self._setting.metric],
            "run": self._setting.run_id,
            "parameters": trial.parameters,
            "environment": {**self._setting.environment, **variables(heard(self._setting.job))},
            "data": dict(self._data),
            "seconds": self._setting.seconds,
            "grace": self._setting.grace,
            "needs": asdict(self._needs),
            "kind": None if accelerators is None else accelerators.type,
            "gpus": self._gpus.get(self._places[trial.number].name),
        }

    def adopt(self, trial: Trial) -> bool:
        name = self._note(trial).read_text() if self._note(trial).exists() else ""
        machine = next((machine for machine in self._machines if machine.name == name), None)
        if machine is not None:
            self._take_up(trial, machine)
        return machine is not None

    def _take_up(self, trial: Trial, machine: Machine) -> _Running:
        self._places[trial.number] = machine
        mirror = Mirror(trial, self._setting.files(trial), self._patterns)
        running = self._running[trial.number] = _Running(mirror, machine)
        return running

    def _note(self, trial: Trial) -> Path:
        """Return the file that says on which machine an attempt was begun."""
        return Path(f"{self._setting.files(trial).record}.machine")

    def stop(self, number: int) -> None:
        running = self._running.get(number)
        if running is not None:
            running.signal, running.kill_at = int(SIGTERM), time.monotonic() + self._setting.grace
            self._next_poll = 0.0  # with the next poll, for all of them together

    # Polling

    def _pause(self) -> float:
        return self._interval

    def _poll_place(self) -> None:
        for machine in self._machines:
            self._poll_machine(machine)
        if all(self._is_late(machine) for machine in self._machines):
            raise ProviderError(self._why())

    def _is_late(self, machine: Machine) -> bool:
        return not machine.up and time.monotonic() - machine.seen > self._patience

    def _poll_machine(self, machine: Machine) -> None:
        """Send a machine its orders and take its news; give up its trials where it has not answered for too long."""
        now = time.monotonic()
        running_here = (running for running in self._running.values() if running.machine is machine)
        here = [running for running in running_here if running.signal or now >= running.next_try]
        strays = [running for running in self._strays if running.machine is machine]
        try:
            if not machine.up and time.monotonic() >= machine.next_try:
                machine.connect()
            if machine.up and (here or strays):
                answers = machine.ask(list(self._calls([*here, *strays])))
                self._strays = [running for running in self._strays if running not in strays]
                for running, news in zip(here, answers[: len(here)], strict=True):
                    self._hear(running, news)
        except ProviderError:
            if self._is_late(machine):
                for running in here:
                    running.order, running.kill_at = None, 0.0
                    self._strays.append(running)
                    self._lose(running, machine.why)

    def _calls(self, attempts: Sequence[_Running]) -> Iterator[dict[str, Any]]:
        now = time.monotonic()
        for running in attempts:
            number, attempt = running.key
            yield {
                "number": number,
                "attempt": attempt,
                "log_size": self._setting.log_size,
                "known": running.mirror.known(),
                "signal": int(SIGKILL) if now >= running.kill_at else running.signal,
                "begin": None if running.signal else running.order,
            }

    def _hear(self, running: _Running, news: Mapping[str, Any]) -> None:
        if "waiting" in news:
            running.next_try = time.monotonic() + _ROOM
            return
        running.order, running.signal = None, 0
        texts = {name: news[name].encode("latin-1") for name in ("log", "lines")}
        self._updates.extend(running.mirror.take({**news, **texts}))
        outcome, files = running.mirror.ended, running.mirror.files
        if outcome is None:
            return
        for name, folder in (("checkpoint", files.checkpoint), ("output", files.output)):
            if name in news["left"]:
                running.machine.bring(f"{place_of(running.key[0])}/{name}", Path(folder))
        if outcome["why"] in _OF_THE_MACHINE:
            self._lose(running, f"{outcome['message']} on {running.machine.name}")
        else:
            self._end(running, ended_of(self._setting, *running.key, outcome, files.log))

    def _lose(self, running: _Running, why: str) -> None:
        self._end(running, Ended(*running.key, why, lost=True))

    def _end(self, running: _Running, ended: Ended) -> None:
        running.mirror.close()
        del self._running[ended.number], self._places[ended.number]
        self._updates.append(ended)

    def close(self) -> None:
        for running in self._running.values():
            running.mirror.close()
        for machine in self._machines:
            machine.close()
