"""fastai: report after each epoch."""

from __future__ import annotations

from pathlib import Path

from cloudtune.trial.callbacks import Reporter, checkpoint_path, missing, replace_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cloudtune.trial.callbacks import Chosen

try:
    from fastai.callback.core import Callback, CancelFitException
    from fastai.learner import load_model, save_model
except ModuleNotFoundError as error:
    if error.name != "fastai":
        raise
    raise missing("fastai", "fastai") from None


class TuneCallback(Callback):  # type: ignore[misc]
    """Reports what fastai's Recorder has of each epoch, by its names: ``train_loss``, ``valid_loss`` and the metrics'.

    The step is the number of epochs, from 1, over all calls of ``fit`` together. A trial that is pruned ends after its batch. The finder of
    learning rates and predictions report nothing.

    Args:
        metrics: names of metrics, or fastai's by the job's; None for all.
        checkpoint: whether to save model and optimizer before each report; the next attempt loads them at the start of its first
            ``fit``, and goes on with ``learn.fit(…, start_epoch=callback.start_epoch)``.
    """

    order = 65  # after the Recorder (50), and callbacks that save (61)

    def __init__(self, metrics: Chosen = None, *, checkpoint: bool = False) -> None:
        self._reporter = Reporter(metrics)
        self._checkpoint = checkpoint
        self._epochs = 0  # of earlier calls of fit
        self._skipped = False
        self._kept = _newest() if checkpoint else None
        self.start_epoch = 0 if self._kept is None else _epoch(self._kept)

    def before_fit(self) -> None:
        """Take SIGTERM for a request to end; load what an earlier attempt saved."""
        self.run = not hasattr(self.learn, "lr_finder") and not hasattr(self.learn, "gather_preds")
        if not self.run:
            return
        self._reporter.watch()
        if self._kept is not None:
            given = self.learn.opt.hypers  # a checkpoint may be another trial's, of another rate
            load_model(self._kept, self.learn.model, self.learn.opt, device=self.learn.dls.device)
            self.learn.opt.hypers, self._kept = given, None

    def after_batch(self) -> None:
        """End the training where that was asked for.

        Raises:
            CancelFitException: the trial is to end.
        """
        if self._reporter.stopping:
            raise CancelFitException

    def after_cancel_epoch(self) -> None:
        """Note an epoch that was left out, of which there is nothing to report."""
        self._skipped = True

    def after_epoch(self) -> None:
        """Report."""
        skipped, self._skipped = self._skipped, False
        recorder = self.learn.recorder
        names = [name for name in recorder.metric_names if name not in ("epoch", "time")]
        if skipped or len(names) != len(recorder.values[-1]):
            return
        done = self._epochs + int(self.learn.epoch) + 1
        if self._checkpoint and (path := checkpoint_path(f"epoch-{done}.pth")):
            before = _newest()
            replace_with(path, lambda fresh: save_model(fresh, self.learn.model, self.learn.opt))
            if before is not None and str(before) != path:
                before.unlink(missing_ok=True)
        self._reporter.report(dict(zip(names, recorder.values[-1])), done)  # noqa: B905  # not in Python 3.8

    def after_fit(self) -> None:
        """Handle SIGTERM as before."""
        self._epochs += int(self.learn.n_epoch)
        self._reporter.unwatch()


def _newest() -> Path | None:
    """Return the newest checkpoint of the trial; None for none."""
    folder = checkpoint_path("")
    found = [path for path in Path(folder).glob("epoch-*.pth") if _epoch(path)] if folder else []
    return max(found, key=_epoch, default=None)


def _epoch(path: Path) -> int:
    number = path.stem.partition("-")[2]
    return int(number) if number.isdigit() else 0
