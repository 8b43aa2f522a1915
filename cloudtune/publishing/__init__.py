"""Publishing of a run to Optuna, MLflow, TensorBoard and W&B, during the run or afterwards.

Everything is read from the store, so publishing works for every provider. What a target already has is found in the
target itself, by marks that are written together with each trial: publishing again, also after a crash, continues and
duplicates nothing.

A package adds a target by an entry point of the group ``cloudtune.targets``; see `Target`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError
from cloudtune.publishing.publisher import Publisher
from cloudtune.publishing.registry import target_of
from cloudtune.publishing.target import Published, Target

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.storages import BaseStorage

    from cloudtune.results.view import RunView

__all__ = ["Published", "Publisher", "Target", "publisher_of"]


def publisher_of(
    run: "RunView",
    *,
    to: "Mapping[str, str | Path] | None" = None,
    optuna: "str | BaseStorage | None" = None,
    mlflow: str | None = None,
    experiment: str | None = None,
    tensorboard: "str | Path | None" = None,
    wandb: str | None = None,
) -> Publisher:
    """Return the publisher of a run to these targets; see `Run.publish`.

    Raises:
        ConfigError: there is no target, a target is not installed, an address is none, or the package of a target is
            not installed.
    """
    own = {"optuna": optuna, "mlflow": mlflow, "tensorboard": tensorboard, "wandb": wandb}
    given: dict[str, Any] = {name: address for name, address in own.items() if address is not None}
    named = {name: str(address) for name, address in (to or {}).items()}
    twice = [name for name in named if name in given]
    if twice:
        raise ConfigError(f"two addresses of {twice[0]}; publish to them one after the other")
    settings = {"mlflow": {"experiment": experiment}}
    targets = [target_of(name, run, address, settings.get(name, {})) for name, address in {**given, **named}.items()]
    if not targets:
        raise ConfigError(
            "nothing to publish to; give optuna, mlflow, tensorboard or wandb (--optuna URL, --mlflow URI, --tensorboard FOLDER, "
            "--wandb PROJECT), or another target by its name (--to NAME=ADDRESS)"
        )
    return Publisher(run, targets)
