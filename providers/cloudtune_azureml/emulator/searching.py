"""What a sweep searches, as a job of cloudtune: the emulator tunes with cloudtune's own strategies.

The service's are its own: values and their order differ from the service's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudtune.driver.limits import UNCAPPED
from cloudtune.space.parameters import Scalar
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.parse import limits_of, stopping_of, strategy_of
from cloudtune_azureml.schema import snake
from cloudtune_azureml.space import entry_of

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A parameter without branches: its name inside, and the q of its rounding, if it has one."""

    key: str
    q: float | None


@dataclass(frozen=True, slots=True)
class _Fork:
    """A choice among dicts: its name inside, under which the number of the branch stands, and what is in each."""

    key: str
    branches: Sequence[Any]


class Search:
    """What a sweep searches.

    Args:
        sweep: the job's file, which is valid.
    """

    def __init__(self, sweep: Data) -> None:
        self._space: dict[str, dict[str, Any]] = {}
        self._nodes = {name: self._read(expression, {}) for name, expression in sweep["search_space"].items()}
        objective = sweep["objective"]
        self.job = TuningJob.from_data(
            {
                "name": "sweep",
                "trial": {"command": "the command job"},
                "objective": {"metric": objective["primary_metric"], "goal": snake(objective["goal"])},
                "space": self._space,
                "strategy": strategy_of(sweep.get("sampling_algorithm") or "random"),
                "stopping": stopping_of(sweep.get("early_termination")),
                "limits": {"failed": UNCAPPED, **limits_of(sweep["limits"]), "trial_time": None},
            },
            "the sweep",
        )

    def _read(self, expression: Any, when: dict[str, Any]) -> Any:
        """A node of an expression; anything else stands for itself."""
        if not isinstance(expression, Mapping):
            return expression
        key = f"p{len(self._space)}"
        values = expression.get("values", ())
        if snake(expression["type"]) == "choice" and any(isinstance(value, Mapping) for value in values):
            self._space[key] = {"type": "categorical", "values": list(range(len(values))), **when}
            return _Fork(key, [self._branch(value, key, index) for index, value in enumerate(values)])
        self._space[key] = {**entry_of(expression), **when}
        return _Leaf(key, expression.get("q"))

    def _branch(self, value: Any, key: str, index: int) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: self._read(inner, {"when": {key: [index]}}) for name, inner in value.items()}

    def told(self, values: Mapping[str, Scalar]) -> dict[str, Any]:
        """A trial's parameters as the service tells them; those of a branch in a dict."""
        return {name: _value(node, values) for name, node in self._nodes.items()}


def _value(node: Any, values: Mapping[str, Scalar]) -> Any:
    if isinstance(node, _Fork):
        branch = node.branches[int(values[node.key])]  # type: ignore[arg-type]  # its values are numbers
        if not isinstance(branch, dict):
            return branch
        return {name: _value(inner, values) for name, inner in branch.items()}
    if not isinstance(node, _Leaf):
        return node
    value = values[node.key]
    if node.q is None or isinstance(value, str):
        return value
    rounded = round(float(value or 0) / node.q) * node.q
    return int(rounded) if isinstance(node.q, int) else rounded
