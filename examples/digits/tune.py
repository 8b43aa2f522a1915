"""The same search from Python: a function instead of a script, and the handle of the run."""

from cloudtune import Categorical, Float, Int, tune


def accuracy(**parameters: object) -> float:
    """The cross-validated accuracy of a support vector machine on the digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVC

    images, labels = load_digits(return_X_y=True)
    return float(cross_val_score(make_pipeline(MinMaxScaler(), SVC(**parameters)), images, labels, cv=3).mean())


if __name__ == "__main__":
    run = tune(
        accuracy,
        {
            "C": Float(low=0.1, high=1e3, scale="log"),
            "gamma": Float(low=1e-3, high=10, scale="log"),
            "kernel": Categorical(values=("rbf", "poly")),
            "degree": Int(low=2, high=4, when={"kernel": "poly"}),
        },
        maximize="accuracy",
        trials=20,
        parallel=2,
        strategy={"type": "bayesian", "seed": 7},
    )
    print(run.best)
    run.report("report.html")
