"""One command job, run as Azure Machine Learning runs it, by processes of this machine.

The emulator has no Docker: this machine's Python and packages play the environment's role. What the service says of
it: "Access data in a job", "Use environment variables", the reference of command jobs, and CommandJob of its SDK.
"""

import json
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cloudtune.emulation.job_thread import JobThread
from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.output import Allowance, last_words
from cloudtune.emulation.processes import Limit, Processes, Start
from cloudtune.emulation.starting import environment_of, with_the_emulator
from cloudtune_azureml.emulator.blobs import Blobs
from cloudtune_azureml.emulator.clusters import Clusters
from cloudtune_azureml.emulator.model import Place, Program
from cloudtune_azureml.emulator.nodes import processes_of

CONTAINER = "azureml"
"""The container of outputs and logs."""

DATASTORES = {"workspaceblobstore": "azureml-blobstore", "workspaceartifactstore": CONTAINER}
"""Datastores and the containers behind them."""

_PLACE = re.compile(r"\$\{\{\s*(search_space|inputs|outputs)\.([\w.]+?)\s*\}\}|(?<!\$)\{search_space\.(\w+)\}")
DATASTORE = re.compile(r"azureml:(?://.*)?/?/?datastores/([^/]+)/paths/(.*)")
"""A place in a datastore, in the short form or with the whole id of its workspace."""

_KEPT_LINES = 200


