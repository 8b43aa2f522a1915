"""Strategies (which trial next?) and stopping rules (which trial not to its end?).

`strategy_for` and `rule_for` make what a job asks for; what each can be asked is in `cloudtune.search.base`.
Nothing here imports numpy or scipy until a strategy that needs them is made.
"""

from cloudtune.search.base import Observation, Strategy, UnsuitableStrategy
from cloudtune.search.catalogue import rule_for, strategy_for
from cloudtune.search.stopping import StoppingRule

__all__ = ["Observation", "StoppingRule", "Strategy", "UnsuitableStrategy", "rule_for", "strategy_for"]
