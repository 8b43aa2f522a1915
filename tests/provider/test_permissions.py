"""The tables of permissions of all installed providers, and what is read from one."""

from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from cloudtune.plugins.entry_points import providers
from cloudtune.provider.permissions import USES, Need, Principal, permissions, read_needs


def tables() -> list[Path]:
    found = []
    for point in providers().values():
        spec = find_spec(point.module.partition(".")[0])
        assert spec is not None
        assert spec.origin is not None
        found.append(Path(spec.origin).with_name("permissions.csv"))
    return [table for table in found if table.exists()]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.parent.name)
def test_every_row_says_who_needs_what_for_what_and_by_which_source(table: Path) -> None:
    needs = read_needs(table)
    principals = {need.principal for need in needs}
    assert "caller" in principals
    assert principals <= set(get_args(Principal)), "the trials of some services call nothing themselves"
    for need in needs:
        assert need.use in USES, need
        assert need.modes <= {"managed", "driven"}, need
        assert need.modes, need
        assert all((need.call, need.permission, need.resource, need.source)), need
    assert len({(need.principal, need.use, need.call, need.permission) for need in needs}) == len(needs)


def test_the_permissions_of_a_principal_are_those_of_its_rows_each_once() -> None:
    def row(principal: str, modes: str, permission: str, resource: str = "job") -> Need:
        return Need(principal, "start", frozenset(modes.split()), "Make", permission, resource, "here")

    needs = [
        row("caller", "managed driven", "b"),
        row("caller", "driven", "a"),
        row("caller", "managed", "b"),
        row("caller", "managed", "c", "bucket"),
        row("identity", "managed", "d"),
    ]
    assert permissions(needs, "caller") == {"bucket": ["c"], "job": ["a", "b"]}
    assert permissions(needs, "caller", "driven") == {"job": ["a", "b"]}
    assert permissions(needs, "identity", "driven") == {}
