"""The callbacks of XGBoost, LightGBM and CatBoost, with the real libraries on small data."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cloudtune.trial as trial

RNG = np.random.default_rng(1)
X = RNG.normal(size=(120, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def stop_at(round_: int, reports: Any) -> Any:
    """Return a list that sends SIGTERM to this process once it holds so many reports, as a driver that prunes does."""

    def sink(step: int, _: float, metrics: dict[str, float]) -> None:
        reports.append((step, metrics))
        if step == round_:
            os.kill(os.getpid(), signal.SIGTERM)

    trial.current().sink = sink


class TestXgboost:
    def train(self, callback: Any, rounds: int = 5) -> Any:
        import xgboost

        data = xgboost.DMatrix(X, Y)
        given = {"objective": "binary:logistic", "nthread": 1, "max_depth": 2}
        return xgboost.train(given, data, rounds, evals=[(data, "train")], callbacks=[callback], verbose_eval=False,
                             xgb_model=getattr(callback, "xgb_model", None))  # fmt: skip

    @pytest.fixture
    def module(self) -> Any:
        pytest.importorskip("xgboost")
        from cloudtune.trial.callbacks import xgboost

        return xgboost

    def test_each_round_is_reported(self, module: Any, reports: Any) -> None:
        self.train(module.TuneCallback({"loss": "train-logloss"}))
        assert [step for step, _ in reports] == [1, 2, 3, 4, 5]
        assert reports[-1][1]["loss"] < reports[0][1]["loss"]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_a_request_to_end_ends_the_training(self, module: Any, reports: Any) -> None:
        stop_at(2, reports)
        assert self.train(module.TuneCallback(), 50).num_boosted_rounds() == 2

    def test_the_next_attempt_goes_on(self, module: Any, reports: Any) -> None:
        self.train(module.TuneCallback(checkpoint=1), 3)
        again = module.TuneCallback(checkpoint=1)
        assert again.rounds == 3
        assert self.train(again, 5 - again.rounds).num_boosted_rounds() == 5
        assert [step for step, _ in reports] == [1, 2, 3, 4, 5]

    def test_outside_of_a_trial_it_does_nothing(self, module: Any, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        self.train(module.TuneCallback(checkpoint=1))
        assert list(tmp_path.iterdir()) == []


class TestLightgbm:
    def train(self, callback: Any, rounds: int = 5) -> Any:
        import lightgbm

        data = lightgbm.Dataset(X, Y)
        given = {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 4}
        return lightgbm.train(given, data, rounds, valid_sets=[lightgbm.Dataset(X, Y, reference=data)],
                              callbacks=[callback], init_model=callback.init_model)  # fmt: skip

    @pytest.fixture
    def module(self) -> Any:
        pytest.importorskip("lightgbm")
        from cloudtune.trial.callbacks import lightgbm

        return lightgbm

    def test_each_round_is_reported(self, module: Any, reports: Any) -> None:
        self.train(module.TuneCallback())
        assert [step for step, _ in reports] == [1, 2, 3, 4, 5]
        assert reports[-1][1]["valid_0-binary_logloss"] < reports[0][1]["valid_0-binary_logloss"]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_a_request_to_end_ends_the_training(self, module: Any, reports: Any) -> None:
        stop_at(2, reports)
        assert self.train(module.TuneCallback(), 50).current_iteration() == 2

    def test_the_next_attempt_goes_on(self, module: Any, reports: Any) -> None:
        self.train(module.TuneCallback(checkpoint=1), 3)
        again = module.TuneCallback(checkpoint=1)
        assert again.rounds == 3
        self.train(again, 5 - again.rounds)
        assert [step for step, _ in reports] == [1, 2, 3, 4, 5]

    def test_cross_validation_reports_means(self, module: Any, reports: Any) -> None:
        import lightgbm

        given = {"objective": "binary", "num_threads": 1, "verbose": -1}
        lightgbm.cv(given, lightgbm.Dataset(X, Y), 3, nfold=2, callbacks=[module.TuneCallback()])
        assert [step for step, _ in reports] == [1, 2, 3]
        assert [name for name in reports[-1][1] if name.endswith("binary_logloss")]


class TestCatboost:
    @pytest.fixture
    def module(self) -> Any:
        pytest.importorskip("catboost")
        from cloudtune.trial.callbacks import catboost

        return catboost

    def train(self, callback: Any, folder: Path) -> Any:
        import catboost

        model = catboost.CatBoostClassifier(iterations=5, depth=2, thread_count=1, verbose=0, train_dir=str(folder))
        return model.fit(X, Y, eval_set=(X, Y), callbacks=[callback])

    def test_each_round_is_reported(self, module: Any, reports: Any, tmp_path: Path) -> None:
        self.train(module.TuneCallback(["validation-Logloss"]), tmp_path)
        assert [step for step, _ in reports] == [1, 2, 3, 4, 5]
        assert set(reports[0][1]) == {"validation-Logloss"}
