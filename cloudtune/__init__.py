"""cloudtune: one hyperparameter-tuning job, written once, run by any managed tuner.

Everything public is importable from here and is loaded when first used, so that ``import cloudtune`` costs
next to nothing and never loads a cloud SDK.
"""

from importlib import import_module

from cloudtune.plugins.version import __version__

TYPE_CHECKING = False  # type checkers take it for true; the import of typing would cost most of this one's time
if TYPE_CHECKING:
    from cloudtune.api import attach as attach
    from cloudtune.api import plan as plan
    from cloudtune.api import runs as runs
    from cloudtune.api import submit as submit
    from cloudtune.errors import NoGoodTrial as NoGoodTrial
    from cloudtune.planning.plan import Plan as Plan
    from cloudtune.run import Run as Run
    from cloudtune.space.parameters import Categorical as Categorical
    from cloudtune.space.parameters import Constant as Constant
    from cloudtune.space.parameters import Float as Float
    from cloudtune.space.parameters import Int as Int
    from cloudtune.space.parameters import LogNormal as LogNormal
    from cloudtune.space.parameters import Normal as Normal
    from cloudtune.space.parameters import Ordinal as Ordinal
    from cloudtune.spec.job import TuningJob as TuningJob
    from cloudtune.store.records import RunState as RunState
    from cloudtune.store.records import Trial as Trial
    from cloudtune.store.records import TrialState as TrialState
    from cloudtune.tuning import tune as tune

_HOME = {
    "attach": "cloudtune.api",
    "plan": "cloudtune.api",
    "runs": "cloudtune.api",
    "submit": "cloudtune.api",
    "NoGoodTrial": "cloudtune.errors",
    "TuningJob": "cloudtune.spec.job",
    "Categorical": "cloudtune.space.parameters",
    "Constant": "cloudtune.space.parameters",
    "Float": "cloudtune.space.parameters",
    "Int": "cloudtune.space.parameters",
    "LogNormal": "cloudtune.space.parameters",
    "Normal": "cloudtune.space.parameters",
    "Ordinal": "cloudtune.space.parameters",
    "Plan": "cloudtune.planning.plan",
    "Run": "cloudtune.run",
    "RunState": "cloudtune.store.records",
    "Trial": "cloudtune.store.records",
    "TrialState": "cloudtune.store.records",
    "tune": "cloudtune.tuning",
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
