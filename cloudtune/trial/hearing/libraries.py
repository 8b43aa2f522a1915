"""The functions of wandb, MLflow and TensorBoard that take metrics, wrapped so that they are heard as well.

Each is the one that all ways of logging lead through: ``wandb.log``, ``Run.log`` and its loggers in frameworks; the fluent
functions of MLflow, its client and autologging; the writers of ``torch.utils.tensorboard``, Lightning, tensorboardX.
"""

# ruff: noqa: PTH100, PTH119  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some programs need is imported when they need it

from __future__ import annotations

import functools
import os

from .importing import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .metrics import Hearing


def wrap_when_imported(library: str, heard: Hearing) -> None:
    """Wrap the functions of a library when the program imports it.

    Args:
        library: ``wandb``, ``mlflow`` or ``tensorboard``.
        heard: takes what is logged.
    """
    for name, change in _CHANGES[library].items():
        when_imported(name, functools.partial(change, heard))


def _around(owner: Any, name: str, listen: Callable[..., None]) -> None:
    """Have a method call `listen` with its arguments after its own work, unless it raises."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        listen(*args, **kwargs)
        return result

    setattr(owner, name, wrapped)


# wandb


def _wandb_run(heard: Hearing, module: Any, name: str = "Run") -> None:
    def listen(_run: Any, data: Any = None, step: Any = None, *_: Any, **__: Any) -> None:
        heard.take("wandb", data or {}, step)

    _around(getattr(module, name), "log", listen)


def _wandb_disabled(heard: Hearing, module: Any) -> None:
    _wandb_run(heard, module, "NoopRun")


def _wandb_summary(heard: Hearing, module: Any) -> None:
    def listen(summary: Any, values: Any = None, *_: Any, **__: Any) -> None:
        if isinstance(summary, module.Summary):  # not one within it
            heard.take("wandb", values or {})

    _around(module.SummaryDict, "update", listen)  # which summary[name] = value calls, too


# MLflow


def _mlflow(heard: Hearing, module: Any) -> None:
    def one(
        _client: Any, _run: Any, key: Any, value: Any, _time: Any = None, step: Any = None, *_: Any, **__: Any
    ) -> None:
        heard.take("mlflow", {key: value}, step)

    def several(_client: Any, _run: Any = None, metrics: Any = (), *_: Any, **__: Any) -> None:
        rows: dict[int, dict[str, Any]] = {}
        for metric in metrics or ():
            rows.setdefault(int(metric.step or 0), {})[metric.key] = metric.value
        for step, values in sorted(rows.items()):
            heard.take("mlflow", values, step)

    _around(module.MlflowClient, "log_metric", _by_name(one, run_id="_run"))
    _around(module.MlflowClient, "log_batch", _by_name(several, run_id="_run"))


def _by_name(listen: Callable[..., None], **names: str) -> Callable[..., None]:
    """Return a function that takes some arguments under the names that a library gives them."""

    def renamed(*args: Any, **kwargs: Any) -> None:
        listen(*args, **{names.get(name, name): value for name, value in kwargs.items()})

    return renamed


# TensorBoard


def _event_writer(heard: Hearing, module: Any) -> None:
    def listen(writer: Any, event: Any = None, *_: Any, **__: Any) -> None:
        from .events import scalars_of

        data = event if isinstance(event, bytes) else event.SerializeToString()
        folder = os.path.abspath(writer.get_logdir())
        heard.folders.add(folder)
        found = scalars_of(data)
        if found is not None:
            heard.take("tensorboard", found.values, found.step, os.path.basename(folder))

    _around(module.EventFileWriter, "add_event", listen)


def _tensorflow(heard: Hearing, _module: Any) -> None:
    from .event_files import follow

    follow(heard)


_CHANGES: dict[str, dict[str, Callable[[Hearing, Any], None]]] = {
    "wandb": {
        "wandb.sdk.wandb_run": _wandb_run,
        "wandb.sdk.lib.noop_run": _wandb_disabled,
        "wandb.sdk.wandb_summary": _wandb_summary,
    },
    "mlflow": {"mlflow.tracking.client": _mlflow},
    "tensorboard": {
        "tensorboard.summary.writer.event_file_writer": _event_writer,
        "tensorboardX.event_file_writer": _event_writer,
        "tensorflow.python.ops.summary_ops_v2": _tensorflow,
    },
}
"""By the library, its modules and what is changed in each once it is imported."""
