"""Share this machine out to the trials of a run: each gets a lease of what it needs, or waits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudtune.driver.launcher import Ended
from cloudtune.process.needs import Needs
from cloudtune.store.records import Trial

if TYPE_CHECKING:
    from cloudtune.process.leases import Lease, Resources


class Sharing:
    """Leases what trials need of this machine, which all runs of the user share.

    Args:
        resources: of this machine; None where trials need nothing of it in particular.
        needs: of each trial; where these are none, nothing is leased.
        say: takes a message when no trial runs since other runs have what one needs; once for each such wait.

    Attributes:
        active: whether trials need leases.
    """

    def __init__(
        self, resources: "Resources | None", needs: Needs, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._resources = resources if needs and _are_supported() else None
        self._needs, self._say = needs, say
        self._said = False
        self._spare: Lease | None = None
        self._reserved: dict[int, Lease] = {}
        self.active = self._resources is not None

    def most(self, parallel: int) -> int:
        """Return how many trials fit on this machine at once, up to a number."""
        return parallel if self._resources is None else self._resources.room(self._needs, parallel)

    def room(self, *, busy: bool = True) -> int | None:
        """Return 1 if there is room for a trial now, which is kept until `reserve` or `let_go`, else 0; None for no limit.

        Args:
            busy: whether trials of this run have what there is no room for.
        """
        if self._resources is None:
            return None
        from cloudtune.process.leases import lease  # noqa: PLC0415  # most trials need none

        self._spare = self._spare or lease(self._resources, self._needs)
        if self._spare is None and not busy and not self._said:
            self._say("trials wait: other runs on this machine have the GPUs, processors or memory that one needs")
        self._said = self._spare is None and (self._said or not busy)
        return int(self._spare is not None)

    def reserve(self, number: int) -> None:
        """Keep the room for a trial until it takes it."""
        if self.room():
            assert self._spare is not None
            self._reserved[number], self._spare = self._spare, None

    def take(self, number: int) -> "Lease | None":
        """Return a trial's lease, for the caller to close; None if there is no room, or if trials need none."""
        if self.active and number not in self._reserved:
            self.reserve(number)
        return self._reserved.pop(number, None)

    def let_go(self) -> None:
        """End the lease that `room` keeps."""
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def close(self) -> None:
        """End all leases that were not taken."""
        self.let_go()
        for reserved in self._reserved.values():
            reserved.close()


def _are_supported() -> bool:
    from cloudtune.process.leases import SUPPORTED  # noqa: PLC0415  # most trials need none

    return SUPPORTED


def no_room(trial: Trial) -> Ended:
    """Return the end of a trial that found no room."""
    return Ended(trial.number, trial.attempt, "what it needs of this machine is in use", unplaced=True)
