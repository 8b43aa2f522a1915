"""What one trial does: a copy of the Trainer trains with the trial's values."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from transformers.trainer_utils import TrainerMemoryTracker

import cloudtune.trial as trial
from cloudtune.huggingface.spaces import HpSpace, SuggestedTrial
from cloudtune.trial.callbacks.huggingface import TuneCallback, last_checkpoint

Objective = Callable[[dict[str, float]], Any]
"""Returns the objective, or the objectives, of the metrics of an evaluation."""


class Training:
    """Trains once with a trial's values; made in the caller's process, and called in the trial's.

    Args:
        trainer: see `travelling`.
        hp_space: which values become which ``TrainingArguments``; None where they have the same names.
        compute_objective: of the metrics of each evaluation.
        metrics: the names of the job's objectives.
        hp_name: the name of a trial's folder; None for ``run-ID``.
    """

    def __init__(
        self,
        trainer: Any,
        hp_space: HpSpace | None,
        compute_objective: Objective,
        metrics: Sequence[str],
        hp_name: Callable[[Any], str] | None,
    ) -> None:
        self._trainer, self._hp_space, self._hp_name = trainer, hp_space, hp_name
        self._objective, self._metrics = compute_objective, tuple(metrics)
        self.output_dir = str(Path(trainer.args.output_dir).absolute())

    def __call__(self, **values: Any) -> None:
        """Train, and evaluate once where the training did not."""
        trainer = self._trainer
        suggested = SuggestedTrial(values, trial.number())
        arguments = values if self._hp_space is None else self._hp_space(suggested)
        given = values if self._hp_space is None else suggested
        name = f"run-{run_name(trial.run_id(), trial.number())}" if self._hp_name is None else self._hp_name(given)
        folder = str(Path(self.output_dir, name))
        set_arguments(trainer, {**arguments, "output_dir": folder})
        callback = _ObjectiveCallback(self._objective, self._metrics)
        trainer.add_callback(callback)
        trainer.model_init = _with_trial(trainer.model_init, given)
        trainer.train(resume_from_checkpoint=last_checkpoint(folder) if trial.attempt() > 1 else None)
        if not callback.ended:
            trainer.evaluate()


class _ObjectiveCallback(TuneCallback):
    """Reports each evaluation, and the objective that is computed of it."""

    def __init__(self, compute_objective: Objective, names: tuple[str, ...]) -> None:
        super().__init__()
        self._compute, self._names = compute_objective, names
        self._evaluated = False

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to evaluate: it was, or the trial is to end."""
        return self._evaluated or self._reporter.stopping

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **more: Any) -> None:
        """Report.

        Raises:
            TypeError: there are more objectives, or fewer, than directions.
        """
        self._evaluated = True
        found = self._compute(dict(metrics or {}))
        values = [*found] if isinstance(found, list | tuple) else [found]
        if len(values) != len(self._names):
            raise TypeError(
                f"compute_objective returned {len(values)} values, and direction says {len(self._names)}; one belongs to each"
            )
        metrics = {**(metrics or {}), **dict(zip(self._names, values, strict=True))}
        super().on_evaluate(args, state, control, metrics=metrics, **more)


def _with_trial(model_init: Callable[..., Any], given: Any) -> Callable[[], Any]:
    """Return a function that makes the model of a trial: ``train(trial=…)`` takes trials of Transformers' own backends alone."""
    return partial(model_init, given) if signature(model_init).parameters else model_init


def run_name(run_id: str, number: int) -> str:
    """Return the id of a trial as Transformers has it: with ``run-`` before it, the name of the folder of its checkpoints."""
    return f"{run_id}-{number}"


def travelling(trainer: Any) -> Any:
    """Return a copy of a trainer without what belongs to this process: its model, which `model_init` makes anew, and devices."""
    copied = copy(trainer)
    for name in ("model", "model_wrapped", "optimizer", "lr_scheduler", "accelerator", "gather_function"):
        setattr(copied, name, None)
    copied._memory_tracker = TrainerMemoryTracker(skip_memory_metrics=True)  # noqa: SLF001  # it has no other name
    copied.callback_handler = copy(trainer.callback_handler)
    copied.callback_handler.callbacks = [
        each for each in trainer.callback_handler.callbacks if not isinstance(each, TuneCallback)
    ]
    for name in ("model", "optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader"):
        setattr(copied.callback_handler, name, None)
    copied.args = copy(trainer.args)
    for name in [name for name in vars(copied.args) if name.endswith("_setup_devices")]:
        delattr(copied.args, name)  # found anew where the trial runs
    return copied


def set_arguments(trainer: Any, values: Mapping[str, Any]) -> None:
    """Set fields of ``TrainingArguments``, and what the Trainer made of them; other names are for ``model_init`` alone."""
    for name, value in values.items():
        if hasattr(trainer.args, name):
            old = getattr(trainer.args, name)
            setattr(trainer.args, name, value if old is None or value is None else type(old)(value))
    trainer.args.device  # noqa: B018  # finds the devices here, which begins the state that accelerators go by
    trainer._train_batch_size = trainer.args.train_batch_size  # noqa: SLF001  # as Transformers does
    trainer.create_accelerator_and_postprocess()
