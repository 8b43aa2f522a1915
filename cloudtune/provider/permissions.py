"""The permissions that a provider's calls take, as a table in its package; what a profile needs is made of it.

The table is a file ``permissions.csv`` beside the provider, a row for each call and permission:

- ``principal``: ``caller`` for the account that starts and follows runs, ``identity`` for the one that trials run as,
  ``strategy`` for that of a driver whose strategy asks the service, wherever its trials run;
- ``use``: what the call is for, one of `USES`;
- ``modes``: in which modes of a run it is made, ``managed``, ``driven``, or both with a space between;
- ``call``: the operation by the service's name;
- ``permission``: by the service's name;
- ``resource``: the kind of resource on which it is asked for, by the provider's name;
- ``source``: where the service says so.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

Mode = Literal["managed", "driven"]
Principal = Literal["caller", "identity", "strategy"]

PRINCIPALS: Sequence[Principal] = ("caller", "identity")
"""Who needs permissions: the account that starts and follows runs, and the one that trials run as."""

HINT = "`cloudtune check --policy` prints the permissions that a profile needs"
"""The end of a message about a denied action."""

USES = frozenset({"start", "stage", "follow", "cancel", "logs", "fetch", "check", "attach", "trial", "suggest"})
"""What calls are for: to start jobs, upload code, follow, cancel, read logs, fetch files, check, take over, run or suggest a trial."""


@dataclass(frozen=True, slots=True)
class Need:
    """A call, and a permission that it takes.

    Attributes:
        principal: who makes the call: a `Principal`.
        use: what for, one of `USES`.
        modes: the modes of runs in which it is made.
        call: the service's operation, e.g. ``CreateTrainingJob``.
        permission: e.g. ``sagemaker:CreateTrainingJob``.
        resource: the kind of resource on which it is asked for, by the provider's name.
        source: where the service says so.
    """

    principal: str
    use: str
    modes: frozenset[str]
    call: str
    permission: str
    resource: str
    source: str


def read_needs(table: Path) -> list[Need]:
    """Return the rows of a table of permissions."""
    with table.open(encoding="utf-8", newline="") as file:
        return [
            Need(
                row["principal"],
                row["use"],
                frozenset(row["modes"].split()),
                row["call"],
                row["permission"],
                row["resource"],
                row["source"],
            )
            for row in csv.DictReader(file)
        ]


INPUTS = "read inputs"
"""The call of the rows for what a trial reads."""


def with_inputs(needs: Iterable[Need]) -> list[Need]:
    """Return a table with the permissions for inputs that lie elsewhere, on kinds of resources of their own.

    What is read is on ``input-KIND`` there, such as ``input-bucket``.
    """
    known = list(needs)
    return [*known, *(replace(need, resource=f"input-{need.resource}") for need in known if need.call == INPUTS)]


def permissions(needs: Iterable[Need], principal: Principal, mode: Mode | None = None) -> dict[str, list[str]]:
    """Return the permissions of a principal, sorted and each once, by the kind of resource.

    Args:
        needs: the table.
        principal: who makes the calls.
        mode: the only mode of the runs; None for both.
    """
    own = [need for need in needs if need.principal == principal and (mode is None or mode in need.modes)]
    pairs = sorted({(need.resource, need.permission) for need in own})
    return {resource: [name for _, name in group] for resource, group in groupby(pairs, lambda pair: pair[0])}
