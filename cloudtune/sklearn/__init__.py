"""A search for scikit-learn's estimators: `TuneSearchCV` stands where `GridSearchCV` or `RandomizedSearchCV` stood."""

from cloudtune.errors import ConfigError

try:
    from cloudtune.sklearn.search import TuneSearchCV
except ModuleNotFoundError as error:
    if error.name not in ("sklearn", "joblib"):
        raise
    raise ConfigError(
        "cloudtune.sklearn needs scikit-learn; install it with: pip install 'cloudtune[sklearn]'"
    ) from error

__all__ = ["TuneSearchCV"]
