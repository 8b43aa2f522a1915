"""Publishing of a run to Optuna, MLflow and TensorBoard, during the run or afterwards.

Everything is read from the store, so publishing works for every provider. What a target already has is found in the
target itself, by marks that are written together with each trial: publishing again, also after a crash, continues and
duplicates nothing.
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
    """Return the publisher of a run to the given targets; for the arguments see `Run.publish`.

    Raises:
        ConfigError: no target is given, an address is invalid, or the package of a target is not installed.
    """
    targets: list[Target] = []
    if optuna is not None:
        from cloudtune.publishing.optuna import OptunaTarget  # noqa: PLC0415  # each target needs an optional package

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
