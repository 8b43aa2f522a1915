"""Moto's state, which the whole process shares: the first emulator finds out whether it may be thrown away."""

import threading
import weakref

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data


class Sharing:
    """The emulators of this process that use moto at the moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self._ours = False

    def enter(self, user: object) -> None:
        """Note a user. What moto holds from here on is the emulators', unless it held something before."""
        with self._lock:
            if not self._users:
                self._ours = not BackendDict._instances  # type: ignore[misc]  # noqa: SLF001  # moto has no other way to tell
            self._users.add(user)

    def leave(self, user: object) -> None:
        """Forget a user; with the last of them goes what moto holds, if it is the emulators'."""
        with self._lock:
            self._users.discard(user)
            if self._users or not self._ours:
                return
            self._ours = False
        BackendDict.reset()
        reset_model_data()


sharing = Sharing()
"""Of this process."""
