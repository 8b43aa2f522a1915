"""Cross-validates a random forest on scikit-learn's breast cancer data; prints its score and knows no tuner."""

import argparse
import json

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n_estimators", type=int, default=100)
    parser.add_argument("--max_depth", type=json.loads, default=None)  # "null" means without a limit
    parser.add_argument("--min_samples_split", type=int, default=2)
    forest = RandomForestClassifier(random_state=42, **vars(parser.parse_args()))
    features, labels = load_breast_cancer(return_X_y=True)
    score = float(cross_val_score(forest, features, labels, cv=3).mean())
    print(f"mean_test_score={score!r}")


if __name__ == "__main__":
    main()
