"""The description of a run for a service's tuner or job runner, and the interface by which both read trials' outputs."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cloudtune.driver.interrupt import Condition
from cloudtune.errors import TrialError
from cloudtune.planning.plan import Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial


@dataclass(frozen=True, slots=True)
class RunBrief:
    """A run, as a service's tuner or job runner needs it.

    Attributes:
        id: the run's.
        job: the spec.
        plan: its plan.
        native: the provider's notes at the beginning of the run; see `RunRecord.native`.
        created: seconds since 1970; no trial printed anything before.
        interval: seconds between two polls.
        request: uploads what the plan's request names and returns the complete request; raises ProviderError.
        folder: of the run on this machine.
    """

    id: str
    job: TuningJob
    plan: Plan
    native: Mapping[str, str]
    created: float
    interval: float
    request: Callable[[], dict[str, Any]]
    folder: Path = Path()

    @property
    def soon(self) -> float:
        """Seconds between two reads of a log that is followed."""
        return min(self.interval, 1.0)


class TrialOutputs(ABC):
    """Reads what the trials of one run printed, and copies what they left."""

    @abstractmethod
    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        """Return the lines that a trial printed, and those that follow until `over`.

        Args:
            trial: whose job is at `Trial.place`.
            over: returns whether nothing more follows; called before each read, so that the last read is complete.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def files(self, trial: Trial, target: Path) -> list[Path]:
        """Copy what a trial left into a folder, made if it is missing; return the copies.

        Args:
            trial: whose job is at `Trial.place`.
            target: the folder; no file lands outside of it.

        Raises:
            TrialError: the trial left nothing, or a file whose name leads out of the folder.
            ProviderError: the service cannot be reached, or refuses.
        """


def followed(read: Callable[[int], Sequence[str]], over: Condition, interval: float) -> Iterator[str]:
    """Yield the lines of a log that a service tells from a line on, with those to come.

    Args:
        read: returns the lines from a number on, from 0.
        over: as `TrialOutputs.lines` takes it.
        interval: seconds between two looks.
    """
    count, last = 0, False
    while not last:
        last = over()
        lines = read(count)
        yield from lines
        count += len(lines)
        if not last:
            time.sleep(interval)


def saved(names: Iterable[str], read: Callable[[str], bytes], target: Path) -> list[Path]:
    """Write files into a folder, which is made if it is not there; return them.

    Args:
        names: of the files, relative.
        read: returns the content of one.
        target: the folder.

    Raises:
        TrialError: there are none, or a name leads out of the folder.
    """
    places = {name: place_below(target, name) for name in names}
    if not places:
        raise TrialError("it left no files")
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(read(name))
    return list(places.values())


def place_below(target: Path, name: str) -> Path:
    """Return where in a folder a file of a service belongs.

    Raises:
        TrialError: its name leads out of the folder.
    """
    below = PurePosixPath(name)
    if below.is_absolute() or ".." in below.parts:
        raise TrialError(f"{name} is not downloaded: its name leads out of the folder")
    return target / below
