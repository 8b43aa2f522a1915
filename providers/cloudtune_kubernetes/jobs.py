"""Trials as Jobs of a cluster.

However many trials run, two watches tell how they stand; a poll makes no call but for logs: that of a running pod is followed
by one call, and that of a pod that has ended is read by one more.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from cloudtune.driver.interrupt import Condition
from cloudtune.driver.outputs import RunBrief, followed
from cloudtune.driver.polling import JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import exceeds
from cloudtune.errors import ProviderError, TrialError, ignoring
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Report, Trial, TrialState
from cloudtune.trial.printed_metrics import PrintedMetrics
from cloudtune_kubernetes.client import EXISTS, FOR_GOOD, GONE, Cluster
from cloudtune_kubernetes.feed import Feed, Object
from cloudtune_kubernetes.files import files_of
from cloudtune_kubernetes.logs import WITHOUT_LOG, PodLog, log_of
from cloudtune_kubernetes.names import ATTEMPT, RUN, TRIAL, run_name, trial_labels, trial_name
from cloudtune_kubernetes.parse import Standing, standing
from cloudtune_kubernetes.pod import CONTAINER
from cloudtune_kubernetes.storage import remove, remove_all
from cloudtune_kubernetes.values import parameters_of
from cloudtune_kubernetes.waiting import Waiting
from cloudtune_kubernetes.workload import job_in

_FOLLOWED = 128
"""Logs that are followed at once: those of further trials are read at their ends."""

_READ = 32
"""Logs that are read to their ends in one poll."""

_UNREAD = 60.0
"""Seconds for which the log of a pod that has ended may be out of reach, as on a dead node, before its trial ends without it."""

_BEHIND = 2.0
"""Seconds that what follows a log may take to come to an end that has been told."""

_UNREAD_ATTEMPTS = 3
"""The attempt of a trial that is not made again where its log is out of reach."""

_UNHEARD = "its pod is gone, and what it printed with it"

_APPEARS = 30.0
"""Seconds within which the watch tells of a Job that was made; after that it is asked for."""


@dataclass(slots=True)
class _Known:
    """What is known of a Job that was submitted or found.

    Attributes:
        trial: whose attempt it is.
        metrics: reads what it prints.
        since: when it was first polled, in seconds of `time.monotonic`.
        log: of its pod of rank 0; None before it runs.
        waiting: what it waits for.
        seen: whether the watch has told of it.
        began: whether its container ran.
        unread: since when its whole log could not be read, in seconds of `time.monotonic`; None for not at all.
        heard: whether lines of it were written down while it ran.
        read: whether all that it printed has been read, as far as it can be.
        failed: why it is ended from here; "" for no reason.
        end: how it ended; None while it runs.
    """

    trial: Trial
    metrics: PrintedMetrics
    since: float
    log: PodLog | None = None
    waiting: Waiting = field(default_factory=Waiting)
    seen: bool = False
    began: bool = False
    unread: float | None = None
    heard: bool = False
    read: bool = False
    failed: TrialSnapshot | None = None
    end: TrialSnapshot | None = None


class KubernetesRunner(JobRunner):
    """Runs each trial of a run as a Job.

    Args:
        cluster: where they run.
        brief: what is asked for the run.
        folder: of the run, for what trials print.
    """

    once = True
    for_good = FOR_GOOD

    kind: ClassVar[str] = "jobs"
    """The kind of the objects that tell how attempts stand."""

    deleted: ClassVar[str] = "its Job was deleted"
    """What is said of an attempt that was deleted."""

    loses_unread: ClassVar[bool] = True
    """Whether an attempt that ended well is lost where nothing of its results can be known."""

    def __init__(self, cluster: Cluster, brief: RunBrief, folder: Path) -> None:
        super().__init__(brief)
        self._cluster, self._folder = cluster, folder
        self._name = run_name(brief.job.name, brief.id)
        self._patterns = metric_patterns(brief.job.measured, brief.job.metrics)
        self._feeds = {kind: Feed(cluster, kind, self._selector()) for kind in (self.kind, "pods")}
        self._known: dict[str, _Known] = {}
        self._attempts: dict[str, int] = {}
        self._unread = False

    def _selector(self) -> str:
        """Return the labels of what is watched."""
        return f"{RUN}={self._name}"

    def prepare(self) -> None:
        super().prepare()
        self.watch()

    def watch(self) -> None:
        """Begin to watch, unless that has begun."""
        for feed in self._feeds.values():
            feed.start()

    def close(self) -> None:
        """End the watches, and follow no log any more."""
        for feed in self._feeds.values():
            feed.close()
        for known in self._known.values():
            if known.log is not None:
                known.log.close()

    def place(self, trial: Trial) -> str:
        return trial_name(self._name, trial.number, trial.attempt)

    # One Job

    def submit(self, trial: Trial) -> None:
        self._attempts[str(trial.number)] = trial.attempt
        path, query = self._cluster.path("jobs"), {"fieldValidation": "Strict"}
        with ignoring(EXISTS):
            self._cluster.call(f"starting trial {trial.number}", "POST", path, query, self._request(trial))

    def _request(self, trial: Trial) -> dict[str, Any]:
        """Return the Job of one attempt."""
        place, spec = self.place(trial), self.template["spec"]
        labels = trial_labels(self._name, trial.number, trial.attempt)
        arguments, own = parameters_of(self.brief.job, trial)
        own.update(self.variables(trial))
        if trial.parent is not None:
            own["CLOUDTUNE_PARENT"] = str(trial.parent)
        template = _labelled(spec["template"], labels)
        containers = [_with(each, place, arguments, own) for each in template["spec"]["containers"]]
        template = {**template, "spec": {**template["spec"], "containers": containers}}
        request = _labelled({**self.template, "spec": {**spec, "template": template}}, labels)
        return {**request, "metadata": {**request["metadata"], "name": place}}

    def find(self, trial: Trial) -> bool:
        self._attempts[str(trial.number)] = trial.attempt
        return self.place(trial) in self._feeds["jobs"].objects()

    def stop(self, place: str) -> None:
        with ignoring(GONE):
            options = {"propagationPolicy": "Foreground"}  # the Job is there until its pods are gone
            self._cluster.call(f"stopping {place}", "DELETE", self._cluster.path("jobs", place), body=options)

    def stop_all(self) -> None:
        """Ask all Jobs of the run to end."""
        remove(self._cluster, self._name, ("jobs",))

    def settle(self) -> None:
        """Remove what the run has in the cluster, and of what travelled in the profile's storage."""
        remove_all(self._cluster, self._name, self.brief.job)

    # One poll

    @property
    def has_more(self) -> bool:
        return self._unread

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        asked = {self.place(trial): trial for trial in trials}
        now = time.monotonic()
        self._known = {
            place: self._known.get(place) or _Known(trial, PrintedMetrics(self._patterns), now)
            for place, trial in asked.items()
        }
        jobs, pods = self._jobs(), self._pods()
        stands = {place: self._standing(known, jobs[place], pods.get(place, ())) for place, known in self._known.items() if place in jobs}  # fmt: skip
        self._end_late(jobs)
        snapshots = [self._look(place, known, stands.get(place)) for place, known in self._known.items()]
        self._read_ends(stands)
        return [
            self._with_reports(place, known.end or seen)
            for (place, known), seen in zip(self._known.items(), snapshots, strict=True)
        ]

    def _jobs(self) -> Mapping[str, Object]:
        """Return the Jobs of attempts by their names."""
        return self._feeds["jobs"].objects()

    def _place_of(self, pod: Object) -> str:
        """Return the place of the attempt that a pod is of; "" for none."""
        labels = pod["metadata"]["labels"]
        found = TRIAL in labels and ATTEMPT in labels
        return trial_name(self._name, int(labels[TRIAL]), int(labels[ATTEMPT])) if found else ""

    def _pods(self) -> dict[str, list[Object]]:
        """Return the pods by the Job that they are of, the newest last."""
        found: dict[str, list[Object]] = {}
        own = sorted(self._feeds["pods"].objects().values(), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        for pod in own:
            if place := self._place_of(pod):
                found.setdefault(place, []).append(pod)
        return found

    def _standing(self, known: _Known, job: Object, pods: Sequence[Object]) -> Standing:
        """Return how an attempt stands; where its Job has ended before the other watch told of its pods, those are asked for."""
        stands = standing(job, pods)
        if pods or known.read or not stands.state.ended:
            return stands
        return standing(job, self.pods(known.trial))

    def _end_late(self, jobs: Mapping[str, Object]) -> None:
        """End Jobs of attempts that are over: made by a call of a driver that died before the answer came."""
        for place, job in jobs.items():
            labels = job["metadata"]["labels"]
            over = int(labels.get(ATTEMPT, 0)) < self._attempts.get(labels.get(TRIAL, ""), 0)
            ended = "completionTime" in (job.get("status") or {}) or bool((job.get("status") or {}).get("conditions"))
            if over and place not in self._known and not ended and "deletionTimestamp" not in job["metadata"]:
                self.stop(place)

    def _look(self, place: str, known: _Known, stands: Standing | None) -> TrialSnapshot:
        """Return how an attempt stands, but for its reports."""
        number = known.trial.number
        if stands is None:
            return self._without_job(place, known)
        known.seen, known.began = True, known.began or stands.running
        heard = known.log is not None and known.log.pod == stands.pod
        if stands.running and not heard and self._follows < _FOLLOWED:
            self._log_of(known, stands.pod).follow()
        if stands.state is TrialState.RUNNING:
            if self._lasts_too_long(stands) and known.failed is None:
                self._fail(place, known, TrialSnapshot(number, place, TrialState.FAILED, started=stands.started, too_long=True))  # fmt: skip
            if stands.wait == "queued" and known.began and known.failed is None:
                self._fail(place, known, TrialSnapshot(number, place, TrialState.FAILED, reason=f"its queue took its pod away: {stands.reason}", lost=True, preempted=True))  # fmt: skip
            waits = self._waits(place, known, stands)
            return TrialSnapshot(number, place, started=stands.started, waiting=waits)
        if known.end is None and known.failed is not None and stands.state is TrialState.FAILED:
            known.end = known.failed
        if known.end is None:
            known.end = replace(_end(number, place, stands), too_long=stands.too_long or exceeds(self.brief.job, stands.started, stands.ended))  # fmt: skip
        return known.end

    def _lasts_too_long(self, stands: Standing) -> bool:
        """Return whether an attempt that runs is to be ended from here for its time."""
        return exceeds(self.brief.job, stands.started, time.time())

    @property
    def _follows(self) -> int:
        return sum(known.log is not None and known.log.followed and known.end is None for known in self._known.values())

    def _without_job(self, place: str, known: _Known) -> TrialSnapshot:
        """Return how an attempt stands whose Job the watch does not tell of: not yet, or not any more."""
        number = known.trial.number
        if not known.seen and time.monotonic() - known.since < _APPEARS:
            return TrialSnapshot(number, place)
        if not known.seen:
            known.since = time.monotonic()
            with ignoring(GONE):
                self._cluster.call(f"looking for {place}", "GET", self._cluster.path(self.kind, place))
                return TrialSnapshot(number, place)
        gone = TrialSnapshot(number, place, TrialState.CANCELLED, ended=time.time(), reason=self.deleted, retry=False)
        known.end = known.failed or gone
        return known.end

    def _fail(self, place: str, known: _Known, failed: TrialSnapshot) -> None:
        """End an attempt from here."""
        known.failed = replace(failed, ended=time.time())
        self.stop(place)

    def _waits(self, place: str, known: _Known, stands: Standing) -> str:
        """Return what an attempt waits for; end one that has waited for longer than the profile says."""
        if known.failed is not None:
            return known.waiting.told
        told = known.waiting.see(self._cluster, place, stands)
        if said := known.waiting.too_long(self._cluster.settings):
            number, unplaced = known.trial.number, stands.wait == "placing"
            failed = TrialSnapshot(number, place, TrialState.FAILED, reason=said, retry=False, unplaced=unplaced)
            self._fail(place, known, failed)
        return told

    # What was printed

    def _read_ends(self, stands: Mapping[str, Standing]) -> None:
        """Read the whole logs of pods that have ended; some the next time, if there are many."""
        left = [place for place, known in self._known.items() if known.end is not None and not known.read]
        for place in left[:_READ]:
            self._read_end(self._known[place], stands.get(place))
        self._unread = len(left) > _READ

    def _read_end(self, known: _Known, stands: Standing | None) -> None:
        """Read the log of an attempt that has ended, if its pod is still there."""
        if stands is None or not stands.pod:
            self._leave_unread(known)
            return
        log = self._log_of(known, stands.pod)
        try:
            lines = log.read()
        except ProviderError as error:
            known.unread = known.unread or time.monotonic()
            gone = error.code in WITHOUT_LOG or stands.lost
            if not gone and (not error.retryable or error.code == "Connection"):
                raise
            if gone or time.monotonic() - known.unread > _UNREAD:
                self._leave_unread(known)
            return
        known.read = True
        log.close()
        _write(self._file(known.trial), lines, "w")
        self._part(known.trial).unlink(missing_ok=True)

    def _leave_unread(self, known: _Known) -> None:
        """End an attempt whose log is out of reach: one that ended well is lost with its results, unless all was heard before."""
        known.unread, known.read = known.unread or time.monotonic(), True
        if known.end is None or known.end.state is not TrialState.COMPLETED or not self.loses_unread:
            return
        if (
            known.log is not None and known.log.followed and not known.log.whole
        ):  # the thread that follows it may be behind
            known.read = time.monotonic() - known.unread > _BEHIND
        if known.read and (known.log is None or not known.log.whole) and known.trial.attempt < _UNREAD_ATTEMPTS:
            known.end = replace(known.end, state=TrialState.FAILED, lost=True, reason=_UNHEARD)

    def read_unread(self, trials: Iterable[Trial]) -> None:
        """Read the logs of trials that have ended under a driver that did not get to it, or whose files went with its pod.

        Raises:
            ProviderError: the cluster cannot be reached, or refuses.
        """
        unread = [trial for trial in trials if trial.state.ended and trial.place and not self._file(trial).is_file()]
        for trial in unread:
            pod = self._pod(trial)
            if pod:
                _write(self._file(trial), log_of(self._cluster, pod), "w")

    def _container(self, pod: str) -> str:  # noqa: ARG002  # the same in each
        """Return the container of a pod that tells what its trial prints."""
        return CONTAINER

    def _log_of(self, known: _Known, pod: str) -> PodLog:
        """Return the log of a pod of rank 0; that of the one before it, which its Job has replaced, is followed no longer."""
        if known.log is None or known.log.pod != pod:
            before = known.log
            known.log = PodLog(self._cluster, pod, () if before is None else before.taken(), self._container(pod))
            if before is not None:
                before.close()
        return known.log

    def _file(self, trial: Trial) -> Path:
        """Return the file with all that an attempt printed."""
        return self._folder / "trials" / f"{trial.number:05d}" / f"printed-{trial.attempt}.txt"

    def _part(self, trial: Trial) -> Path:
        """Return the file with what was heard of an attempt: all there is of one whose pod was removed."""
        return self._file(trial).with_suffix(".part")

    def _with_reports(self, place: str, seen: TrialSnapshot) -> TrialSnapshot:
        """Return a snapshot with the reports that no earlier one had; as ended only with all of them."""
        known = self._known[place]
        lines = [] if known.log is None else known.log.taken()
        trial = known.trial
        if lines and not self._file(trial).is_file():
            _write(self._part(trial), [line.text for line in lines], "a" if known.heard else "w")
            known.heard = True
        found = known.metrics.read_many([line.text for line in lines])
        reports = [
            Report(trial.number, trial.attempt, step, lines[index].time, metrics) for index, step, metrics in found
        ]
        if seen.state.ended and not known.read:
            return TrialSnapshot(trial.number, place, started=seen.started, reports=reports)
        return replace(seen, reports=reports)

    # What trials leave

    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        file, part = self._file(trial), self._part(trial)

        def read(count: int) -> Sequence[str]:
            if file.is_file():
                return _lines_in(file)[count:]
            pod = self._pod(trial)
            lines = log_of(self._cluster, pod, self._container(pod))[count:] if pod else ()
            return lines if lines or not part.is_file() else _lines_in(part)[count:]

        yield from followed(read, over, self.brief.soon)

    def _pod(self, trial: Trial) -> str:
        """Return the pod of rank 0 of a trial; "" where there is none."""
        return standing({"metadata": {}}, self.pods(trial)).pod

    def _labels(self, trial: Trial) -> dict[str, str]:
        """Return the labels of the pods of an attempt."""
        return trial_labels(self._name, trial.number, trial.attempt)

    def pods(self, trial: Trial) -> Sequence[Object]:
        """Return the pods of a trial, as the cluster has them now.

        Raises:
            ProviderError: the cluster cannot be reached, or refuses.
        """
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in self._labels(trial).items())}
        found: list[Object] = self._cluster.call("looking for pods", "GET", self._cluster.path("pods"), query)["items"]
        return found

    def _folder_of(self, trial: Trial) -> str:
        """Return the name of a trial's folder on the run's volume."""
        return str(trial.number)

    def files(self, trial: Trial, target: Path) -> list[Path]:
        request: Any = job_in(self.brief.plan.request)
        found = files_of(self._cluster, request, self._name, self._folder_of(trial), target)
        if not found:
            raise TrialError(f"trial {trial.number} left no files")
        return found


