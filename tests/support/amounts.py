"""How many examples a generated test gets: all with ``--complete``, an eighth by default."""

import os

COMPLETE = "PYTEST_COMPLETE"
"""Names the variable that is set while the complete suite runs."""


def examples(complete: int) -> int:
    """Return how many examples to generate.

    Args:
        complete: how many the complete suite does.
    """
    return complete if os.environ.get(COMPLETE) else max(10, complete // 8)
