"""Boosted trees on made-up data: reports the loss after every ten trees, and goes on from its checkpoint.

Replace `data` by your own. Run it alone as well: python train.py --learning_rate 0.1
"""

import argparse
import pickle
from pathlib import Path

from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

import cloudtune.trial as trial

EVERY = 10


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--max_depth", type=int, default=3)
    parser.add_argument("--subsample", type=float, default=1.0)
    parser.add_argument("--min_samples_leaf", type=int, default=1)
    parser.add_argument("--trees", type=int, default=60)
    return parser.parse_args()


def data():
    rows, labels = make_classification(1000, n_features=20, n_informative=6, flip_y=0.1, random_state=0)
    return train_test_split(rows, labels, test_size=0.3, random_state=0)


def main():
    given = options()
    rows, held_out, labels, held_out_labels = data()
    checkpoint, begin = Path(trial.checkpoint_dir(), "model.pkl"), EVERY
    if checkpoint.exists():  # an earlier attempt of this trial was interrupted
        model = pickle.loads(checkpoint.read_bytes())
        begin = model.n_estimators + EVERY
    else:
        model = GradientBoostingClassifier(
            learning_rate=given.learning_rate,
            max_depth=given.max_depth,
            subsample=given.subsample,
            min_samples_leaf=given.min_samples_leaf,
            n_estimators=EVERY,
            warm_start=True,
            random_state=0,
        )
    for trees in range(begin, given.trees + 1, EVERY):
        model.set_params(n_estimators=trees).fit(rows, labels)
        fresh = checkpoint.with_suffix(".new")
        fresh.write_bytes(pickle.dumps(model))
        fresh.replace(checkpoint)  # whole, even if this attempt is ended while it writes
        loss = log_loss(held_out_labels, model.predict_proba(held_out))
        accuracy = accuracy_score(held_out_labels, model.predict(held_out))
        trial.report(loss=loss, accuracy=accuracy, step=trees)
    Path(trial.output_dir(), "model.pkl").write_bytes(pickle.dumps(model))


if __name__ == "__main__":
    main()
