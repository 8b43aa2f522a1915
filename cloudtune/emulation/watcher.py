"""What waits for the end of an emulator, as a bare program: ``python -I -S watcher.py PID FOLDER TEMPORARY``.

Every emulator starts one, and nearly all end it by `OVER`: so it loads nothing but what Python itself starts with. For an
emulator that was killed, the program of `cloudtune.emulation.cleaner` takes its place.
"""

import os
import select
import sys

OVER = b"over"
"""What an emulator writes to its watcher after it has cleaned up itself."""


def was_killed(emulator: int) -> bool:
    """Wait for an emulator's end, by its process id; return whether it ended without having written `OVER` to stdin."""
    stdin = sys.stdin.fileno()
    watched = [stdin]
    try:
        watched.append(os.pidfd_open(emulator))
    except (AttributeError, OSError):  # not supported here, or the emulator has ended
        watched = [stdin]
    ready, _, _ = select.select(watched, [], [])
    return stdin not in ready or os.read(stdin, len(OVER)) != OVER


if __name__ == "__main__":
    if was_killed(int(sys.argv[1])):
        words = [sys.executable, "-P", "-m", "cloudtune.emulation.cleaner", *sys.argv[2:]]
        os.execv(words[0], words)  # noqa: S606  # a shell has no part in it
