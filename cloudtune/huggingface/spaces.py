"""Spaces as Transformers takes them: a function ``hp_space(trial)`` that asks for values by Optuna's names."""

from collections.abc import Callable, Mapping
from typing import Any

from cloudtune.space.parameters import Scalar

HpSpace = Callable[[Any], Mapping[str, Any]]
"""Asks a trial for values, and returns them by their names in ``TrainingArguments``."""

DEFAULT_SPACE: dict[str, Any] = {
    "learning_rate": (1e-6, 1e-4, "log"),
    "num_train_epochs": range(1, 6),
    "seed": range(1, 41),
    "per_device_train_batch_size": [4, 8, 16, 32, 64],
}
"""The space of Transformers, for a search that names none (``transformers.trainer_utils.default_hp_space_optuna``)."""


class _Trial:
    """What a function ``hp_space`` is called with: the part of ``optuna.Trial`` that Transformers documents."""

    def __init__(self, number: int) -> None:
        self.number = number

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        """Ask for a number from low to high."""
        return self._value(name, {"type": "float", "low": low, "high": high, "step": step, **_scale(log=log)})

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        """Ask for a whole number from low to high."""
        return self._value(name, {"type": "int", "low": low, "high": high, "step": step, **_scale(log=log)})

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Ask for one of the choices."""
        return self._value(name, {"type": "categorical", "values": list(choices)})

    def _value(self, name: str, parameter: dict[str, Any]) -> Any:
        raise NotImplementedError


class _Recording(_Trial):
    """Writes down what is asked for, and answers with the first value."""

    def __init__(self) -> None:
        super().__init__(0)
        self.space: dict[str, dict[str, Any]] = {}

    def _value(self, name: str, parameter: dict[str, Any]) -> Any:
        if self.space.setdefault(name, parameter) != parameter:
            raise TypeError(f"hp_space asks for {name!r} twice, and otherwise the second time; give each its own name")
        return parameter["values"][0] if "values" in parameter else parameter["low"]


class SuggestedTrial(_Trial):
    """A trial with its values, which answers as ``optuna.trial.FixedTrial`` does.

    Args:
        params: the values by name.
        number: of the trial, from 0.

    Raises:
        TypeError: a value is asked for that was not when the space was read.
    """

    def __init__(self, params: Mapping[str, Scalar], number: int) -> None:
        super().__init__(number)
        self.params = dict(params)

    def _value(self, name: str, parameter: dict[str, Any]) -> Any:  # noqa: ARG002  # the space was read before
        if name not in self.params:
            raise TypeError(
                f"hp_space asks for {name!r} in some trials alone; ask for every value in each trial, or give a space of "
                f'cloudtune\'s in which {name!r} has a condition ("when")'
            )
        return self.params[name]


def recorded(hp_space: HpSpace) -> dict[str, dict[str, Any]]:
    """Return the space that a function asks for, as a job has it.

    Raises:
        TypeError: it asks in another way than by ``suggest_float``, ``suggest_int`` and ``suggest_categorical``, or for nothing.
    """
    recording = _Recording()
    try:
        hp_space(recording)
    except AttributeError as error:
        if error.obj is not recording:
            raise
        raise TypeError(
            f"hp_space uses trial.{error.name}; here a trial has suggest_float, suggest_int and suggest_categorical. "
            'A space of cloudtune\'s does as well: hp_space={"learning_rate": (1e-6, 1e-4, "log")}'
        ) from error
    if not recording.space:
        raise TypeError(
            "hp_space asks the trial for no value, so that there is nothing to search; write for example "
            'lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True)}'
        )
    return recording.space


def _scale(*, log: bool) -> dict[str, str]:
    return {"scale": "log"} if log else {}
