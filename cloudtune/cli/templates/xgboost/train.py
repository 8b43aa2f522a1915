"""XGBoost on made-up data: the callback reports each round, ends pruned trials, and keeps the model every ten rounds.

Replace `data` by your own. Run it alone as well: python train.py --eta 0.1
"""

import argparse
from pathlib import Path

import numpy as np
import xgboost

import cloudtune.trial as trial
from cloudtune.trial.callbacks.xgboost import TuneCallback


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--max_depth", type=int, default=6)
    parser.add_argument("--subsample", type=float, default=1.0)
    parser.add_argument("--min_child_weight", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=60)
    return vars(parser.parse_args())


def data():
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, 10))
    labels = (np.sin(2 * rows[:, 0]) + rows[:, 1] * rows[:, 2] + 0.5 * random.normal(size=2000) > 0).astype(int)
    return xgboost.DMatrix(rows[:1500], labels[:1500]), xgboost.DMatrix(rows[1500:], labels[1500:])


def main():
    given = options()
    rounds = given.pop("rounds")
    train, held_out = data()
    callback = TuneCallback({"logloss": "validation-logloss"}, checkpoint=10)
    model = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1, "seed": 0, **given},
        train,
        rounds - callback.rounds,
        evals=[(held_out, "validation")],
        xgb_model=callback.xgb_model,
        callbacks=[callback],
        verbose_eval=False,
    )
    model.save_model(Path(trial.output_dir(), "model.json"))


if __name__ == "__main__":
    main()
