"""The target Weights & Biases: a run of W&B for each trial that has ended, in a group that has the run's id."""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError
from cloudtune.publishing.points import Point, improvements, points_of
from cloudtune.publishing.target import Target, need
from cloudtune.results.constraints import is_feasible
from cloudtune.store.records import TrialState
from cloudtune.store.secrets import masked

if TYPE_CHECKING:
    from cloudtune.results.view import RunView
    from cloudtune.store.records import Report, RunRecord, Trial

_GOOD = (TrialState.COMPLETED, TrialState.PRUNED)
_LONGEST_TAG = 64
"""Characters of a tag (wandb.Settings.run_tags)."""


class WandbTarget(Target):
    """The target Weights & Biases.

    W&B's runs take no value back, so that a trial is published when it has ended: its parameters are the run's config, its
    learning curves the history, its metrics the summary; its state is a tag, and the state of the run: finished for a completed
    or pruned trial, failed for another. One more run of the type ``tuning`` has the best values so far, and the job as config,
    when the run has ended. What has been published is kept beside the run in cloudtune's store, with a hash of the content; the
    ids of the runs at W&B follow from the run and the trial, so that publishing again adds nothing.

    With WANDB_MODE=offline, or ``wandb offline``, the runs are folders below ``wandb`` in WANDB_DIR, or the working folder, that
    ``wandb sync`` uploads. One that a killed process has left unfinished is replaced.

    Args:
        run: the run to publish.
        project: ``PROJECT`` or ``ENTITY/PROJECT``.

    Raises:
        ConfigError: it is no such name, or wandb is not installed.
    """

    name = "wandb"

    def __init__(self, run: "RunView", project: str) -> None:
        wandb = need("wandb", self.name)
        super().__init__(run, project)
        entity, _, name = project.rpartition("/")
        if not name or "/" in entity or ":" in project:
            raise ConfigError(f"{project!r} names no project of W&B; write PROJECT or ENTITY/PROJECT")
        self._wandb = wandb
        self._entity, self._project = entity or None, name
        self.trouble = (wandb.errors.Error, OSError)
        self._offline = wandb.setup().settings._offline  # noqa: SLF001  # its mode, also of `wandb offline`
        mode = "offline" if self._offline else "online"
        digest = hashlib.sha256(f"{project} {mode} {self._folder if self._offline else ''}".encode()).hexdigest()[:16]
        self._kept = run.folder / f"published-wandb-{digest}.json"
        self._done: dict[str, str] = {}

    @property
    def _folder(self) -> Path:
        return Path(os.environ.get("WANDB_DIR") or Path.cwd()).resolve() / "wandb"

    @property
    def place(self) -> str:
        return f"project {self.address}, group {self.run_id}"

    @property
    def look(self) -> str:
        if self._offline:
            return f"wandb sync {shlex.quote(str(self._folder))}/offline-run-*"
        return f"{self._wandb.setup().settings.app_url.rstrip('/')}/{self.address}/groups/{self.run_id}"

    def open(self) -> None:
        if self._kept.exists():
            self._done = json.loads(self._kept.read_text("utf-8"))

    # Trials

    def take_trial(self, trial: "Trial", reports: "Sequence[Report]") -> None:
        if not trial.state.ended:
            return
        good = trial.state in _GOOD
        tags = [trial.state.value, *(["feasible"] if self._feasible(trial) else [])]
        config = {
            **trial.parameters,
            "cloudtune": {
                "run": self.run_id, "trial": trial.number, "attempt": trial.attempt, "state": trial.state.value,
                "started": trial.started, "ended": trial.ended,
            },
        }  # fmt: skip
        rows = list(_rows(points_of(trial, reports, self.job.objective), trial.started or 0.0))
        self._write(f"{trial.number:05d}", "trial", config, rows, trial.metrics, tags, trial.reason, failed=not good)

    def _feasible(self, trial: "Trial") -> bool:
        completed = trial.state is TrialState.COMPLETED
        return completed and bool(self.job.constraints) and is_feasible(self.job.constraints, trial)

    def take_run(self, record: "RunRecord", ended: "Sequence[Trial]") -> None:
        if not record.state.ended:
            return
        found = improvements(self.job.objective, self.job.constraints, ended)
        rows = list(_rows(found, record.started or record.created))
        best = {point.name: point.value for point in found}
        config = {"job": masked(self.job).to_data(portable=True), "cloudtune": {"run": self.run_id}}
        failed = record.state.value == "failed"
        self._write("tuning", "tuning", config, rows, best, [record.state.value], record.reason, failed=failed)

    # Runs of W&B

    def _write(
        self, key: str, kind: str, config: Mapping[str, Any], rows: Sequence[Mapping[str, float]],
        summary: Mapping[str, float], tags: Sequence[str], notes: str, *, failed: bool,
    ) -> None:  # fmt: skip
        """Write a run of W&B, unless it is there already with this content."""
        content = json.dumps([config, rows, summary, tags, notes], sort_keys=True, default=str)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        if self._done.get(key) == digest:
            return
        if self._offline:
            self._remove_unfinished(f"{self.run_id}-{key}")
        elif key in self._done:
            self.note(
                "what has changed since it was published appears in the config and the summary, not in the history"
            )
        with _quietly():
            run = self._wandb.init(
                entity=self._entity, project=self._project, id=f"{self.run_id}-{key}", name=f"{self.run_id}-{key}",
                dir=str(self._folder.parent),
                group=self.run_id, job_type=kind, config=dict(config), notes=notes or None, resume="allow",
                tags=[tag[:_LONGEST_TAG] for tag in [self.job.name, *tags]], reinit="create_new",
                settings=self._wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True,
                                              x_disable_meta=True, save_code=False),
            )  # fmt: skip
            run.define_metric("*", step_metric="step")
            for row in rows[run.starting_step :]:
                run.log(dict(row))
            for name, value in summary.items():
                run.summary[name] = value
            if key in self._done:
                run.config.update(dict(config), allow_val_change=True)
            run.finish(exit_code=int(failed))
        self._done[key] = digest
        fresh = self._kept.with_suffix(".new")
        fresh.write_text(json.dumps(self._done), "utf-8")
        fresh.replace(self._kept)

    def _remove_unfinished(self, own: str) -> None:
        """Remove the folder of a run that is about to be written anew: sent twice, its history would be doubled."""
        for place in self._folder.glob(f"offline-run-*-{own}"):
            shutil.rmtree(place)


def _rows(points: Sequence[Point], began: float) -> Iterator[dict[str, float]]:
    """Yield the rows of a history: the points of one report each, with its step, and seconds since the beginning."""
    row: dict[str, float] = {}
    last: tuple[int, float] | None = None
    for point in points:
        if (point.step, point.time) != last or point.name in row:
            if row:
                yield row
            row = {"step": point.step, "seconds": max(0.0, point.time - began)}
            last = point.step, point.time
        row[point.name] = point.value
    if row:
        yield row


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep W&B from asking for an account in a terminal, within the context."""
    given = "WANDB_SILENT" in os.environ
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        yield
    finally:
        if not given:
            os.environ.pop("WANDB_SILENT", None)
