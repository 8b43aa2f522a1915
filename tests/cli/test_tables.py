"""Tables for people: what goes into a pipe is laid out without Rich, which takes half a millisecond a row, and looks the same."""

import contextlib
import io
import re
import sys
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from cloudtune.cli.output import print_table

CELLS = some.text("aZ 0.é失\u0301[b]", max_size=8) | some.integers() | some.sampled_from(["completed", "failed", ""])
TABLES = some.integers(1, 4).flatmap(
    lambda many: some.lists(some.lists(CELLS, min_size=many, max_size=many), max_size=6)
)


def printed(rows: Sequence[Sequence[object]], *, by_rich: bool) -> str:
    columns = [f"p{index}" for index in range(len(rows[0]) if rows else 2)]
    with pytest.MonkeyPatch.context() as patches, contextlib.redirect_stdout(io.StringIO()) as out:
        patches.delenv("TTY_COMPATIBLE", raising=False)
        patches.delenv("FORCE_COLOR", raising=False)
        if by_rich:
            patches.setenv("FORCE_COLOR", "1")
        else:
            patches.setitem(sys.modules, "rich.table", None)  # its import fails
        print_table(columns, rows, right=("p1",))
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


@settings(deadline=None, max_examples=60)
@given(rows=TABLES)
@example(rows=[])
@example(rows=[["失敗", "e\u0301", "completed"]])
def test_a_table_in_a_pipe_looks_as_rich_draws_it(rows: list[list[object]]) -> None:
    assert printed(rows, by_rich=False) == printed(rows, by_rich=True)


@pytest.mark.parametrize("odd", ["two\nlines", "a\ttab", "a bell\a"])
def test_cells_that_are_no_single_line_are_left_to_rich(odd: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_table(["p0", "p1"], [[odd, 1]])
    assert "\t" not in out.getvalue()
    assert "\a" not in out.getvalue()
    assert len({len(line) for line in out.getvalue().splitlines()}) == 1, "the columns are aligned"
