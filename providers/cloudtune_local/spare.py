"""A pool that leaves its keeper to the next run of this process, which then need not import everything again."""

import atexit
import contextlib
import os
import select
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cloudtune.process.keeper_client import KeeperClient
from cloudtune_local.pool import PoolLauncher

IDLE = 300.0
"""Seconds after which an unused keeper ends, as joblib's workers do."""

_TIMEOUT = 5.0
"""Seconds that the workers of a run may take to end after it; if they take longer, the keeper is closed."""

_OF_A_RUN = ("CLOUDTUNE_RUN", "CLOUDTUNE_RUN_FOLDER", "PYTEST_CURRENT_TEST")
"""Variables that are left out of a keeper's environment: each request names its run, and tests share keepers."""


@dataclass(slots=True)
class _Spare:
    """An idle keeper, for the next run with the same environment."""

    keeper: KeeperClient
    environment: Mapping[str, str]
    process: int
    timer: threading.Timer


class SparePool(PoolLauncher):
    """A pool that starts with the keeper of an earlier run, if there is one, and leaves its own to a later run."""

    def _start_keeper(self) -> KeeperClient:
        spare = _take_spare(self._environment)
        if spare is not None:
            try:
                return self._enlist(spare)
            except OSError:  # it has been killed
                self._selector.unregister(spare.socket)
                spare.close()
        return self._enlist(self._new_keeper(self._environment))

    @property
    def _environment(self) -> dict[str, str]:
        return {name: text for name, text in self._setting.environment.items() if name not in _OF_A_RUN}

    def close(self) -> None:
        self._sharing.close()
        self._selector.close()
        if self._ended() and self._drop_function():
            _keep_spare(self._keeper, self._environment)
        else:
            self._keeper.close()

    def _ended(self) -> bool:
        """Return whether all workers have ended."""
        left = set(self._workers)
        for worker in self._workers.values():
            worker.connection.close()  # an idle one ends by itself
        deadline = time.monotonic() + _TIMEOUT
        with contextlib.suppress(OSError):  # the keeper is gone
            for worker in self._busy.values():
                self._keeper.send({"do": "stop", "key": worker.name, "grace": 0})
            answers = select.poll()  # select.select refuses descriptors from 1024 on
            answers.register(self._keeper.socket, select.POLLIN)
            while left and answers.poll(1000 * max(0.0, deadline - time.monotonic())):
                left -= {answer["ended"] for answer in self._keeper.receive()}
            return not left
        return False

    def _drop_function(self) -> bool:
        """Make the keeper drop the function, and all data that came with it; return whether it can."""
        try:
            self._keeper.send({"do": "load", **self._load, "pickle": None, "function": "cloudtune.trial:params"})
        except OSError:
            return False
        return True


_lock = threading.Lock()
_spares: list[_Spare] = []


def _take_spare(environment: Mapping[str, str]) -> KeeperClient | None:
    """Remove and return the spare keeper of an environment; None if there is none."""
    with _lock:
        for spare in _spares:
            if spare.environment == environment and spare.process == os.getpid():
                _spares.remove(spare)
                spare.timer.cancel()
                return spare.keeper
    return None


def _keep_spare(keeper: KeeperClient, environment: Mapping[str, str]) -> None:
    """Keep a keeper as the spare one, in place of the last."""
    release()
    timer = threading.Timer(IDLE, release)
    timer.daemon = True
    with _lock:
        _spares.append(_Spare(keeper, environment, os.getpid(), timer))
    timer.start()


def release() -> None:
    """Close the spare keeper, if there is one."""
    with _lock:
        own = [spare for spare in _spares if spare.process == os.getpid()]
        _spares.clear()  # a spare keeper inherited by fork belongs to the parent process
    for spare in own:
        spare.timer.cancel()
        spare.keeper.close()


atexit.register(release)
