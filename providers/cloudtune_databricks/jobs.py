"""Trials as one-time runs of the Jobs API.

A poll lists the active runs of the workspace, asks for each that is none any more, and looks once at what all trials have handed
over; each new piece of output is a call more.
"""

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from cloudtune.driver.interrupt import Condition
from cloudtune.driver.outputs import RunBrief, followed
from cloudtune.driver.polling import JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import exceeds
from cloudtune.errors import TrialError
from cloudtune.planning.plain_data import mapping
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Report, Trial, TrialState
from cloudtune.trial.printed_metrics import PrintedMetrics
from cloudtune_databricks.client import FOR_GOOD, Workspace
from cloudtune_databricks.ends import Standing, deleted, error_in, standing
from cloudtune_databricks.names import attempt_in, run_name, trial_name
from cloudtune_databricks.request import helped, task_of, with_values
from cloudtune_databricks.storage import Printed, download, option, put_text
from cloudtune_databricks.translate import codec_of
from cloudtune_databricks.words import SCHEME, path_of

_EARLIER = 600.0
"""Seconds before an attempt was started from which on its run is looked for: clocks differ."""

_IDS = "databricks-runs.txt"
"""The file in a run's folder with the ids of its one-time runs, a line each: the service has no list by name."""

_LONGEST = 4096
"""Characters of a trial's values in a request, whose parameters may have 10,000 in all."""


@dataclass(slots=True)
class _Known:
    """What is known of an attempt that was submitted or found.

    Attributes:
        trial: whose attempt it is.
        metrics: reads what it prints.
        read: how many pieces of it were read.
        reports: those that no snapshot had yet.
        output: whether the output that the service keeps was read in the place of pieces.
        late: whether it is ended from here, for its time.
    """

    trial: Trial
    metrics: PrintedMetrics
    read: int = 0
    reports: list[Report] = field(default_factory=list)
    output: bool = False
    late: bool = False

    @property
    def name(self) -> str:
        """What its pieces of output are called by."""
        return f"{self.trial.number}-{self.trial.attempt}"

    def feed(self, lines: Sequence[tuple[float, str]]) -> None:
        """Read lines with their times."""
        number, attempt = self.trial.number, self.trial.attempt
        for index, step, metrics in self.metrics.read_many([text for _, text in lines]):
            self.reports.append(Report(number, attempt, step, lines[index][0], metrics))

    def taken(self) -> list[Report]:
        """Return the reports that were not taken before."""
        found, self.reports = self.reports, []
        return found


