"""cloudtune: one hyperparameter-tuning job, written once, run by any managed tuner.

Everything public is importable from here and is loaded when first used, so that ``import cloudtune`` costs
next to nothing and never loads a cloud SDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cloudtune.api import attach as attach
    from cloudtune.api import plan as plan
    from cloudtune.api import runs as runs
    from cloudtune.api import submit as submit
    from cloudtune.api import tune as tune
    from cloudtune.job import TuningJob as TuningJob
    from cloudtune.parameters import Categorical as Categorical
    from cloudtune.parameters import Constant as Constant
    from cloudtune.parameters import Float as Float
    from cloudtune.parameters import Int as Int
    from cloudtune.parameters import LogNormal as LogNormal
    from cloudtune.parameters import Normal as Normal
    from cloudtune.parameters import Ordinal as Ordinal
    from cloudtune.plan import Plan as Plan
    from cloudtune.run import Run as Run
    from cloudtune.states import RunState as RunState
    from cloudtune.states import Trial as Trial
    from cloudtune.states import TrialState as TrialState

_HOME = {
    "attach": "cloudtune.api",
    "plan": "cloudtune.api",
    "runs": "cloudtune.api",
    "submit": "cloudtune.api",
    "tune": "cloudtune.api",
    "TuningJob": "cloudtune.job",
    "Categorical": "cloudtune.parameters",
    "Constant": "cloudtune.parameters",
    "Float": "cloudtune.parameters",
    "Int": "cloudtune.parameters",
    "LogNormal": "cloudtune.parameters",
    "Normal": "cloudtune.parameters",
    "Ordinal": "cloudtune.parameters",
    "Plan": "cloudtune.plan",
    "Run": "cloudtune.run",
    "RunState": "cloudtune.states",
    "Trial": "cloudtune.states",
    "TrialState": "cloudtune.states",
}

__all__ = [  # noqa: PLE0604  # the names are the keys of _HOME, written once
    "__version__",
    *_HOME,
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
