"""Results leave: a run as an Optuna study, as runs of MLflow, as TensorBoard's HParams, while it goes on and afterwards.

Everything is read from the store, so it works for whatever provider runs the trials. What a target has already is found
in the target itself, by marks that are written together with each trial: whoever publishes again, or after having been
killed in the middle, goes on where things are and makes nothing twice.
"""

from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError
from cloudtune.publishing.publisher import Publisher

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.storages import BaseStorage

    from cloudtune.publishing.target import Target
    from cloudtune.results.view import RunView

__all__ = ["Publisher", "publisher_of"]


def publisher_of(
    run: "RunView",
    *,
    optuna: "str | BaseStorage | None" = None,
    mlflow: str | None = None,
    experiment: str | None = None,
    tensorboard: "str | Path | None" = None,
) -> Publisher:
    """Who publishes a run to these targets; see `Run.publish`.

    Raises:
        ConfigError: there is no target, an address is none, or the package of a target is not installed.
    """
    targets: list[Target] = []
    if optuna is not None:
        from cloudtune.publishing.optuna import OptunaTarget  # noqa: PLC0415  # each loads what it needs alone

        targets.append(OptunaTarget(run, optuna))
    if mlflow is not None:
        from cloudtune.publishing.mlflow import MlflowTarget  # noqa: PLC0415

        targets.append(MlflowTarget(run, mlflow, experiment))
    if tensorboard is not None:
        from cloudtune.publishing.tensorboard import TensorBoardTarget  # noqa: PLC0415

        targets.append(TensorBoardTarget(run, str(tensorboard)))
    if not targets:
        raise ConfigError(
            "nothing to publish to; give optuna, mlflow or tensorboard (--optuna URL, --mlflow URI, --tensorboard FOLDER)"
        )
    return Publisher(run, targets)
