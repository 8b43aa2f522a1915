"""The target TensorBoard: event files with a session of HParams per trial and learning curves as scalars."""

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.costs.views import currency_of
from cloudtune.publishing.points import COST, Point, counting_name, points_of
from cloudtune.publishing.target import Target, need
from cloudtune.results.constraints import is_feasible
from cloudtune.store.records import TrialState

if TYPE_CHECKING:
    from cloudtune.results.view import RunView
    from cloudtune.store.records import Report, RunRecord, Trial

FEASIBLE = "feasible"
"""The metric that says whether a trial keeps the constraints."""


class TensorBoardTarget(Target):
    """The target TensorBoard: a folder named by the run's id, with a subfolder for each trial.

    The events of a trial are a function of its data in the store, and later data only append events: a file that holds
    the beginning of the events is continued, any other is replaced. So writing again duplicates nothing and completes
    what a killed process has left.

    Args:
        run: the run to publish.
        folder: the parent folder.
    """

    name = "tensorboard"

    def __init__(self, run: "RunView", folder: str | Path) -> None:
        need("tensorboard.plugins.hparams.summary_v2", self.name)
        super().__init__(run, str(folder))
        from cloudtune.publishing.events import Events, session_name  # noqa: PLC0415  # imports TensorBoard

        self._session_name = session_name
        self.folder = Path(folder) / self.run_id
        self._events = Events(self.job.search_space())
        if self._events.several_types:
            self.note(f"values of several types, so texts (JSON) in HParams: {', '.join(self._events.several_types)}")
        self._metrics = dict.fromkeys([*(each.metric for each in self.job.measured), *self.job.metrics])

    @property
    def place(self) -> str:
        return f"folder {self.folder}"

    @property
    def look(self) -> str:
        return f"tensorboard --logdir {shlex.quote(str(self.folder))}"

    def open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def take_trial(self, trial: "Trial", reports: "Sequence[Report]") -> None:
        self._metrics |= dict.fromkeys([*trial.metrics, *(name for report in reports for name in report.metrics)])
        if not trial.attempt and not trial.state.ended:
            return  # its start time is not known yet
        folder = self.folder / self._session_name(trial.number)
        began = (trial.started if trial.started is not None else trial.ended) or 0.0
        path = folder / f"events.out.tfevents.{began:010.0f}.attempt-{trial.attempt}"
        folder.mkdir(exist_ok=True)
        for other in folder.glob("events.out.tfevents.*"):
            if other != path:  # of an earlier attempt; an open TensorBoard does not cope with a removed file
                _write(other, self._events.nothing())
        points = [*points_of(trial, reports, self.job.objective), *self._feasible(trial)]
        _write(path, self._events.session(trial, points, began))

    def _feasible(self, trial: "Trial") -> list[Point]:
        """Return the metric that says of a completed trial whether it keeps the constraints: 1 or 0."""
        if not self.job.constraints or trial.state is not TrialState.COMPLETED or FEASIBLE in trial.metrics:
            return []
        self._metrics[FEASIBLE] = None
        return [Point(FEASIBLE, 0, trial.ended or 0.0, float(is_feasible(self.job.constraints, trial)))]

    def take_run(self, record: "RunRecord", ended: "Sequence[Trial]") -> None:
        if not ended and not record.state.ended:
            return  # an open TensorBoard keeps its first list of metrics, which are known from trials
        tags = {metric: counting_name(self.job.objective, metric) for metric in self._metrics}
        currency = currency_of(ended)
        if currency and COST not in tags:
            tags[f"{COST} ({currency})"] = COST
        path = self.folder / f"events.out.tfevents.{record.created:010.0f}.experiment"
        _write(path, self._events.experiment(record, tags))


def _write(path: Path, events: Iterable[bytes]) -> None:
    """Write events to a file: append to one that holds their beginning, else replace it atomically."""
    content = b"".join(events)
    existing = path.read_bytes() if path.exists() else b""
    if existing and content.startswith(existing):
        with path.open("ab") as file:
            file.write(content[len(existing) :])
        return
    new = path.with_name(".new")  # no name of an event file, so that TensorBoard does not read it half written
    new.write_bytes(content)
    os.replace(new, path)  # noqa: PTH105  # replaces an existing file
