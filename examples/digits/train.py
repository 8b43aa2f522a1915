"""Cross-validates a classifier on scikit-learn's digits data, and reports the running mean after every fold.

Works under any tuner, and by hand: python train.py --model svc --C 10 --gamma 0.001
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from cloudtune import trial

FOLDS = 5


def build(parameters):
    """The model that the parameters describe."""
    settings = dict(parameters)
    if settings.pop("model", "svc") == "svc":
        return make_pipeline(MinMaxScaler(), SVC(**settings))
    return HistGradientBoostingClassifier(max_iter=40, random_state=0, **settings)


def main():
    model = build(trial.params())
    images, labels = load_digits(return_X_y=True)
    scores = []
    for fold in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(images, labels):
        scores += list(cross_val_score(model, images, labels, cv=[fold]))
        trial.report(accuracy=float(np.mean(scores)), step=len(scores))


if __name__ == "__main__":
    main()
