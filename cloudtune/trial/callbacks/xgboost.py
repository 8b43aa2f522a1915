"""XGBoost: report after each round of boosting."""

from __future__ import annotations

from cloudtune.trial.callbacks import Reporter, checkpoint_path, kept_checkpoint, missing, replace_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.trial.callbacks import Chosen

try:
    import xgboost
except ModuleNotFoundError as error:
    if error.name != "xgboost":
        raise
    raise missing("XGBoost", "xgboost") from None

_FILE = "model.ubj"


class TuneCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Reports the metrics of each round as ``DATA-METRIC``, such as ``validation-logloss``: the names that XGBoost prints.

    The step is the number of rounds, from 1, those of an earlier attempt included. In distributed training the process of
    rank 0 reports.

    Args:
        metrics: names of metrics, or XGBoost's by the job's; None for all.
        checkpoint: after so many rounds each the model is saved before the report; 0 for never. The next attempt goes on with
            ``xgboost.train(…, num_boost_round=total - callback.rounds, xgb_model=callback.xgb_model)``.
    """

    def __init__(self, metrics: Chosen = None, *, checkpoint: int = 0) -> None:
        super().__init__()
        self._reporter = Reporter(metrics)
        self._checkpoint = checkpoint
        self.rounds = 0
        if self.xgb_model is not None:
            self.rounds = int(xgboost.Booster(model_file=self.xgb_model).num_boosted_rounds())

    @property
    def xgb_model(self) -> str | None:
        """The model of an earlier attempt; None for none."""
        return kept_checkpoint(_FILE)

    def before_training(self, model: Any) -> Any:
        """Take SIGTERM for a request to end."""
        self._reporter.watch()
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002  # XGBoost's signature
        """Report; return whether the training ends here."""
        done = int(model.num_boosted_rounds())
        path = checkpoint_path(_FILE) if self._checkpoint and done % self._checkpoint == 0 else ""
        first = xgboost.collective.get_rank() == 0
        if path and first:
            replace_with(path, model.save_model)
        values = {f"{data}-{name}": _value(log[-1]) for data, logs in evals_log.items() for name, log in logs.items()}
        if first:
            self._reporter.report(values, done)
        return self._reporter.stopping

    def after_training(self, model: Any) -> Any:
        """Handle SIGTERM as before."""
        self._reporter.unwatch()
        return model


def _value(score: Any) -> Any:
    """Return a score; of cross-validation, which gives mean and deviation, the mean."""
    return score[0] if isinstance(score, tuple) else score
