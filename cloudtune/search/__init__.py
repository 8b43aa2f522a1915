"""Search without running anything: which trial next (strategies), and which trial not to its end (stopping rules).

`Search` is the whole interface: ask for a trial, run it wherever you like, tell how it ended. It is stable: names,
arguments and the suggestions of a seed change only with a note in the changelog.

>>> from cloudtune.search import Search
>>> search = Search({"x": {"type": "float", "low": -1, "high": 1}}, {"metric": "loss", "goal": "minimize"}, seed=7)
>>> trial = search.ask()
>>> search.tell(trial, {"loss": trial.parameters["x"] ** 2}).value
'completed'

Packages add strategies and stopping rules of their own by entry points of the groups ``cloudtune.strategies`` and
``cloudtune.stopping``; see `Strategy` with `StrategySpec`, and `StoppingRule` with `StoppingSpec`.

Importing this package loads neither numpy nor scipy: a strategy that needs them loads them.
"""

from cloudtune.search.ask_tell import Search
from cloudtune.search.known_trials import KnownTrial
from cloudtune.search.registry import rule_for, strategy_for
from cloudtune.search.stopping import StoppingRule
from cloudtune.search.strategy import Observation, Purpose, Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.search.suggestion import Result, Suggestion
from cloudtune.spec.stopping import StoppingSpec
from cloudtune.spec.strategies import StrategySpec

__all__ = [
    "KnownTrial",
    "Observation",
    "Purpose",
    "Result",
    "Search",
    "StoppingRule",
    "StoppingSpec",
    "Strategy",
    "StrategyContext",
    "StrategySpec",
    "Suggestion",
    "UnsuitableStrategy",
    "rule_for",
    "strategy_for",
]
