"""What is wrong with a requirement, and where in its text."""

_SHOWN = 60
"""Characters of a requirement that a message shows."""

_LONGEST = 300
"""Characters of a message: it may repeat a name of any length."""


class RequirementError(ValueError):
    """A requirement cannot be read, or does not suit the space.

    Args:
        text: the requirement.
        at: the index of the character where it is wrong; None for all of it.
        message: what is wrong, and what to do.
    """

    def __init__(self, text: str, at: int | None, message: str) -> None:
        where = "" if at is None else f" at character {at + 1}"
        brief = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
        super().__init__(f"in {shown(text)!r}{where}: {brief}")
        self.at = at


def shown(text: str) -> str:
    """Return a requirement for a message: in one line, and not all of a long one."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
