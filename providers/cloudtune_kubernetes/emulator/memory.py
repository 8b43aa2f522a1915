"""The memory that the processes of a container take."""

import os
from collections.abc import Sequence
from pathlib import Path


class Memory:
    """The memory of programs and all that they have started.

    Args:
        roots: the process ids of the programs.
    """

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = roots
        self._page = os.sysconf("SC_PAGE_SIZE")

    def used(self) -> int:
        """Return the resident bytes, pages that processes share counted once for each; 0 where ``/proc`` does not tell."""
        waiting, total = list(self._roots), 0
        while waiting:
            pid = waiting.pop()
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * self._page
                waiting += [
                    int(child)
                    for task in Path(f"/proc/{pid}/task").iterdir()
                    for child in (task / "children").read_text().split()
                ]
            except (OSError, ValueError, IndexError):
                continue  # it has just ended, or there is no such file here
        return total
