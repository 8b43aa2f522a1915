"""The search of grid.yaml as scikit-learn's users write it: TuneSearchCV where GridSearchCV stood, and then a model."""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from cloudtune.sklearn import TuneSearchCV

GRID = {"n_estimators": [100, 200, 300], "max_depth": [None, 10, 20, 30], "min_samples_split": [2, 5, 10]}


def main(space: dict = GRID, candidates: int = 10) -> None:
    features, labels = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(random_state=42)

    grid = TuneSearchCV(forest, space, cv=3, n_jobs=2)
    grid.fit(features, labels)
    print(f"all {len(grid.cv_results_['params'])} candidates: {grid.best_score_:.4f} with {grid.best_params_}")

    model = TuneSearchCV(forest, space, strategy="bayesian", n_iter=candidates, random_state=7, cv=3, n_jobs=2)
    model.fit(features, labels)
    print(f"{candidates} candidates by a model: {model.best_score_:.4f} with {model.best_params_}")
    model.run_.report("report.html")


if __name__ == "__main__":
    main()
