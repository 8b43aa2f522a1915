"""What training jobs print, from CloudWatch Logs."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ignoring
from cloudtune_sagemaker.client import Aws, next_page, translated
from cloudtune_sagemaker.names import LOG_GROUP

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import FilterLogEventsRequestTypeDef

_NO_LOGS = frozenset({"ResourceNotFoundException"})
"""Code of the answer where nothing was ever printed in the account."""

_LATE = 120.0
"""Seconds by which a line may come later to CloudWatch than a line of another stream with a later time."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a training job printed.

    Attributes:
        training_job: the job's name.
        time: seconds since 1970.
        text: the line.
    """

    training_job: str
    time: float
    text: str


class LogStreams:
    """The lines of all training jobs whose names begin alike, as they come: one call for any number of jobs.

    Only the first machine of a job is listened to, as only the first process of a trial reports.

    Args:
        aws: the clients.
        prefix: of the jobs' names.
        since: seconds since 1970 before which there is nothing to read.
    """

    def __init__(self, aws: Aws, prefix: str, since: float) -> None:
        self._aws = aws
        self._prefix = prefix
        self._since = since
        self._token: str | None = None
        self._newest = since
        self._seen: dict[str, float] = {}
        self._of_this_pass: Collection[str] = ()

    @property
    def between_passes(self) -> bool:
        """Whether the next call begins a new pass over what has come, rather than going on with one."""
        return self._token is None

    def read(self, ended: Collection[str]) -> tuple[dict[str, list[Line]], Collection[str]]:
        """Read the next lines by one call.

        Args:
            ended: the jobs that have ended by now.

        Returns:
            Lines by the job that printed them, each job's in their order; and the jobs that had ended when the pass began
            which has now come to its end: all that they printed has been read.
        """
        if self.between_passes:
            self._of_this_pass = ended
        found: dict[str, list[Line]] = {}
        for line in self._page():
            found.setdefault(line.training_job, []).append(line)
        return found, self._of_this_pass if self.between_passes else ()

    def _page(self) -> list[Line]:
        request: FilterLogEventsRequestTypeDef = {
            "logGroupName": LOG_GROUP,
            "logStreamNamePrefix": self._prefix,
            "startTime": max(int(self._since * 1000) - 1, 0),
        }
        if self._token is not None:
            request["nextToken"] = self._token
        answer: Mapping[str, Any] = {}
        with ignoring(_NO_LOGS), translated("reading logs"):
            answer = self._aws.logs.filter_log_events(**request)
        lines = []
        for event in answer.get("events", []):
            moment = event["timestamp"] / 1000
            job, _, host = event["logStreamName"].partition("/")
            key = f"{event['logStreamName']} {event['eventId']}"
            if key in self._seen or not (job.startswith(self._prefix) and host.startswith("algo-1")):
                continue
            self._seen[key] = moment
            self._newest = max(self._newest, moment)
            lines.append(Line(job, moment, event["message"]))
        self._token = answer.get("nextToken")
        if self._token is None:
            self._move_on()
        return lines

    def _move_on(self) -> None:
        """Let the next pass begin where lines may still come late."""
        self._since = max(self._since, self._newest - _LATE)
        self._seen = {event: moment for event, moment in self._seen.items() if moment >= self._since - 1}


def lines_of(aws: Aws, training_job: str, over: Callable[[], bool], interval: float) -> Iterator[str]:
    """Return the lines of one training job, those of its first machine, until it is over and all has been read.

    Args:
        aws: the clients.
        training_job: its name.
        over: whether nothing more will come.
        interval: seconds between two looks for more.
    """
    stream: str | None = None
    token: str | None = None
    while True:
        ended = over()  # before the look: what came until then is read
        stream = stream or _stream_of(aws, training_job)
        while stream is not None:
            with translated(f"reading the log of {training_job}"):
                page = aws.logs.get_log_events(
                    logGroupName=LOG_GROUP,
                    logStreamName=stream,
                    startFromHead=True,
                    **next_page(token, "nextToken"),
                )
            yield from (event["message"] for event in page["events"])
            if page["nextForwardToken"] == token or not page["events"]:
                token = page["nextForwardToken"]
                break
            token = page["nextForwardToken"]
        if ended:
            return
        time.sleep(interval)


def _stream_of(aws: Aws, training_job: str) -> str | None:
    prefix = f"{training_job}/algo-1"
    with ignoring(_NO_LOGS), translated(f"looking for the log of {training_job}"):
        answer = aws.logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=prefix, limit=1)
        return next((stream["logStreamName"] for stream in answer["logStreams"]), None)
    return None
