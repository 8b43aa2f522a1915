"""Hugging Face Transformers: report what a Trainer evaluates."""

from __future__ import annotations

import json
from pathlib import Path

from cloudtune.trial.callbacks import Reporter, missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.trial.callbacks import Chosen

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    if error.name != "transformers":
        raise
    raise missing("Hugging Face Transformers", "'transformers[torch]'") from None


class TuneCallback(TrainerCallback):  # type: ignore[misc]
    """Reports the metrics of each evaluation, by Transformers' names: ``eval_loss`` and those of ``compute_metrics``.

    Only the process of rank 0 reports. The step is the Trainer's global step.

    Args:
        metrics: names of metrics, or Transformers' by the job's; None for all.
    """

    def __init__(self, metrics: Chosen = None) -> None:
        self._reporter = Reporter(metrics)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  # their signature
        """Take SIGTERM for a request to end."""
        self._reporter.watch()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Report."""
        if state.is_world_process_zero:
            self._reporter.report(metrics or {}, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """End the training where that was asked for, with a checkpoint where those are saved."""
        if self._reporter.stopping:
            control.should_training_stop = True
            control.should_save = str(getattr(args.save_strategy, "value", args.save_strategy)) != "no"
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Handle SIGTERM as before."""
        self._reporter.unwatch()


def last_checkpoint(folder: str | None = None) -> str | None:
    """Return the newest whole checkpoint of an earlier attempt; None for none.

    With ``TrainingArguments(output_dir=trial.checkpoint_dir(), …)``, for ``trainer.train(resume_from_checkpoint=…)``. One that
    the end of the attempt cut is passed over: Trainer writes its own state last, before it removes older checkpoints.

    Args:
        folder: where the Trainer saves them; None for the trial's own.
    """
    import cloudtune.trial as trial  # noqa: PLC0415

    if not trial.active():
        return None
    found = Path(folder or trial.checkpoint_dir()).glob("checkpoint-*")
    numbered = [path for path in found if path.name.removeprefix("checkpoint-").isdigit() and _is_whole(path)]
    return str(max(numbered, key=lambda path: int(path.name.removeprefix("checkpoint-")))) if numbered else None


def _is_whole(checkpoint: Path) -> bool:
    """Return whether the state that is written last is there, and was not cut itself."""
    state = checkpoint / "trainer_state.json"
    try:
        json.loads(state.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True
