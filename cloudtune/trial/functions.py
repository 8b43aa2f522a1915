"""A Python function as a trial: load it, call it, and read what it returns."""

# ruff: noqa: PTH109  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import os
import sys

from . import checked_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .annotations import Scalar


_HEARING = "_cloudtune_hearing"  # see `cloudtune.trial.hearing`


def load_function(place: str) -> Callable[..., object]:
    """Return the function at ``package.module:name``, also from the working folder.

    Raises:
        ImportError: there is no such module, or it has no such function.
    """
    import importlib

    module, _, name = place.partition(":")
    if not module or not name:
        raise ImportError(f"{place!r} names no function; write package.module:name")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise  # the module is there, and lacks something itself
        raise ImportError(f"there is no module {error.name!r} in the working folder or Python's path") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise ImportError(f"the module {module!r} has no function {name!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ImportError(f"{place!r} is not a function but {type(found).__name__}")  # noqa: TRY004  # as above
    return found  # type: ignore[no-any-return]


def call_function(
    function: Callable[..., object], parameters: Mapping[str, Scalar], metric: str | None = None
) -> dict[str, float]:
    """Call a trial's function with the parameters as keywords.

    A process that the function has forked, and that comes back from it as well, ends here: the trial is its parent's.

    Args:
        function: what to call.
        parameters: values by name.
        metric: the name for a bare number.

    Returns:
        The metrics: from a mapping, from a number, or none if it returned None (and reported itself).

    Raises:
        TypeError: it returned something else.
    """
    process = os.getpid()
    try:
        result: Any = function(**parameters)
    finally:
        if os.getpid() != process:
            _end_fork()
    if _HEARING in sys.modules:  # the process may go on, or end without a farewell
        sys.modules[_HEARING].finish()
    if result is None:
        return {}
    if hasattr(result, "items"):
        return {str(name): checked_number(name, value) for name, value in result.items()}
    if not hasattr(result, "__float__") or isinstance(result, str):
        kind = type(result).__name__
        raise TypeError(f"the function must return a number, a mapping of metrics or None, not {kind}")
    if metric is None:
        raise TypeError("the function returned a number without a name; return {METRIC: NUMBER}")
    return {metric: checked_number(metric, result)}


def _end_fork() -> None:
    """End this process as the interpreter would, but for the clean-up that is its parent's."""
    import traceback

    error = sys.exc_info()[1]
    code: Any = getattr(error, "code", None) if isinstance(error, SystemExit) else int(error is not None)
    if error is not None and not isinstance(error, SystemExit):
        traceback.print_exc()
    elif isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # it was closed, or its disk is full
            continue
    os._exit(code if isinstance(code, int) else int(code is not None))
