"""Hyperparameter search for scikit-learn: `TuneSearchCV` replaces `GridSearchCV` and `RandomizedSearchCV`."""

from cloudtune.errors import ConfigError
from cloudtune.plugins.extras import install

try:
    from cloudtune.sklearn.search import TuneSearchCV
except ModuleNotFoundError as error:
    if error.name not in ("sklearn", "joblib"):
        raise
    raise ConfigError(f"cloudtune.sklearn needs scikit-learn; install it with: {install('sklearn')}") from error

__all__ = ["TuneSearchCV"]
