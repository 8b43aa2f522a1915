"""LightGBM: report after each round of boosting."""

from __future__ import annotations

from cloudtune.trial.callbacks import Reporter, checkpoint_path, kept_checkpoint, missing, replace_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.trial.callbacks import Chosen

try:
    import lightgbm
except ModuleNotFoundError as error:
    if error.name != "lightgbm":
        raise
    raise missing("LightGBM", "lightgbm") from None

_FILE = "model.txt"


class TuneCallback:
    """Reports the metrics of each round as ``DATA-METRIC``, such as ``valid_0-binary_logloss``; of ``cv`` their means.

    The step is the number of rounds, from 1, those of an earlier attempt included.

    Args:
        metrics: names of metrics, or these names by the job's; None for all.
        checkpoint: after so many rounds each the model is saved before the report; 0 for never. The next attempt goes on with
            ``lightgbm.train(…, num_boost_round=total - callback.rounds, init_model=callback.init_model)``.
    """

    order = 20  # after the recording of evaluations (10), before early stopping (30)
    before_iteration = False

    def __init__(self, metrics: Chosen = None, *, checkpoint: int = 0) -> None:
        self._reporter = Reporter(metrics)
        self._checkpoint = checkpoint
        self.rounds = 0
        if self.init_model is not None:
            self.rounds = int(lightgbm.Booster(model_file=self.init_model).current_iteration())

    @property
    def init_model(self) -> str | None:
        """The model of an earlier attempt; None for none."""
        return kept_checkpoint(_FILE)

    def __call__(self, env: Any) -> None:
        """Report; end the training where that was asked for.

        Raises:
            lightgbm.callback.EarlyStopException: the trial is to end.
        """
        self._reporter.watch()
        done = env.iteration + 1 + (self.rounds if env.begin_iteration == 0 else 0)
        path = checkpoint_path(_FILE) if self._checkpoint and done % self._checkpoint == 0 else ""
        if path and hasattr(env.model, "save_model"):
            replace_with(path, env.model.save_model)
        results = env.evaluation_result_list or ()
        self._reporter.report({f"{each[0]}-{each[1]}": each[2] for each in results}, done)
        if self._reporter.stopping or env.iteration + 1 == env.end_iteration:
            self._reporter.unwatch()
        if self._reporter.stopping:
            raise lightgbm.callback.EarlyStopException(env.iteration, results)