def _write(file: Path, lines: Sequence[str], mode: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open(mode, encoding="utf-8", errors="backslashreplace") as opened:
        opened.writelines(f"{line}\n" for line in lines)


def _lines_in(file: Path) -> list[str]:
    return file.read_text("utf-8", errors="replace").splitlines()


def _end(number: int, place: str, stands: Standing) -> TrialSnapshot:
    return TrialSnapshot(
        number,
        place,
        stands.state,
        started=stands.started,
        ended=stands.ended,
        reason=stands.reason,
        lost=stands.lost,
        preempted=stands.preempted,
    )


def _labelled(part: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a Job, or its pod template, with further labels."""
    metadata = part.get("metadata") or {}
    return {**part, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}


def _with(container: Mapping[str, Any], place: str, arguments: Sequence[str], own: Mapping[str, str]) -> dict[str, Any]:
    """Return the container of a trial with further arguments and variables; another one as it is."""
    if container.get("name") != CONTAINER:
        return dict(container)
    kept = [each for each in container.get("env", ()) if each["name"] not in own]
    env = [{**each, "value": each["value"].replace("${trial}", place)} if "value" in each else each for each in kept]
    env += [{"name": name, "value": value} for name, value in own.items()]
    return {**container, "env": env, **({"args": [*container.get("args", ()), *arguments]} if arguments else {})}
