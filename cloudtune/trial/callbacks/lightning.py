"""Lightning: report after each validation. Of ``lightning`` as well as ``pytorch_lightning``, whichever the program imports."""

from __future__ import annotations

import os
import sys

from cloudtune.trial.callbacks import Reporter, checkpoint_path, kept_checkpoint, missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.trial.callbacks import Chosen


def _base() -> Any:
    from importlib import import_module  # noqa: PLC0415

    names = ["lightning.pytorch", "pytorch_lightning"]
    for name in sorted(names, key=lambda name: name not in sys.modules):
        try:
            return import_module(name).Callback
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != name.partition(".")[0]:
                raise
    raise missing("Lightning", "lightning")


class TuneCallback(_base()):  # type: ignore[misc]
    """Reports ``trainer.callback_metrics`` after each validation; without validation after each epoch of training.

    Only the process of rank 0 reports. The step is the number of epochs that have been trained, from 1. Lightning itself ends
    the training in all processes when one of them gets SIGTERM, which is how a trial is pruned.

    Args:
        metrics: names of metrics, or Lightning's by the job's; None for all.
        checkpoint: whether to save the trainer's state before each report, in all processes; the next attempt goes on with
            ``trainer.fit(model, ckpt_path=callback.ckpt_path)``.
    """

    def __init__(self, metrics: Chosen = None, *, checkpoint: bool = False) -> None:
        super().__init__()
        self._reporter = Reporter(metrics)
        self._checkpoint = checkpoint
        self._validated = False

    @property
    def ckpt_path(self) -> str | None:
        """The checkpoint of an earlier attempt, for ``trainer.fit``; None where there is none."""
        return kept_checkpoint("last.ckpt")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Report, unless it was the check before training."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._validated = True
            self._report(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Report where nothing is validated."""
        if not self._validated:
            self._report(trainer)

    def _report(self, trainer: Any) -> None:
        path = checkpoint_path("last.ckpt") if self._checkpoint else ""
        if path:
            trainer.save_checkpoint(f"{path}.new")  # in all processes, since strategies gather from all
            if trainer.is_global_zero:
                os.replace(f"{path}.new", path)  # noqa: PTH105
        if trainer.is_global_zero:
            self._reporter.report(trainer.callback_metrics, trainer.current_epoch + 1)
