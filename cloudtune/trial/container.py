"""Run a trial in a container of a service, by the container contract of the provider."""

# ruff: noqa: PTH100, PTH102, PTH112, PTH113, PTH118, PTH120, PTH123, PTH208, PTH211  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import os
import sys

from . import data_variable
from .decode import decode_parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from .annotations import Listen, Scalar, Sink

    class Container(Protocol):
        """The container contract of a service: how a trial gets its parameters and inputs there, and reports.

        A provider's package has a module ``container`` with a class ``Container`` of this interface, whose constructor
        takes no arguments. The module travels beside this one as `CONTRACT`: it needs the standard library alone, and
        Python 3.8 or newer. Where its sink ends the program, as one that has done enough, it has an attribute ``enough``
        that is true from then on: the trial has ended well.
        """

        def parameters(self) -> Mapping[str, Any]:
            """Return the values that the service's tuner sent, by its names for the parameters; texts where it sends texts."""

        def environment(self) -> dict[str, str]:
            """Return the environment variables of `cloudtune.trial` whose values the service provides.

            ``CLOUDTUNE_TRIAL`` is the trial's number from 0, ``CLOUDTUNE_RUN`` the id of the run, ``CLOUDTUNE_RANK`` the rank
            of this machine among the trial's, from 0, ``CLOUDTUNE_OUTPUT_DIR`` and ``CLOUDTUNE_CHECKPOINT_DIR`` folders;
            ``CLOUDTUNE_PARENT_CHECKPOINT_DIR`` the folder whose content a trial begins with, where it has a parent.
            """

        def data(self, name: str, variable: str) -> str:
            """Return the folder or file of an input.

            Args:
                name: of the input in the job.
                variable: the environment variable that names its path to the trial; the request may have set it.
            """

        def sink(self) -> Sink | None:
            """Return a function that sends reports to the service.

            None where the service reads them from the output, and on machines of rank 1 and above.
            """

        def fail(self, reason: str) -> None:
            """Give the service the reason of the trial's failure, in one line."""


HELPER = "cloudtune_trial.py"
"""The program beside the user's code that a service starts: a copy of ``start.py``."""

PACKAGE = "cloudtune_helper"
"""The folder beside it: a copy of this package, with the provider's container contract."""

CONTRACT = "contract"
"""The name of the module with the provider's container contract in that folder."""

JOB_FILE = "cloudtune_job.json"
"""The file beside the program: the command or function, the codecs of its parameters, and the names of its inputs."""

SOURCE_FILE = "sourcedir.tar.gz"
"""The archive of the user's code, the program and the helper, on services that do not unpack it."""


def run(folder: str, source: str, own: str) -> int:
    """Run the trial that a job file describes, and return the exit code.

    Args:
        folder: with the job file.
        source: the folder of the user's code, with the program beside it.
        own: an empty folder for this trial's files.

    Raises:
        ValueError: the service sent no value for a parameter, or one outside of the space.
    """
    with open(os.path.join(folder, JOB_FILE), encoding="utf-8") as file:
        job = json.load(file)
    service = _service()
    _write_parameters(own, decode_parameters(job["codecs"], service.parameters()))
    os.environ.update(service.environment())
    os.environ.setdefault("CLOUDTUNE_SEED", os.environ.get("CLOUDTUNE_TRIAL", "0"))
    os.environ["CLOUDTUNE_PARAMETERS"] = os.path.join(own, "parameters.json")
    _inherit()
    for name, below in job["data"].items():
        variable = data_variable(name)
        place = service.data(name, variable)  # of some services a single file, of others its folder
        os.environ[variable] = os.path.join(place, below) if below and not os.path.isfile(place) else place
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", ""), own]))
    _hear(job.get("heard"))
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    os.chdir(source)
    sink = service.sink()
    reasons: list[str] = []
    try:
        code = _run_program(job, source, own, reasons, None if sink is None else _listen(job["patterns"], sink))
    except Exception as error:
        service.fail(f"{type(error).__name__}: {error}")
        raise
    if code and getattr(service, "enough", False):
        return 0
    if code:
        service.fail("; ".join(reasons) or f"it exited with code {code}")
    return code


def _hear(sources: Mapping[str, str] | None) -> None:
    """Let the trial's processes hear the metrics that the program logs."""
    if sources:
        from .hearing import hearing, variables

        os.environ.update(hearing({**os.environ, **variables(sources)}))


def _inherit() -> None:
    """Begin with the checkpoint of the trial's parent, unless there is one of its own."""
    source, target = (os.environ.get(f"CLOUDTUNE_{part}CHECKPOINT_DIR", "") for part in ("PARENT_", ""))
    own = os.path.isdir(target) and os.listdir(target)
    if os.environ.get("CLOUDTUNE_RANK", "0") == "0" and target and os.path.isdir(source) and not own:
        from shutil import copytree

        copytree(source, target, dirs_exist_ok=True)


def _service() -> Container:
    from importlib import import_module

    found: Container = import_module(f"{__package__}.{CONTRACT}").Container()
    return found


def _listen(patterns: Mapping[str, str | None], sink: Sink) -> Listen:
    from .printed_metrics import Listener

    return Listener(patterns, sink).feed


def _run_program(job: Mapping[str, Any], source: str, own: str, reasons: list[str], listen: Listen | None) -> int:
    """Run the job's command or function; add the reason of a failure to `reasons`."""
    from .running import run_command, run_function, run_words

    if job["function"] is None:
        return run_command(job["command"], job["names"], reasons, listen)
    if listen is None:
        sys.path.insert(0, source)
        sys.path.append(own)
        return run_function(job["function"], job["metric"], reasons)
    # Its output is read for metrics, so that it runs in a process of its own.
    program = os.path.join(source, HELPER)
    words = [sys.executable, program, "--function", job["function"], "--metric", job["metric"]]
    return run_words(words, reasons, listen)


def _write_parameters(folder: str, parameters: Mapping[str, Scalar]) -> None:
    """Write the trial's parameters, and ``cloudtune.trial`` for images that lack cloudtune."""
    import importlib.util

    with open(os.path.join(folder, "parameters.json"), "w", encoding="utf-8") as file:
        json.dump({"parameters": parameters}, file)
    if importlib.util.find_spec("cloudtune") is None:
        os.mkdir(os.path.join(folder, "cloudtune"))
        open(os.path.join(folder, "cloudtune", "__init__.py"), "w").close()  # an empty file
        os.symlink(os.path.dirname(os.path.abspath(__file__)), os.path.join(folder, "cloudtune", "trial"))
