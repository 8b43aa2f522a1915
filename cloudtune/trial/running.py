"""A command or a function as a trial: start it, pass on what is asked of it, and say how it ended."""

# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import sys

from . import current, params, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .annotations import Listen


def run_function(place: str, metric: str | None, reasons: list[str] | None = None) -> int:
    """Call a function with the parameters and report what it returns; add why that failed to the reasons."""
    from .functions import call_function, load_function

    try:
        function = load_function(place)
    except ImportError as error:
        return say(f"the function cannot be loaded: {error}", 1, reasons)
    metrics = call_function(function, params(), metric)
    if metrics:
        report(metrics)
    return 0


def say(what: str, code: int, reasons: list[str] | None) -> int:
    print(what, file=sys.stderr)
    if reasons is not None:
        reasons.append(what)
    return code


def run_command(
    command: str | list[str], names: Sequence[str], reasons: list[str] | None = None, listen: Listen | None = None
) -> int:
    """Run a command with the parameters placed; see `run_words`."""
    from .commands import compile_command

    return run_words(compile_command(command, names)(current().parameters), reasons, listen)


def run_words(words: list[str], reasons: list[str] | None, listen: Listen | None = None) -> int:
    """Run a program, pass on requests to end, and say how it ended.

    Args:
        words: the program and its arguments.
        reasons: takes why it failed.
        listen: takes each piece of its output, which is passed on; None to leave the output as it is.
    """
    import signal
    import subprocess

    requests: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(signum: int, frame: object) -> None:  # noqa: ARG001  # the signature of a handler
        requests.append(signum)
        for child in children:
            child.send_signal(signum)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command, too
    output, errors = (None, None) if listen is None else (subprocess.PIPE, subprocess.STDOUT)
    try:
        child: subprocess.Popen[bytes] = subprocess.Popen(words, stdout=output, stderr=errors)
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        return say(f"the command {words[0]!r} cannot be started: {error.strerror}", code, reasons)
    children.append(child)
    for signum in requests[:]:  # those that came before there was a child
        child.send_signal(signum)
    if listen is not None:
        reader = _pass_on_output(child, listen)
    code = child.wait()
    if listen is not None:
        reader.join(_LAST_WORDS)
    if code:
        say(_ending(code), code, reasons)
    return 128 - code if code < 0 else code


_LAST_WORDS = 5.0  # seconds for what a command's own children may still write when it has ended


def _pass_on_output(child: Any, listen: Listen) -> Any:
    """Pass a command's output on, piece by piece, in a thread of its own."""
    import threading

    def read() -> None:
        while True:
            data = child.stdout.read1(1 << 16)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            listen(data)
            if not data:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _ending(code: int) -> str:
    """Return how a command ended, from its exit code, which is a signal's number below zero."""
    import signal

    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):  # the latter is how a shell tells it of its own child
        return "the command was killed by SIGKILL: most likely memory ran out"
    if code < 0:
        return f"the command was killed by signal {signal.Signals(-code).name}"
    return f"the command ended with exit code {code}"