@dataclass(frozen=True, slots=True)
class Workshop:
    """What command jobs run with.

    Attributes:
        blobs: the storage account.
        folder: for the jobs' own folders.
        grace: seconds between SIGTERM and SIGKILL.
        environment: variables for the programs, by which they find MLflow.
        place_of: the folder or file of an asset, of a place in a datastore, or of a URL.
        clusters: the machines.
        denial: returns why a job with an identity of its own may not ``read`` or ``write`` blobs; "" if it may.
        scratch: see `cloudtune.emulation.workplace.Workplace.scratch`.
    """

    blobs: Blobs
    folder: Path
    grace: float
    environment: Callable[[str, str], Mapping[str, str]]
    place_of: Callable[[str], Path | None]
    denial: Callable[[str], str]
    clusters: Clusters = field(default_factory=lambda: Clusters(MachineStarts()))
    scratch: Callable[[], Path | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command job ended.

    Attributes:
        state: Completed, Failed or Canceled.
        failure: why; "" unless it failed.
    """

    state: Literal["Completed", "Failed", "Canceled"]
    failure: str


class JobFailure(Exception):
    """A command job cannot be started; the message says why."""


class Worker(JobThread[Ended]):
    """Runs one command job.

    Args:
        program: what it runs.
        name: its id.
        experiment: the experiment that it is in.
        values: what stands for ``${{search_space.x}}``, for a trial of a sweep.
        workshop: what it runs with.
        on_running: called when the program starts.
        on_line: takes each line that it prints.
        on_end: takes the end, as the last of all. None of these is called once `close` has begun.
    """

    def __init__(
        self,
        program: Program,
        name: str,
        experiment: str,
        values: Mapping[str, Any],
        workshop: Workshop,
        *,
        on_running: Callable[[], None],
        on_line: Callable[[str], None],
        on_end: Callable[[Ended], None],
    ) -> None:
        super().__init__(f"command job {name}")
        self._program, self._name, self._experiment, self._values = program, name, experiment, values
        self._shop = workshop
        self._on_running, self._on_line, self._on_end = on_running, on_line, on_end
        self._folder = workshop.folder.absolute() / name
        self._artifacts = workshop.blobs.file(CONTAINER, f"ExperimentRun/dcid.{name}")
        self._logs: list[Path] = []
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._allowance = Allowance()

    # In its thread

    def _job(self) -> Ended:
        return Ended("Canceled", "") if self._stop_requests.pending == "stop" else self._train()

    def _failed(self, error: Exception) -> Ended:
        if isinstance(error, JobFailure):
            return Ended("Failed", str(error))
        return Ended("Failed", f"the emulator failed: {type(error).__name__}: {error}")

    def _report(self, ended: Ended) -> None:
        self._on_end(ended)

    def _train(self) -> Ended:
        cluster, nodes = self._program.cluster, self._program.nodes
        self._shop.clusters.take(cluster, nodes, self._stop_requests)
        try:
            return self._train_on_nodes()
        finally:
            self._shop.clusters.give_back(cluster, nodes)

    def _train_on_nodes(self) -> Ended:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        starts = self._starts()
        timeout = self._program.timeout
        limits = [Limit(time.monotonic() + timeout, "time")] if timeout else []
        names = ["std_log.txt"] if len(starts) == 1 else [f"std_log_process_{n}.txt" for n in range(len(starts))]
        self._logs = [self._artifacts / "user_logs" / name for name in names]
        for log in self._logs:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
        self._on_running()
        try:
            processes = Processes(
                starts, mark=self._folder, grace=self._shop.grace, on_line=self._hear, stop_requests=self._stop_requests
            )
        except OSError as error:
            raise JobFailure(f"the program cannot be started: {error}") from error
        codes, why = processes.run(limits, lambda: None)
        for outputs in self._folder.glob("node-*/wd/outputs"):
            shutil.copytree(outputs, self._artifacts / "outputs", dirs_exist_ok=True)
        if why == "stop":
            return Ended("Canceled", "")
        if why == "time":
            return Ended("Failed", f"The job has run longer than its timeout of {timeout:g} s.")
        code = next(filter(None, codes), 0)
        if code:
            said = last_words(list(self._lines))
            message = f"Execution failed. User process '/bin/bash' exited with status code {code}. Please check log file 'user_logs/{names[0]}' for error details. Error: {said}"
            return Ended("Failed", message)
        return Ended("Completed", "")

    def _hear(self, number: int, line: str) -> None:
        self._lines.append(line)
        with self._logs[number].open("a", encoding="utf-8") as log:
            log.writelines(f"{kept}\n" for kept in self._allowance.lines(line))
        if number == 0:
            self._on_line(line)

    # Starting

    def _starts(self) -> list[Start]:
        command = _PLACE.sub(self._put, self._program.command)
        shell = shutil.which("bash") or "/bin/sh"
        words = [*with_the_emulator(), shell, "-c", command]
        given = self._variables()
        starts, processes = [], processes_of(self._program)
        folders = {node: self._work(node) for node in dict.fromkeys(process.node for process in processes)}
        for process in processes:
            scratch = self._shop.scratch()
            environment = environment_of(
                {**given, **process.environment}, self._folder, self._folder / f"node-{process.node}" / "home", scratch
            )
            starts.append(Start(words, environment, folders[process.node], scratch))
        return starts

    def _work(self, node: int) -> Path:
        """Return the folder that a node's processes start in, with the code."""
        work = self._folder / f"node-{node}" / "wd"
        code = self._program.code
        self._need("read")
        source = None if code is None else self._shop.place_of(code)
        if code is not None and source is None:
            raise JobFailure(f"the code {code} is not there")
        if source is None:
            work.mkdir(parents=True)
        else:
            shutil.copytree(source, work)
        (work / "outputs").mkdir(exist_ok=True)
        return work

    def _need(self, verb: str) -> None:
        """Raise JobFailure if the job has an identity of its own that may not read or write blobs."""
        denial = self._shop.denial(verb) if self._program.identity else ""
        if denial:
            raise JobFailure(denial)

    def _variables(self) -> dict[str, str]:
        """Return what all of the job's processes are told."""
        return {
            **self._shop.environment(self._name, self._experiment),
            "AZUREML_RUN_ID": self._name,
            **{f"AZUREML_SWEEP_{name}": _text(value) for name, value in self._values.items()},
            **{f"AZURE_ML_INPUT_{name}": str(self._input(name)) for name in self._program.inputs},
            **{f"AZURE_ML_OUTPUT_{name}": str(self._output(name)) for name in self._program.outputs},
            **self._program.variables,
        }

    def _put(self, found: re.Match[str]) -> str:
        part, name = found[1] or "search_space", found[2] or found[3]
        if part == "search_space":
            if name not in self._values:
                raise JobFailure(f"the command names ${{{{search_space.{name}}}}}, which the search space has not")
            return _text(self._values[name])
        return str(self._input(name) if part == "inputs" else self._output(name))

    def _input(self, name: str) -> Path | str:
        """Return the file or folder of an input, or its value."""
        given = self._program.inputs.get(name)
        if not isinstance(given, Place):
            return _text(given)
        place = str(given.path)
        found = self._shop.place_of(place)
        if found is None or not found.exists():
            raise JobFailure(f"the input {name} is not there: {place}")
        return found

    def outputs(self) -> dict[str, str]:
        """Return where the outputs go: ``DATASTORE/paths/PATH`` by their names."""
        found = {}
        for name, declared in self._program.outputs.items():
            place = declared.path or "azureml://datastores/workspaceblobstore/paths/azureml/${{name}}/${{output_name}}"
            place = place.replace("${{name}}", self._name).replace("${{output_name}}", name)
            found[name] = place.partition("datastores/")[2]
        return found

    def _output(self, name: str) -> Path:
        """Return the folder of an output, in the storage account."""
        self._need("write")
        declared = self._program.outputs.get(name)
        folder = self._shop.place_of(f"azureml://datastores/{self.outputs().get(name)}")
        if declared is None or folder is None:
            place = "" if declared is None else declared.path
            raise JobFailure(f"the output {name} goes to a place that the emulator has not: {place}")
        (folder.parent if declared.kind == "uri_file" else folder).mkdir(parents=True, exist_ok=True)
        return folder


def _text(value: Any) -> str:
    """Return a value as it stands in a command: a branch as JSON."""
    if isinstance(value, Mapping):
        return json.dumps(value)
    return value if isinstance(value, str) else json.dumps(value)
