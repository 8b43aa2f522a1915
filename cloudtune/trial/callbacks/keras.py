"""Keras 3, with any backend: report after each epoch."""

from __future__ import annotations

from cloudtune.trial.callbacks import Reporter, missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.trial.callbacks import Chosen

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise
    raise missing("Keras", "keras") from None


class TuneCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the logs of each epoch, by Keras' names: ``loss``, ``val_loss``, ``val_accuracy``. The step is the epoch, from 1.

    For trials that go on after a pause, ``keras.callbacks.BackupAndRestore(trial.checkpoint_dir(), double_checkpoint=True)``
    stands before it in the list of callbacks: what it saves is there before the report, and the one before while it saves.

    Args:
        metrics: names of metrics, or Keras' by the job's; None for all.
    """

    def __init__(self, metrics: Chosen = None) -> None:
        super().__init__()
        self._reporter = Reporter(metrics)

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002  # Keras' signature
        """Take SIGTERM for a request to end."""
        self._reporter.watch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """End the training where that was asked for."""
        if self._reporter.stopping:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report."""
        self._reporter.report(logs or {}, epoch + 1)

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Handle SIGTERM as before."""
        self._reporter.unwatch()