class DatabricksRunner(JobRunner):
    """Runs each trial of a run as a one-time run.

    Args:
        workspace: where they run.
        brief: what is asked for the run.
    """

    once = True
    for_good = FOR_GOOD

    def __init__(self, workspace: Workspace, brief: RunBrief) -> None:
        super().__init__(brief)
        self._workspace = workspace
        self._name = run_name(brief.job.name, brief.id)
        self._patterns = metric_patterns(brief.job.measured, brief.job.metrics)
        self._helped = helped(brief.job)
        files = (option(brief.plan.request, "files") or "").replace("${run}", self._name)
        self.files_folder = path_of(files)
        self._printed = Printed(workspace, self.files_folder)
        self._known: dict[str, _Known] = {}
        self._ids_file = brief.folder / _IDS
        self._ids = _read_ids(self._ids_file)
        self._listed = inf
        self._attempts: dict[int, int] = {}

    def place(self, trial: Trial) -> str:
        return trial_name(self._name, trial.number, trial.attempt)

    # One run

    def use_machine(self, machine: str) -> None:
        own = task_of(self.template)
        task = {**own, "new_cluster": {**own.get("new_cluster", {}), "node_type_id": machine}}
        self.template = {**self.template, "tasks": [task if each is own else each for each in self.template["tasks"]]}

    def machine_of(self, trial: Trial) -> str:
        run = self._id(self.place(trial))
        said = self._workspace.run(run) if run is not None else None
        return str(mapping(task_of(said or {}).get("new_cluster")).get("node_type_id", ""))

    def submit(self, trial: Trial) -> None:
        self._attempts[trial.number] = trial.attempt
        place = self.place(trial)
        self._ids[place] = self._workspace.submit(self._request(trial), f"starting trial {trial.number}")
        with self._ids_file.open("a", encoding="utf-8") as file:
            file.write(f"{place} {self._ids[place]}\n")

    def _request(self, trial: Trial) -> dict[str, Any]:
        """Return the request of one attempt; its name is its token, by which a repeated call makes no second run."""
        place, own = self.place(trial), task_of(self.template)
        task = self._with_trial(own, trial) if self._helped else with_values(own, trial.parameters)
        tasks = [task if each is own else each for each in self.template["tasks"]]
        return {**self.template, "run_name": place, "idempotency_token": place, "tasks": tasks}

    def _with_trial(self, task: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
        """Return the task of an attempt; what Databricks would take for a reference to a value, ``{{…}}``, is not in base64.

        What is too long for a request goes to the volume.
        """
        said = {
            "number": trial.number,
            "attempt": trial.attempt,
            "parent": trial.parent,
            "values": codec_of(self.brief.job).encode(trial.parameters),
        }
        text = base64.b64encode(json.dumps(said).encode()).decode()
        word = f"--trial={text}"
        if len(text) > _LONGEST:
            path = f"{self.files_folder}/values/{trial.number}-{trial.attempt}"
            put_text(self._workspace, path, text)
            word = f"--trial-file={SCHEME}{path}"
        program = task["spark_python_task"]
        return {**task, "spark_python_task": {**program, "parameters": [*program["parameters"], word]}}

    def _id(self, place: str, since: float | None = None) -> int | None:
        """Return the id of the run of an attempt; None where there is none.

        It is in the run's folder, unless the driver died before the answer came; then the newest runs of the workspace are listed.

        Args:
            place: its name.
            since: when it was started at the earliest, in seconds since 1970; None for the beginning of the run.
        """
        earliest = (since or self.brief.created) - _EARLIER
        if place not in self._ids and earliest < self._listed:
            for page in self._workspace.pages(since=earliest):
                for run in page:
                    if attempt_in(self._name, str(run.get("run_name", ""))) is not None:
                        self._ids.setdefault(str(run["run_name"]), int(run["run_id"]))
            self._listed = earliest
        return self._ids.get(place)

    def find(self, trial: Trial) -> bool:
        self._attempts[trial.number] = trial.attempt
        return self._id(self.place(trial), trial.started) is not None

    def stop(self, place: str) -> None:
        run = self._id(place)
        if run is not None:
            self._workspace.cancel(run)

    # One poll

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        asked = {self.place(trial): trial for trial in trials}
        self._forget(asked)
        self._known = {
            place: self._known.get(place) or _Known(trial, PrintedMetrics(self._patterns))
            for place, trial in asked.items()
        }
        runs = {place: deleted() if run is None else standing(run) for place, run in self._runs().items()}
        counts = self._printed.counts() if self._helped else {}
        seen = [self._look(place, known, runs[place], counts) for place, known in self._known.items()]
        return [
            replace(each, reports=self._known[each.place].taken()) for each in seen
        ]  # none was lost by an error before

    def _runs(self) -> dict[str, Mapping[str, Any] | None]:
        """Return what the service says of each attempt, None of one that was deleted: by pages of active runs, or one by one where that takes fewer calls."""
        left, found = set(self._known), dict[str, Mapping[str, Any] | None]()
        for read, page in enumerate(self._workspace.pages(active=True), start=1):
            for run in page:
                place = str(run.get("run_name", ""))
                if place in left:
                    found[place] = run
                elif place not in found:
                    self._end_late(place, run)
            left -= found.keys()
            if len(left) <= read:
                break
        for place in left:
            known = self._id(place)
            assert known is not None  # it was submitted or found
            found[place] = self._workspace.run(known)
        return found

    def _end_late(self, place: str, run: Mapping[str, Any]) -> None:
        """End a run of an attempt that is over: made by a call of a driver that died before the answer came."""
        found = attempt_in(self._name, place)
        if found is not None and found[1] < self._attempts.get(found[0], 0):
            self._workspace.cancel(int(run["run_id"]))

    def _look(self, place: str, known: _Known, stands: Standing, counts: Mapping[str, int]) -> TrialSnapshot:
        """Read what an attempt has printed; return how it stands, but for its reports."""
        number, job = known.trial.number, self.brief.job
        if self._helped:
            self._read(known, counts.get(known.name, 0))
        if not stands.state.ended:
            if exceeds(job, stands.started, time.time()) and not known.late:
                known.late = True
                self.stop(place)
            return TrialSnapshot(number, place, started=stands.started, waiting=stands.waiting)
        reason = stands.reason
        output = self._workspace.output(stands.task) if stands.task and (stands.executed or not known.read) else {}
        if not known.read and not known.output:  # a task of the user's own, or one that could not write to the volume
            ended = stands.ended or time.time()
            known.feed([(ended, line) for line in _lines_in(output)])
            known.output = True
        if stands.executed:
            reason = error_in(output) or reason
        alone = stands.unplaced and len(self.machines) < 2  # there is no other node type to be tried
        too_long = stands.too_long or known.late or exceeds(job, stands.started, stands.ended)
        return TrialSnapshot(
            number,
            place,
            stands.state,
            started=stands.started,
            ended=stands.ended,
            reason=reason,
            too_long=too_long,
            retry=stands.retry,
            lost=(stands.lost or alone) and not too_long,
            preempted=stands.preempted,
            unplaced=stands.unplaced and not alone,
        )

    def _read(self, known: _Known, count: int) -> None:
        """Read the pieces of an attempt's output that are new."""
        while known.read < count:
            known.feed(self._printed.piece(known.name, known.read + 1))
            known.read += 1

    def _forget(self, asked: Mapping[str, Trial]) -> None:
        """Remove the markers of attempts that are over, so that the list of them stays short."""
        for place, known in self._known.items():
            if place not in asked and known.read:
                self._printed.forget(known.name, known.read)

    # What trials leave

    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        name, pieces = f"{trial.number}-{trial.attempt}", list[str]()
        read = 0

        def more(count: int) -> Sequence[str]:
            nonlocal read
            there = self._printed.count(name) if self._helped else 0
            while read < there:
                read += 1
                pieces.extend(text for _, text in self._printed.piece(name, read))
            return (pieces or self._kept(trial))[count:]

        yield from followed(more, over, self.brief.soon)

    def _kept(self, trial: Trial) -> list[str]:
        """Return the end of the output that the service keeps of a run that has ended."""
        run = self._id(trial.place)
        said = None if run is None else self._workspace.run(run)
        stands = None if said is None else standing(said)
        if stands is None or stands.state is TrialState.RUNNING or not stands.task:
            return []
        return _lines_in(self._workspace.output(stands.task))

    def files(self, trial: Trial, target: Path) -> list[Path]:
        if not self._helped:
            raise TrialError("it is a task of the native settings, which says itself where its files go")
        return download(self._workspace, f"{self.files_folder}/{trial.number}/output", target)


def _read_ids(file: Path) -> dict[str, int]:
    """Return the ids of one-time runs by their names; a line that was not written to its end is none."""
    lines = file.read_text("utf-8").splitlines(keepends=True) if file.is_file() else []
    pairs = (line.split() for line in lines if line.endswith("\n"))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _lines_in(output: Mapping[str, Any]) -> list[str]:
    """Return the lines that a task printed, or a notebook returned (``dbutils.notebook.exit``)."""
    printed = str(output.get("logs") or "").splitlines()
    if output.get("logs_truncated"):
        printed.insert(0, "cloudtune: the beginning is missing: Databricks keeps 5 MB of a run's output")
    return [*printed, *str((output.get("notebook_output") or {}).get("result") or "").splitlines()]
