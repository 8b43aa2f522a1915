"""One trial of a study: requested, active, stopping, and succeeded or infeasible (Trial.State)."""

import time
from typing import Any

from cloudtune_vertex.emulator.errors import Refused
from cloudtune_vertex.emulator.model import Message, plain, stamp

_ENDS = ("SUCCEEDED", "INFEASIBLE")


class StudyTrial:
    """One trial.

    Args:
        study: the study's name.
        ident: its own id.
        number: what the search calls it.
        parameters: in JSON.

    Attributes:
        state: of Trial.State.
        client: for which it was suggested; "" for none.
        measurements: of protobuf, in their order.
        hopeless: whether a stopping rule says that it should end.
    """

    def __init__(self, study: str, ident: str, number: int, parameters: list[dict[str, Any]]) -> None:
        self.id, self.number = ident, number
        self.state, self.client, self.hopeless = "REQUESTED", "", False
        self.measurements: list[Message] = []
        self._name, self._parameters = f"{study}/trials/{ident}", parameters
        self._started: float | None = None
        self._ended: float | None = None
        self._final: Message | None = None
        self._reason = ""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in _ENDS

    def refuse_ended(self) -> None:
        """Raise Refused where it has ended: nothing of it changes any more."""
        if self.ended:
            raise Refused("FAILED_PRECONDITION", f"The Trial is {self.state}: {self._name}")

    def begin(self, client: str) -> None:
        """Give it to a client."""
        if self.state == "REQUESTED":
            self.state, self.client, self._started = "ACTIVE", client, time.time()

    def measure(self, measurement: Message) -> None:
        """Add a measurement."""
        self.measurements.append(_copy(measurement))

    def end(self, final: Message | None, reason: str) -> None:
        """End it; without a measurement it is infeasible."""
        self._final = None if final is None else _copy(final)
        self.state, self._reason, self._ended = _ENDS[final is None], reason, time.time()

    def message(self) -> dict[str, Any]:
        """Return it in JSON."""
        found: dict[str, Any] = {
            "name": self._name,
            "id": self.id,
            "state": self.state,
            "parameters": self._parameters,
            "measurements": [plain(each) for each in self.measurements],
            "clientId": self.client,
            "infeasibleReason": self._reason,
        }
        times = {"startTime": self._started, "endTime": self._ended}
        found |= {name: stamp(moment) for name, moment in times.items() if moment is not None}
        return found if self._final is None else {**found, "finalMeasurement": plain(self._final)}


def values_of(measurement: Message) -> dict[str, float]:
    """Return the values of a Measurement, of protobuf, by its metrics' ids."""
    return {metric.metric_id: metric.value for metric in measurement.metrics}


def key_of(measurement: Message) -> tuple[int, int]:
    """Return what measurements are ordered by: "strictly lexicographically … (steps, elapsed_duration)"."""
    return measurement.step_count, measurement.elapsed_duration.ToNanoseconds()


def _copy(measurement: Message) -> Message:
    copied = type(measurement)()
    copied.CopyFrom(measurement)
    return copied
