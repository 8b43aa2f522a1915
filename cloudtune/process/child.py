"""What the keeper knows of a process group that it has started."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # type checkers assume True; loading typing would double the keeper's imports
if TYPE_CHECKING:
    from typing import Any


class SharedOffset:
    """Offset in a worker's log at which the output of its present trial begins, in memory shared with the keeper."""

    def __init__(self) -> None:
        import mmap  # noqa: PLC0415  # only pools need it

        self._memory = mmap.mmap(-1, 8)

    def get(self) -> int:
        """Return the offset; -1 between two trials."""
        return int.from_bytes(self._memory[:8], "little", signed=True)

    def put(self, offset: int) -> None:
        """Set the offset; -1 between two trials."""
        self._memory[:8] = offset.to_bytes(8, "little", signed=True)


class Child:
    """A process group: a trial, or a worker of a pool.

    Args:
        pid: of its leader, which is the group's id, too.
        request: by which the driver had it started.
        log_start: where the output of a worker's present trial begins; None for a trial, whose log is its own.

    Attributes:
        key: the driver's name for it.
        record: path of the file that records its process and its end; None for a worker.
        outlives: whether it goes on when the driver is gone.
        memory: bytes that it and its descendants may use; None for no limit.
        grace: seconds between SIGTERM and SIGKILL at its time limit.
        log: path of the file with its output.
        log_size: bytes that one trial's output may take in it; None for no limit.
        why: the reason of its end, as in the keeper's answers; "" while it runs, or if it ends by itself.
        peak: greatest memory measured, in bytes; 0 without a memory limit.
        deadline: when its time limit ends, in seconds of `time.monotonic`; None for no limit.
        kill_at: when it is killed after a request to end; None without such a request.
        lease: descriptor of the lease of its devices, which its processes have inherited; None for none.
        status: wait status of the leader that has ended, while other members of its group may still save their state.
    """

    def __init__(self, pid: int, request: dict[str, Any], log_start: SharedOffset | None = None) -> None:
        self.pid = pid
        self.key: str = request["key"]
        self.record: str | None = request.get("record")
        self.outlives: bool = request.get("outlives", self.record is not None)
        self.memory: int | None = request.get("memory")
        self.grace: float = request.get("grace", 10.0)
        self.log: str = request["log"]
        self.log_size: int | None = request.get("log_size")
        self.why = ""
        self.peak = 0
        limit = request.get("limit")
        self.deadline = time.monotonic() + limit if limit else None
        self.kill_at: float | None = None
        self.status: int | None = None
        self.lease: int | None = None
        self._log_start = log_start

    def end_lease(self) -> None:
        """Let go of its lease here; its processes hold it until the last of them has ended."""
        if self.lease is not None:
            os.close(self.lease)
            self.lease = None

    @property
    def output_start(self) -> int:
        """Offset in its log at which the output of its present trial begins; -1 for a worker without a trial."""
        return 0 if self._log_start is None else self._log_start.get()

    @property
    def output_size(self) -> int:
        """Bytes of its present trial's output in the log; 0 for a worker without a trial.

        Raises:
            OSError: the log is gone.
        """
        start = self.output_start
        return 0 if start < 0 else os.stat(self.log).st_size - start  # noqa: PTH116  # pathlib would double the start
