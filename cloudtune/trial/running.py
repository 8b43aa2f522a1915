"""Run a command or a function as a trial, forward signals to it, and describe its end."""

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
    """Call a function with the parameters and report what it returns; return the exit code.

    Args:
        place: ``package.module:name``.
        metric: the name of a number that the function returns; None if it returns a mapping.
        reasons: a list to which the reason of a failure is added; None for none.
    """
    from .functions import call_function, load_function
    from .hearing import begin

    begin()
    try:
        function = load_function(place)
    except ImportError as error:
        return _fail(f"the function cannot be loaded: {error}", 1, reasons)
    metrics = call_function(function, params(), metric)
    if metrics:
        report(metrics)
    return 0


def _fail(what: str, code: int, reasons: list[str] | None) -> int:
    print(what, file=sys.stderr)
    if reasons is not None:
        reasons.append(what)
    return code


def run_command(
    command: str | list[str], names: Sequence[str], reasons: list[str] | None = None, listen: Listen | None = None
) -> int:
    """Run a command with the parameters placed; see `run_words`."""
    from .commands import compile_command

    return run_words(compile_command(command, names)(current().parameters, current().seed), reasons, listen)


def run_words(words: list[str], reasons: list[str] | None, listen: Listen | None = None) -> int:
    """Run a program, forward SIGTERM to it, and return its exit code, 128 and the signal's number if a signal ended it.

    Args:
        words: the program and its arguments.
        reasons: a list to which the reason of a failure is added; None for none.
        listen: called with each piece of its output, which is also copied to this process's; None to let it inherit the output.
    """
    import signal
    import subprocess

    requests: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def forward(signum: int, frame: object) -> None:  # noqa: ARG001  # the signature of a handler
        requests.append(signum)
        for child in children:
            child.send_signal(signum)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command, too
    output, errors = (None, None) if listen is None else (subprocess.PIPE, subprocess.STDOUT)
    try:
        child: subprocess.Popen[bytes] = subprocess.Popen(words, stdout=output, stderr=errors)
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        return _fail(f"the command {words[0]!r} cannot be started: {error.strerror}", code, reasons)
    children.append(child)
    for signum in requests[:]:  # those that came before there was a child
        child.send_signal(signum)
    if listen is not None:
        copying = _copy_output(child, listen)
    code = child.wait()
    if listen is not None:
        _await_end(*copying)
    if code:
        _fail(_ending(code), code, reasons)
    return 128 - code if code < 0 else code


_OUTPUT_TIMEOUT = 5.0  # seconds for the output of a command's children after its own end
_LISTENING_TIMEOUT = (
    600.0  # seconds for what listens to it, which may have to try again and again until a service hears it
)
_SLICE = 0.05  # seconds between two looks at what is waited for


def _copy_output(child: Any, listen: Listen) -> tuple[Any, Any]:
    """Start a thread that copies a command's output to this process's, and calls `listen` with each piece.

    Returns:
        The thread, and an event that is set while it listens.
    """
    import threading

    listening = threading.Event()

    def read() -> None:
        while True:
            data = child.stdout.read1(1 << 16)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            listening.set()
            listen(data)
            listening.clear()
            if not data:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, listening


def _await_end(reader: Any, listening: Any) -> None:
    """Wait until all output of a command that has ended is heard; for what holds it open, and for a deaf service, not for ever."""
    for_output, for_listening = _OUTPUT_TIMEOUT, _LISTENING_TIMEOUT
    while reader.is_alive() and min(for_output, for_listening) > 0:
        reader.join(_SLICE)
        if listening.is_set():
            for_listening -= _SLICE
        else:
            for_output -= _SLICE


def _ending(code: int) -> str:
    """Describe the end of a command by its exit code, which is negative for a signal."""
    import signal

    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):  # a shell adds 128 for its own child
        return "the command was killed by SIGKILL: most likely memory ran out"
    if code < 0:
        return f"the command was killed by signal {signal.Signals(-code).name}"
    return f"the command ended with exit code {code}"
