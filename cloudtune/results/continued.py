"""The reports of a trial over its attempts, where a later one went on from an earlier one."""

from collections.abc import Iterable

from cloudtune.store.records import Report


def continued_reports(reports: Iterable[Report], attempt: int) -> list[Report]:
    """Return the reports of a trial's last attempt, after those of earlier ones that it went on from by a checkpoint.

    An attempt that begins at step 10 goes on from what earlier attempts reported up to step 9; one that begins anew with
    step 1 takes the place of all of them.

    Args:
        reports: of one trial, in the order in which they came.
        attempt: the last one.
    """
    found: list[Report] = []
    current = 0
    for report in reports:
        if report.attempt > attempt:
            continue
        if report.attempt != current:
            current = report.attempt
            found = [each for each in found if each.step < report.step]
        found.append(report)
    return found if current == attempt else []
