"""What went wrong, from the service's messages."""

import re

_WHERE = re.compile(r"\s*To find out more about why your job exited please check the logs:.*", re.DOTALL)
_LONGEST = 500


def failure_text(message: str) -> str:
    """A message of the service on one line, without the address of its console's logs."""
    return " ".join(_WHERE.sub("", message).split())[:_LONGEST]
