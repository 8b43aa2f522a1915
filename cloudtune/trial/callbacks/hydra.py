"""Hydra: report what an application returns. The sweeper ``cloudtune`` adds this callback to its trials."""

from __future__ import annotations

from cloudtune.trial.callbacks import Reporter, missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

try:
    from hydra.experimental.callback import Callback
except ModuleNotFoundError as error:
    if error.name != "hydra":
        raise
    raise missing("Hydra", "hydra-core") from None


class TuneCallback(Callback):  # type: ignore[misc]
    """Reports the value that the application returns: a number, a mapping of metrics, or one number a name.

    Nothing is reported of an application that returns None, which reports itself.

    Args:
        metrics: the names of the objectives.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = [str(name) for name in metrics]

    def on_job_end(self, config: Any, job_return: Any, **_: Any) -> None:  # noqa: ARG002  # Hydra's signature
        """Report, unless the application has failed.

        Raises:
            TypeError: it returned something else.
        """
        if job_return.status.name != "COMPLETED" or job_return.return_value is None:
            return
        import cloudtune.trial as trial  # noqa: PLC0415

        found = job_return.return_value
        if not hasattr(found, "items"):
            values = list(found) if isinstance(found, (list, tuple)) else [found]
            if len(values) != len(self._metrics):
                raise TypeError(f"the application returned {len(values)} numbers for {len(self._metrics)} metrics")
            found = dict(zip(self._metrics, values))  # noqa: B905  # not in Python 3.8
        found = {str(name): trial.checked_number(name, value) for name, value in found.items()}
        Reporter().report(found, trial.current().reports + 1)
