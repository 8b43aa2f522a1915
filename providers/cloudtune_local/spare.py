"""A pool whose keeper stays for the next run of this process: what it has imported need not be imported again."""

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
"""Seconds after which a keeper that nobody needed ends: as long as joblib's workers stay."""

_PATIENCE = 5.0
"""Seconds that the workers of a run have to end after it; a keeper whose workers take longer is not kept."""

_OF_A_RUN = ("CLOUDTUNE_RUN", "CLOUDTUNE_RUN_FOLDER", "PYTEST_CURRENT_TEST")
"""Variables that a keeper of several runs does not have: its workers are told by each request, or are of several tests."""


@dataclass(slots=True)
class _Spare:
    """A keeper without work, for whoever has the same environment."""

    keeper: KeeperClient
    environment: Mapping[str, str]
    process: int
    timer: threading.Timer


class SparePool(PoolLauncher):
    """Begins with the keeper of an earlier run, if there is one, and leaves its own to a later."""

    def _start_keeper(self) -> KeeperClient:
        spare = _taken(self._environment)
        if spare is not None:
            try:
                return self._enlist(spare)
            except OSError:  # somebody has killed it
                self._selector.unregister(spare.socket)
                spare.close()
        return self._enlist(self._new_keeper(self._environment))

    @property
    def _environment(self) -> dict[str, str]:
        return {name: text for name, text in self._setting.environment.items() if name not in _OF_A_RUN}

    def close(self) -> None:
        self._selector.close()
        if self._ended() and self._forgot():
            _keep(self._keeper, self._environment)
        else:
            self._keeper.close()

    def _ended(self) -> bool:
        """Whether all workers have ended."""
        left = set(self._workers)
        for worker in self._workers.values():
            worker.connection.close()  # an idle one ends by itself
        deadline = time.monotonic() + _PATIENCE
        with contextlib.suppress(OSError):  # the keeper is gone
            for worker in self._busy.values():
                self._keeper.send({"do": "stop", "key": worker.name, "grace": 0})
            while left and select.select([self._keeper.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                left -= {answer["ended"] for answer in self._keeper.receive()}
            return not left
        return False

    def _forgot(self) -> bool:
        """Whether the keeper lets go of the function, and of all data that came with it."""
        try:
            self._keeper.send({"do": "load", **self._load, "pickle": None, "function": "cloudtune.trial:params"})
        except OSError:
            return False
        return True


_lock = threading.Lock()
_spares: list[_Spare] = []


def _taken(environment: Mapping[str, str]) -> KeeperClient | None:
    """The spare keeper of an environment; None if there is none."""
    with _lock:
        for spare in _spares:
            if spare.environment == environment and spare.process == os.getpid():
                _spares.remove(spare)
                spare.timer.cancel()
                return spare.keeper
    return None


def _keep(keeper: KeeperClient, environment: Mapping[str, str]) -> None:
    """Keeps one keeper, in place of the last."""
    release()
    timer = threading.Timer(IDLE, release)
    timer.daemon = True
    with _lock:
        _spares.append(_Spare(keeper, environment, os.getpid(), timer))
    timer.start()


def release() -> None:
    """Ends the spare keeper, if there is one."""
    with _lock:
        own = [spare for spare in _spares if spare.process == os.getpid()]
        _spares.clear()  # that of the process which this one was forked from belongs to that one
    for spare in own:
        spare.timer.cancel()
        spare.keeper.close()


atexit.register(release)
