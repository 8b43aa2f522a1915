"""What trials print, from Cloud Logging."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from cloudtune_vertex.client import Google, translated

_LATE = 30.0
"""Seconds by which a line may come later to Cloud Logging than one that was printed after it."""


def lines_of(
    google: Google, condition: Callable[[], str], since: float, over: Callable[[], bool], interval: float
) -> Iterator[str]:
    """Return the lines that match, with those to come until it is over.

    Args:
        google: the clients.
        condition: gives a query of Cloud Logging; "" while it is not known yet.
        since: seconds since 1970 before which there is nothing to read.
        over: says whether no more are to come.
        interval: seconds between two looks.
    """
    seen: set[str] = set()
    newest = since
    query = ""
    while True:
        last = over()
        query = query or condition()
        for entry in _entries(google, query, newest - _LATE) if query else ():
            if entry.insert_id not in seen:
                seen.add(entry.insert_id)
                newest = max(newest, entry.timestamp.timestamp() if entry.timestamp else newest)
                yield from _text(entry.payload).splitlines()
        if last:
            return
        time.sleep(interval)


def _entries(google: Google, condition: str, since: float) -> list[Any]:
    begin = datetime.fromtimestamp(max(since, 0.0), UTC).isoformat()
    with translated("reading Cloud Logging"):
        read = google.patient(google.logging.list_entries)
        return list(read(filter_=f'{condition} AND timestamp>="{begin}"', order_by="timestamp asc", page_size=1000))


def _text(payload: Any) -> str:
    """Return the line in an entry: the service makes objects of lines, with the text as their message."""
    if isinstance(payload, dict):
        return str(payload.get("message", ""))
    return str(payload or "")


def of_custom_job(job: str, *, tuning_job: str = "", trial: str = "") -> str:
    """Return the condition that finds what the first machine of a custom job printed.

    Args:
        job: the custom job's id; "" where it is not known.
        tuning_job: the id of the tuning job whose trial it is.
        trial: the trial's id there.
    """
    first = 'resource.type="ml_job" AND resource.labels.task_name="workerpool0-0"'
    own = f'resource.labels.job_id="{job}"'
    whole = f'(resource.labels.job_id="{tuning_job}" AND labels."ml.googleapis.com/trial_id"="{trial}")'
    if not tuning_job:
        return f"{first} AND {own}"
    return f"{first} AND ({own} OR {whole})" if job else f"{first} AND {whole}"
