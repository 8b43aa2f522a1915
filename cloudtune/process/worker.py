"""Run the user's function in a process that the keeper has forked: one trial, or one trial after the other."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import sys
import traceback
import zlib

from cloudtune import trial
from cloudtune.trial.functions import call_function

TYPE_CHECKING = False  # type checkers take it for true; typing is not loaded for a trial
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def leave(body: Callable[[], int]) -> None:
    """Run the body of a forked child, and end the process without the keeper's own clean-up."""
    code = 1
    try:
        code = body()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)  # as the interpreter does
    except BaseException:  # noqa: BLE001  # all else that the user's code raises gives its traceback and exit code 1
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run_function(function: Callable[..., object], request: dict[str, Any]) -> int:
    """Run a function trial in a process of its own; return the exit code."""
    _reseed(f"{request['env']['CLOUDTUNE_RUN']}/{request['env']['CLOUDTUNE_TRIAL']}")
    metrics = call_function(function, trial.params(), request["metric"])
    if metrics:
        trial.report(metrics)
    return 0


def _reseed(text: str) -> None:
    """Seed the trial's random numbers: forked processes would all draw the same ones."""
    seed = zlib.crc32(text.encode())
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def _flush() -> None:
    """Flush the standard streams, and open those anew that a trial has closed: the next one prints, too."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        try:
            getattr(sys, name).flush()
        except (AttributeError, ValueError):
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", closefd=False))  # noqa: SIM115  # until the worker ends


def serve(
    function: Callable[..., object],
    connection: socket.socket,
    run: str,
    begun: Callable[[int], None],
    ended: Callable[[int], None],
) -> int:
    """Run one trial after the other in a worker of a pool; return the exit code once the driver closes the connection.

    Args:
        function: the user's.
        connection: to the driver.
        run: the run's id.
        begun: called when a trial begins, with the offset in the log at which its output begins.
        ended: called when a trial has ended, with that offset; trims its output to the size of a log.
    """
    stream = connection.makefile("rb")

    def send(message: dict[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode() + b"\n")

    for line in stream:
        request = json.loads(line)
        number = request["number"]

        def sink(step: int, moment: float, metrics: dict[str, float], number: int = number) -> None:
            send({"number": number, "step": step, "time": moment, "metrics": metrics})

        start = os.lseek(1, 0, os.SEEK_END)
        begun(start)
        trial.enter(
            trial.Context(
                request["parameters"],
                number=number,
                attempt=request["attempt"],
                run_id=run,
                sink=sink,
                folder=request["folder"],
                checkpoint=request.get("checkpoint"),
                output=request.get("output"),
            )
        )
        failure = ""
        try:
            metrics = call_function(function, request["parameters"], request["metric"])
            if metrics:
                trial.report(metrics)
        except Exception as error:  # noqa: BLE001  # whatever the user's function raises fails this trial alone
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        finally:
            trial.leave()
        _flush()
        with contextlib.suppress(OSError):  # the log has been removed, or its disk is full
            ended(start)
        send({"number": number, "ended": failure, "log": [start, os.lseek(1, 0, os.SEEK_END)]})
    return 0
