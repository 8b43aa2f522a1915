"""Describe how a trial's process ended."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.driver.launcher import Ended
from cloudtune.errors import StoreError
from cloudtune.process.setting import Setting
from cloudtune.spec.units import format_duration, format_size

_TAIL_SIZE = 4096


def ended_of(setting: Setting, number: int, attempt: int, outcome: Mapping[str, Any], log: str) -> Ended:
    """Return the end of a trial's process, as its driver takes it.

    Args:
        setting: of the run.
        number: the trial.
        attempt: which start of it.
        outcome: the keeper's answer: ``status``, ``why``, ``message`` and ``peak``.
        log: path of the trial's log, whose last line explains a failure best.

    Raises:
        StoreError: no process can be started, for want of disk, memory or processes.
    """
    if outcome["why"] == "system":
        raise StoreError(
            f"trial {number} cannot be started ({outcome['message']}); the run can be resumed once that is repaired"
        )
    if outcome["why"] == "stopped":
        return Ended(number, attempt, "it was stopped by its driver", lost=True)
    failure, retry = _failure(setting, outcome, log)
    return Ended(number, attempt, failure, retry=retry)


def _failure(setting: Setting, outcome: Mapping[str, Any], log: str) -> tuple[str, bool]:
    """Return why it failed ("" if it did not), and whether another attempt may succeed."""
    status, why = outcome["status"], outcome["why"]
    if why == "start":
        return f"it could not be started: {outcome['message']}", True
    if why == "time":
        limit = setting.job.limits.trial_time
        return (
            f"it ran longer than {format_duration(limit) if limit else 'its limit'} (limits.trial_time)",
            False,
        )
    if why == "memory":
        allowed = format_size(setting.memory) if setting.memory else "its limit"
        return (
            f"it used {outcome['peak'] / 1e6:,.0f} MB of memory, more than {allowed} (compute.memory)",
            False,
        )
    if outcome["message"]:
        return outcome["message"], True
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return "", False
    return _exit_text(code) + _last_line(log), True


def _exit_text(code: int) -> str:
    number = -code if code < 0 else code - 128  # a shell adds 128 to the signal that ended its command
    try:
        name = signal.Signals(number).name if number > 0 else ""
    except ValueError:
        name = ""
    if name == "SIGKILL":
        return "it was killed (SIGKILL) by somebody else, most likely by the system because memory ran out"
    if name and (code < 0 or code > 128):
        return f"it was killed by {name}"
    return f"it exited with code {code}"


def _last_line(log: str) -> str:
    """Return the last line of a log that is not empty, as the end of a sentence."""
    try:
        with Path(log).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_SIZE))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1][:300]}" if said else ""
