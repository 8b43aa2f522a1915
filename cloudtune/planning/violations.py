"""Rules of a service that a request breaks."""

from collections.abc import Iterable
from dataclasses import dataclass

from cloudtune.errors import Problem, SpecError


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request breaks.

    Attributes:
        path: into the request, e.g. ``TrainingJobDefinition.InputDataConfig[0].ChannelName``.
        message: what is wrong with it, in the service's own words.
        plainly: the same for the author of a job; "" for the message.
        strange: whether a name or value is not among the known ones, to which a newer model may add.
    """

    path: str
    message: str
    plainly: str = ""
    strange: bool = False

    @property
    def words(self) -> str:
        """What is wrong, in plain words."""
        return self.plainly or self.message


def refuse(violations: Iterable[Violation], source: str) -> None:
    """Raise SpecError with all violations of a request, if there are any.

    Args:
        violations: of the request.
        source: its name in messages.
    """
    found = [Problem(each.path, each.message) for each in violations]
    if found:
        raise SpecError(found, source)
