"""CatBoost: report after each iteration."""

from __future__ import annotations

from importlib.util import find_spec

from cloudtune.trial.callbacks import Reporter, missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.trial.callbacks import Chosen

if find_spec("catboost") is None:
    raise missing("CatBoost", "catboost")


class TuneCallback:
    """Reports the metrics of each iteration as ``DATA-METRIC``, such as ``validation-Logloss`` and ``learn-Logloss``.

    The step is the iteration, from 1. A trial that is pruned ends at once, since CatBoost tells a callback of no end. For trials that go on after a pause, CatBoost has snapshots: ``fit(…,
    save_snapshot=True, snapshot_file=os.path.join(trial.checkpoint_dir(), "snapshot"))``.

    Args:
        metrics: names of metrics, or these names by the job's; None for all.
    """

    def __init__(self, metrics: Chosen = None) -> None:
        self._reporter = Reporter(metrics)

    def after_iteration(self, info: Any) -> bool:
        """Report; return True, so that the training goes on."""
        values = {f"{data}-{name}": log[-1] for data, logs in info.metrics.items() for name, log in logs.items() if log}
        self._reporter.report(values, int(info.iteration))
        return True
