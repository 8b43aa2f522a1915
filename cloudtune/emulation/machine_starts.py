"""How long an emulated service's machines take to start, and how often they did."""

import threading

from cloudtune.emulation.stop_requests import StopRequests


class MachineStarts:
    """The starts of an emulator's machines.

    Args:
        seconds: that each takes.

    Attributes:
        count: how many jobs, or resources that are kept for jobs, had to wait for machines so far.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.count = seconds, 0
        self._lock = threading.Lock()

    def begin(self) -> float:
        """Count a start, and return the seconds that it takes."""
        with self._lock:
            self.count += 1
        return self.seconds

    def wait(self, stop_requests: StopRequests) -> None:
        """Wait for a job's machines; not beyond a request to end the job."""
        stop_requests.wait(self.begin())
