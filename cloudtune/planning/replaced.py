"""Note the fields of a spec that native settings replace in the request: what they say is not what the service gets."""

import re
from collections.abc import Mapping
from typing import Any

from cloudtune.planning.plan import Ledger, Support, covers, leaves
from cloudtune.spec.job import TuningJob

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PARALLEL = "limits.parallel"


def note_replaced(ledger: Ledger, job: TuningJob, native_at: str, before: Any, after: Any) -> None:
    """Note each field whose value native settings replaced by another one.

    A limit is refused, and spot machines: the run's end, the machine-hours and the cost that the plan says go by the field
    of the spec.
    Only single values are compared: lists and mappings are merged, so that what the spec says is still there.

    Args:
        ledger: of the translation.
        job: the spec.
        native_at: the path of the native settings in the spec.
        before: the request without native settings.
        after: the request with them.
    """
    said = [path for path, _ in leaves(job)]
    for path, target in dict(ledger.targets()).items():
        own = path == _PARALLEL or any(covers(path, leaf) for leaf in said)  # which counts where it is not given, too
        if not own or covers(native_at, path):
            continue
        ours, theirs = _at(before, target), _at(after, target)
        if not isinstance(ours, str | int | float) or _same(ours, theirs):
            continue
        if (
            path == _PARALLEL
            and isinstance(theirs, int)
            and min(theirs, job.most_trials or theirs) <= job.limits.parallel
        ):
            continue  # no more run at once than the spec says
        where = f"{native_at}.{target}"
        if theirs is None:
            ledger.note(path, Support.APPROXIMATE, f"{where} takes it out of the request: the service's default counts")
        elif path.startswith("limits.") or path == "compute.spot":  # whose machines cost a third
            why = "the run's end and its greatest cost go by this field: say it here, and take that away"
            ledger.note(path, Support.UNSUPPORTED, f"{where} says {theirs!r} in its place, but {why}", target)
        else:
            ledger.note(path, Support.APPROXIMATE, f"{where} says {theirs!r} in its place", target)


def _at(request: Any, target: str) -> Any:
    """Return what a request has at a path such as ``a.b[0].c``; None where it has nothing."""
    part = request
    for name, index in _STEP.findall(target):
        if index:
            part = part[int(index)] if isinstance(part, list) and int(index) < len(part) else None
        else:
            part = part.get(name) if isinstance(part, Mapping) else None
    return part


def _same(ours: Any, theirs: Any) -> bool:
    """Return whether two values are the same, as numbers where both are: ``1`` and ``1.0``, ``"1e-05"`` and ``"0.00001"``."""
    try:
        return bool(ours == theirs) or float(ours) == float(theirs)
    except (TypeError, ValueError):
        return False
