"""What a sweep searches, as a job of cloudtune: the emulator tunes with cloudtune's own strategies.

The service's are its own: values and their order differ from the service's. What each distribution means is that of
"Define the search space" in https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudtune.driver.limits import UNCAPPED
from cloudtune.emulation.refused import Refused
from cloudtune.errors import SpecError
from cloudtune.space.parameters import Scalar, scalar_key
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.emulator.model import Sweep

Entry = dict[str, Any]
"""A parameter, a strategy or a rule as a spec of cloudtune writes it."""


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
        sweep: it keeps the service's rules.

    Raises:
        Refused: it holds a value that no trial can be given.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._space: dict[str, Entry] = {}
        self._nodes = {name: self._read(distribution, {}) for name, distribution in sweep.space.items()}
        data = {
            "name": "sweep",
            "trial": {"command": "the command job"},
            "objective": {"metric": sweep.metric, "goal": sweep.goal},
            "space": self._space,
            "strategy": _strategy(sweep.sampling),
            "stopping": _stopping(sweep.policy),
            "limits": _limits(sweep.limits),
        }
        try:
            self.job = TuningJob.from_data(data, "the sweep")
        except SpecError as error:  # a value that no program can be given
            raise Refused(400, "UserError", f"The request is invalid: {error}") from None

    def _read(self, distribution: Any, when: Entry) -> Any:
        """Return the node of a distribution; any other value stands for itself."""
        if not hasattr(distribution, "type"):
            return distribution
        key = f"p{len(self._space)}"
        values = distribution.values if distribution.type == "choice" else ()
        if any(isinstance(value, Mapping) for value in values):
            self._space[key] = {"type": "categorical", "values": list(range(len(values))), **when}
            return _Fork(key, [self._branch(value, key, index) for index, value in enumerate(values)])
        self._space[key] = {**_entry(distribution), **when}
        return _Leaf(key, getattr(distribution, "q", None))

    def _branch(self, value: Any, key: str, index: int) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: self._read(inner, {"when": {key: [index]}}) for name, inner in value.items()}

    def told(self, values: Mapping[str, Scalar]) -> dict[str, Any]:
        """Return a trial's parameters as the service tells them; those of a branch in a dict."""
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


def _entry(distribution: Any) -> Entry:
    """Return the parameter of a distribution without branches; rounding to q is done where a value is answered."""
    match distribution.type:
        case "choice":
            values = {
                scalar_key(value): value for value in reversed(distribution.values)
            }  # one that stands twice counts once
            return {"type": "categorical", "values": list(reversed(values.values()))}
        case "randint":  # "in the range [0, upper)"
            return {"type": "int", "low": 0, "high": int(distribution.upper) - 1}
        case "normal" | "qnormal":
            return {"type": "normal", "mean": distribution.mu, "std": distribution.sigma}
        case "lognormal" | "qlognormal":  # "so that the logarithm of the return value is normally distributed"
            return {"type": "lognormal", "mean": distribution.mu, "std": distribution.sigma}
        case "uniform":
            return {"type": "float", "low": distribution.min_value, "high": distribution.max_value}
        case "loguniform":  # "exp(uniform(min_value, max_value))"
            return {"type": "float", "low": _power(distribution.min_value), "high": _power(distribution.max_value), "scale": "log"}  # fmt: skip
        case "quniform":  # "round(uniform(min_value, max_value) / q) * q"
            return _stepped(distribution.min_value, distribution.max_value, distribution.q)
        case _:  # qloguniform: "round(exp(uniform(min_value, max_value)) / q) * q"
            low, high = _power(distribution.min_value), _power(distribution.max_value)
            return {**_stepped(low, high, distribution.q, least=1), "scale": "log"}


def _power(exponent: float) -> float:
    """Return e to the power, with the 12 digits that survive a logarithm and its inverse."""
    return float(f"{math.exp(exponent):.12g}")


def _stepped(low: float, high: float, q: float, least: float = -math.inf) -> Entry:
    """Return the multiples of q to which a range is rounded, so that a finite search knows them.

    Args:
        low: of the range.
        high: of the range.
        q: the step.
        least: the smallest count of steps that the scale can have: a logarithmic one has no 0.
    """
    first, last = max(round(low / q), least), max(round(high / q), least)
    if float(q).is_integer():
        step = {"step": int(q)} if q != 1 else {}
        return {"type": "int", "low": int(first * q), "high": int(last * q), **step}
    return {"type": "float", "low": float(f"{first * q:.12g}"), "high": float(f"{last * q:.12g}"), "step": q}


def _strategy(sampling: Any) -> Entry:
    """Return the strategy: a sampling algorithm, of Random perhaps its quasi-random rule ("rule: sobol")."""
    if sampling.type != "random":
        return {"type": sampling.type}
    kind = "sobol" if str(getattr(sampling.rule, "value", sampling.rule)).lower() == "sobol" else "random"
    return {"type": kind, **({"seed": sampling.seed} if (sampling.seed or 0) > 0 or sampling.seed == 0 else {})}


def _stopping(policy: Any) -> Entry | None:
    """Return the rule of a policy: "evaluation_interval" is 1 and "delay_evaluation" 0 where they are not given."""
    if policy is None:
        return None
    steps = {"interval": policy.evaluation_interval or 1, "grace": policy.delay_evaluation or 0}
    match policy.type:
        case "median_stopping":
            return {"type": "median", **steps}
        case "truncation_selection":
            return {"type": "truncation", **steps, "percentage": policy.truncation_percentage}
        case _:
            slack = "slack_factor" if policy.slack_factor else "slack_amount"  # the SDK sends the other one as 0
            return {"type": "bandit", **steps, slack: getattr(policy, slack)}


def _limits(limits: Any) -> Entry:
    """Return the limits: "if max_concurrent_trials is not specified, it's max_total_trials"; a trial's time is its job's."""
    trials = limits.max_total_trials
    parallel = min(limits.max_concurrent_trials or trials, trials)
    time = {} if limits.timeout is None else {"time": limits.timeout}
    return {"trials": trials, "parallel": parallel, "failed": UNCAPPED, **time}
