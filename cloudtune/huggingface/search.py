"""The function `hyperparameter_search`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloudtune.errors import ConfigError, NoGoodTrial
from cloudtune.huggingface.spaces import DEFAULT_SPACE, HpSpace, recorded
from cloudtune.run import Run
from cloudtune.space.plain import PlainSpace
from cloudtune.store.records import Trial
from cloudtune.tuning import tune

_DIRECTIONS = {"minimize", "maximize"}


def hyperparameter_search(
    trainer: Any,  # a transformers.Trainer
    hp_space: HpSpace | PlainSpace | None = None,
    compute_objective: Callable[[dict[str, float]], Any] | None = None,
    n_trials: int = 20,
    direction: str | Sequence[str] = "minimize",
    hp_name: Callable[[Any], str] | None = None,
    **options: Any,
) -> Any:
    """Search for the best hyperparameters of a Trainer, as ``trainer.hyperparameter_search`` does, by a run of cloudtune.

    That method knows its own backends alone (Transformers 5: Optuna, Ray and W&B, an enumeration that is closed), so this is a
    function. Its arguments are the method's; what `tune` takes as well can be added: ``strategy``, ``parallel``, ``stopping``,
    ``limits``, ``constraints``, ``first``, ``name``, ``project``, ``quiet``.

    Each trial has a process of its own on this machine, trains a copy of the Trainer, and reports every evaluation, by which
    a stopping rule can end it. Checkpoints lie in ``OUTPUT_DIR/run-RUN_ID``. The Trainer itself stays as it was.

    Args:
        trainer: with a ``model_init``, which gets what the trial is: the values by name, or the trial that a function
            `hp_space` asks.
        hp_space: a space of cloudtune's by fields of ``TrainingArguments``, such as ``{"learning_rate": (1e-6, 1e-4, "log")}``;
            other names are for ``model_init`` alone. Or a function that asks a trial by ``suggest_float``, ``suggest_int`` and
            ``suggest_categorical``, as for Transformers' Optuna. None for the space of Transformers.
        compute_objective: of the metrics of an evaluation; None for ``transformers.trainer_utils.default_compute_objective``.
            The last evaluation of a trial counts.
        n_trials: number of trials.
        direction: ``minimize`` or ``maximize``; a list with one for each value of `compute_objective` where it returns several.
        hp_name: returns the name of a trial's folder; None for ``run-RUN_ID``.
        **options: of `tune`.

    Raises:
        RuntimeError: the Trainer has no ``model_init``.
        ValueError: a direction is neither ``minimize`` nor ``maximize``.
        TypeError: `hp_space` asks for nothing that can be searched; the Trainer is distributed or bound to DeepSpeed, or holds
            what cannot be handed to a trial; a place other than this machine, or the strategy ``population``, is asked for; says
            what to do.
        ConfigError: Transformers is not installed.
        SpecError: the space or an option is not valid.
        NoGoodTrial: no trial has a result.

    Returns:
        ``transformers.trainer_utils.BestRun`` of the best trial, or a list of those that no other beats for several
        directions: ``run_id``, ``objective``, ``hyperparameters``, and as ``run_summary`` the `cloudtune.Run`.
    """
    directions = [direction] if isinstance(direction, str) else list(direction)
    _check(trainer, directions, options)
    try:
        from transformers.trainer_utils import BestRun, default_compute_objective  # noqa: PLC0415

        from cloudtune.huggingface.training import Training, run_name, travelling  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"cloudtune.huggingface needs {error.name}; install it with: pip install 'transformers[torch]'"
        ) from error
    asks = hp_space if callable(hp_space) else None
    space = hp_space or DEFAULT_SPACE
    if callable(space):
        space = recorded(space)
    metrics = (
        ["objective"] if isinstance(direction, str) else [f"objective_{place}" for place in range(len(directions))]
    )
    train = Training(travelling(trainer), asks, compute_objective or default_compute_objective, metrics, hp_name)
    goals = [{"metric": metric, "goal": goal} for metric, goal in zip(metrics, directions, strict=True)]
    given = {"isolate": True, "name": type(trainer).__name__, **options}
    run = tune(train, space, objective=goals, trials=n_trials, **given)

    def as_best(found: Trial) -> Any:
        values = [found.metrics[metric] for metric in metrics]
        objective = values[0] if isinstance(direction, str) else values
        return BestRun(run_name(run.id, found.number), objective, found.parameters, run)

    best = _best(run, several=len(directions) > 1)
    return as_best(best[0]) if isinstance(direction, str) else [as_best(each) for each in best]


def _check(trainer: Any, directions: Sequence[str], options: Mapping[str, Any]) -> None:
    for each in directions:
        if each not in _DIRECTIONS:
            raise ValueError(f"direction is minimize or maximize, not {each!r}")
    if getattr(trainer, "model_init", None) is None:
        raise RuntimeError(
            "a search trains the model anew in each trial: give the Trainer model_init=, a function that returns the model"
        )
    instead = "tune a script instead that makes its Trainer with cloudtune.trial.callbacks.huggingface.TuneCallback"
    for name in ("on", "emulate", "rehearse"):
        if options.get(name):
            raise TypeError(f"{name}={options[name]!r} takes more than a Trainer in this process; {instead}")
    strategy = options.get("strategy", "auto")
    kind = strategy.get("type") if isinstance(strategy, Mapping) else getattr(strategy, "type", strategy)
    if kind == "population":
        raise TypeError(
            f"strategy='population' begins trials with others' checkpoints, and here each has its own; {instead}"
        )
    if trainer.args.world_size > 1:
        raise TypeError(
            f"the Trainer is one of {trainer.args.world_size} processes, and a trial here has one; {instead}"
        )
    if trainer.args.deepspeed is not None:
        raise TypeError(f"the Trainer is bound to DeepSpeed's configuration by this process; {instead}")


def _best(run: Run, *, several: bool) -> list[Trial]:
    best = run.front if several else [run.best] if run.best is not None else []
    if not best:
        raise NoGoodTrial(f"no trial of {run.id} has a result; the run is {run.state.value}", run)
    return best
