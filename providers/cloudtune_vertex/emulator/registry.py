"""All custom jobs and tuning jobs: made, found, listed, cancelled and deleted."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from cloudtune_vertex.emulator.custom_jobs import TERMINAL, CustomJob
from cloudtune_vertex.emulator.errors import Refused, not_found
from cloudtune_vertex.emulator.model import Message, plain
from cloudtune_vertex.emulator.paging import page_of
from cloudtune_vertex.emulator.queries import BadQuery, compiled
from cloudtune_vertex.emulator.resources import Resources
from cloudtune_vertex.emulator.rules import check
from cloudtune_vertex.emulator.searching import search_of
from cloudtune_vertex.emulator.tuning import TuningJob
from cloudtune_vertex.emulator.worker import Workshop

_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")

Job = CustomJob | TuningJob

COLLECTIONS = {"CustomJob": "customJobs", "HyperparameterTuningJob": "hyperparameterTuningJobs"}


class Jobs:
    """The jobs of all projects and locations.

    Args:
        workshop: what custom jobs run with.
        seed: of the searches; None for any.
    """

    def __init__(self, workshop: Workshop, seed: int | None) -> None:
        self._shop, self._seed = workshop, seed
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._last = time.time_ns() // 1000

    @property
    def resources(self) -> Resources:
        """The machines that are kept for custom jobs."""
        return self._shop.resources

    # The service's operations

    def create(self, kind: str, parent: str, message: Message) -> dict[str, Any]:
        """Make and start a job.

        Args:
            kind: ``CustomJob`` or ``HyperparameterTuningJob``.
            parent: ``projects/P/locations/L``.
            message: the job, of protobuf.

        Raises:
            Refused: the message is not valid.
        """
        if not _PARENT.fullmatch(parent):
            raise Refused("INVALID_ARGUMENT", f"The parent {parent!r} is not projects/PROJECT/locations/LOCATION")
        check(message, "custom_job" if kind == "CustomJob" else "hyperparameter_tuning_job")
        if kind == "CustomJob":
            self._shop.resources.check(parent, plain(message)["jobSpec"])
        name = self._name(kind, parent)
        job = CustomJob(plain(message), name, self._shop) if kind == "CustomJob" else self._tuning_job(message, name)
        with self._lock:
            self._jobs[name] = job
        told = job.message()
        job.start()
        return told

    def _tuning_job(self, message: Message, name: str) -> TuningJob:
        folder = self._shop.folder / name.rpartition("/")[2]
        search = search_of(message)
        return TuningJob(plain(message), name, search=search, folder=folder, seed=self._seed, create=self._trial)

    def _trial(self, tuning: TuningJob, number: int, arguments: Mapping[str, str | float]) -> CustomJob:
        """Return the custom job of a trial: of its own name, and with a folder of its own in the job's."""
        spec = tuning.request["trialJobSpec"]
        root = spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "")
        request = {
            "displayName": f"{tuning.request['displayName'][:100]}-trial-{number + 1}",
            "jobSpec": spec,
            **({"labels": tuning.request["labels"]} if "labels" in tuning.request else {}),
        }
        job = CustomJob(
            request,
            self._name("CustomJob", tuning.name.partition("/hyperparameterTuningJobs/")[0]),
            self._shop,
            trial=str(number + 1),
            parameters=arguments,
            output=f"{root.rstrip('/')}/{number + 1}" if root else "",
            follower=tuning,
        )
        with self._lock:
            self._jobs[job.name] = job
        return job

    def _name(self, kind: str, parent: str) -> str:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return f"{parent}/{COLLECTIONS[kind]}/{self._last}"

    def job(self, kind: str, name: str) -> Job:
        """Return a job by its name.

        Raises:
            Refused: there is none.
        """
        job = self._jobs.get(name)
        if job is None or job.kind != kind:
            raise not_found(kind, name)
        return job

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return a job in JSON.

        Raises:
            Refused: there is none.
        """
        return self.job(kind, name).message(self.lag)

    def list(self, kind: str, request: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
        """Return a page of jobs, the newest first, and the token of the next one; "" for none.

        Raises:
            Refused: the filter or the token cannot be read.
        """
        try:
            holds = compiled(request.get("filter", ""))
        except BadQuery as error:
            raise Refused("INVALID_ARGUMENT", str(error)) from None
        prefix = f"{request['parent']}/{COLLECTIONS[kind]}/"
        with self._lock:
            jobs = [job for name, job in reversed(self._jobs.items()) if name.startswith(prefix) and job.listed]
        found = [message for message in (job.message(self.lag) for job in jobs) if holds(message)]
        return page_of(found, request.get("pageSize", 0), request.get("pageToken", ""))

    def cancel(self, kind: str, name: str) -> None:
        """Ask a job to end; nothing if it has.

        Raises:
            Refused: there is none.
        """
        self.job(kind, name).cancel()

    def delete(self, kind: str, name: str) -> None:
        """Forget a job that has ended.

        Raises:
            Refused: there is none, or it has not ended.
        """
        job = self.job(kind, name)
        if job.status().state not in TERMINAL:
            raise Refused(
                "FAILED_PRECONDITION", f"The {kind} is in state {job.status().state}; cancel it first: {name}"
            )
        with self._lock:
            self._jobs.pop(name, None)

    @property
    def lag(self) -> float:
        """Seconds by which answers about jobs and operations lag behind."""
        return self._shop.faults.slow

    # What the emulator asks for

    def preempt(self, name: str) -> None:
        """Take the machines of a custom job away.

        Raises:
            Refused: there is none.
        """
        job = self.job("CustomJob", name)
        assert isinstance(job, CustomJob)
        job.preempt()

    def wait(self, name: str, timeout: float | None) -> str:
        """Wait for the end of a tuning job, and return its state.

        Raises:
            Refused: there is none.
        """
        job = self.job("HyperparameterTuningJob", name)
        assert isinstance(job, TuningJob)
        job.join(timeout)
        return job.status().state

    def close(self) -> None:
        """End all jobs at once."""
        with self._lock:
            jobs, self._jobs = list(self._jobs.values()), {}
        closing: list[Callable[[], None]] = [job.shut for job in jobs if isinstance(job, TuningJob)]
        closing += [job.close for job in jobs if isinstance(job, CustomJob)]
        for close in closing:
            close()
