"""The base of providers without a tuner: a process of this machine drives, watches and ends each run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.driver import process as driver_process
from cloudtune.errors import Problem
from cloudtune.provider.interface import Provider
from cloudtune.results.progress import Watcher
from cloudtune.search import UnsuitableStrategy, strategy_for
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState
from cloudtune.store.secrets import keep_environment

if TYPE_CHECKING:
    from cloudtune.porting.adapted import Adapted
    from cloudtune.store.store import RunStore


class DrivenProvider(Provider, driver_process.Site):
    """A provider without a tuner: a subclass launches trials, and cloudtune drives them."""

    def adapt(self, job: TuningJob) -> "Adapted":
        """Return the job without its region; inputs in the cloud for which no folder is said are missing."""
        from cloudtune.porting.adapted import without_region  # noqa: PLC0415  # reading a run needs none of it
        from cloudtune.provider.inputs_here import with_missing_inputs  # noqa: PLC0415

        here, notes = without_region(job)
        adapted = with_missing_inputs(here, self.name, self.mounts)
        return replace(adapted, notes=(*notes, *adapted.notes))

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        return search_problems(job, base)

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        """Save the values of the trials' environment, and the known trials for the driver's warm start."""
        keep_environment(run, job.trial.environment)
        keep_earlier(run, job)

    def reopen(self, run: "RunStore", job: TuningJob) -> None:
        """Save the values of the trials' environment again; a provider that packs more for its runs extends this."""
        keep_environment(run, job.trial.environment)

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        """Return the lines of the log that the launcher keeps in the run's folder (`Trial.place`)."""
        from cloudtune.process.logs import lines_of  # noqa: PLC0415  # most commands read no log

        return lines_of(run, number, follow=follow)

    def start(self, run: "RunStore") -> None:
        driver_process.start(run)

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        return driver_process.follow(run, self, watcher)

    def refresh(self, run: "RunStore") -> None:
        driver_process.refresh(run)

    def cancel(self, run: "RunStore") -> None:
        driver_process.cancel(run, self)


def search_problems(job: TuningJob, base: Path) -> list[Problem]:
    """Return what cloudtune's driver cannot do: a strategy that does not suit the space, a table that is not there.

    Args:
        job: the spec.
        base: what its paths are relative to.
    """
    problems: list[Problem] = []
    if job.warm_start is not None:
        from cloudtune.driver.warm_start import table_problems  # noqa: PLC0415  # only jobs with a warm start need it

        problems += table_problems(job.warm_start, base)
    try:
        strategy_for(job, job.search_space(), seed=0)
    except UnsuitableStrategy as error:
        problems.append(Problem("strategy", str(error)))
    return problems


def keep_earlier(run: "RunStore", job: TuningJob) -> None:
    """Save the trials of earlier runs for the driver's warm start."""
    if job.warm_start is not None:
        from cloudtune.driver import warm_start  # noqa: PLC0415  # only jobs with a warm start need it

        warm_start.keep(run.folder, warm_start.known_trials(job, run.store.project, Path(run.record().native["base"])))
