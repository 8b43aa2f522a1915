"""The helper as a program: ``python -m cloudtune.trial``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import __doc__ as usage
from . import current
from .running import run_command, run_function


def main(arguments: Sequence[str]) -> int:
    """Run a command or a function as a trial, and return the exit code.

    Args:
        arguments: ``-- COMMAND ARGUMENT…``, or ``--function package.module:name [--metric NAME]``.
    """
    rest = list(arguments)
    if rest[:1] == ["--"] and len(rest) > 1:
        return run_command(rest[1:], current().names)
    options = dict(zip(rest[::2], rest[1::2]))  # noqa: B905  # not in Python 3.8
    if len(rest) % 2 or "--function" not in options or set(options) - {"--function", "--metric"}:
        print(usage, file=sys.stderr)
        return 2
    return run_function(options["--function"], options.get("--metric"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
