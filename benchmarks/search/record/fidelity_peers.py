"""Peers that learn from the epochs of a trial, each with its defaults; one is imported where it is used alone.

Each is asked for trials and told each epoch's loss, and says whether the trial goes on.
"""

import logging
from datetime import datetime
from typing import Any

from peers import Engine, Entry, Peer, Random, Values

GO, STOP, PAUSE = "go", "stop", "pause"
EPOCHS = 27
"""Epochs of a whole trial: rungs at 1, 3 and 9."""

_REDUCTION = 3


class CurveEngine:
    """A peer that follows trials epoch by epoch."""

    def ask(self) -> tuple[Any, Values]:
        """Return the token of a trial, that of a paused one to go on with it, and its values."""
        raise NotImplementedError

    def report(self, token: Any, epoch: int, loss: float) -> str:
        """Return `GO`, `STOP` or `PAUSE`; not `GO` after the last epoch."""
        raise NotImplementedError


class Whole(CurveEngine):
    """A peer that knows of no epochs: each trial comes to its end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self) -> tuple[Any, Values]:
        token, values = self._engine.ask()
        return (object(), token), values

    def report(self, token: Any, epoch: int, loss: float) -> str:
        if epoch < EPOCHS:
            return GO
        self._engine.tell(token[1], loss)
        return STOP


class Cloudtune(CurveEngine):
    """A strategy of cloudtune with rungs."""

    def __init__(self, more: dict[str, Any], space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import cloudtune.search.bayesian_model  # noqa: F401  # so that no suggestion waits for it
        from cloudtune.search import Search

        entries = {}
        for each in space:
            scale = {"scale": "log"} if each.get("log") else {}
            entries[each["name"]] = {**{key: each[key] for key in each if key not in ("name", "log")}, **scale}
        strategy = {"type": "hyperband", "max_resource": EPOCHS, **more}
        # It is limited by epochs, of which more trials come.
        self._search = Search(entries, {"metric": "loss", "goal": "minimize"}, strategy, seed=seed, trials=50 * budget)

    def ask(self) -> tuple[Any, Values]:
        trial = self._search.ask()
        return trial.number, dict(trial.parameters)

    def report(self, token: Any, epoch: int, loss: float) -> str:
        over = self._search.report(token, epoch, {"loss": loss})
        if epoch == EPOCHS:
            self._search.tell(token)
            return STOP
        if not over:
            return GO
        self._search.tell(token, state="paused" if self._search.pauses else "pruned")
        return PAUSE if self._search.pauses else STOP


class Dehb(CurveEngine):
    """DEHB (Awad et al. 2021): a trial ends where its bracket says, and each is trained from its beginning."""

    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import tempfile

        import ConfigSpace as cs  # noqa: N813
        from dehb import DEHB

        whole = cs.ConfigurationSpace(seed=seed)
        for each in space:
            if each["type"] == "float":
                whole.add(cs.UniformFloatHyperparameter(each["name"], each["low"], each["high"], log=each["log"]))
            elif each["type"] == "int":
                whole.add(cs.UniformIntegerHyperparameter(each["name"], each["low"], each["high"], log=each["log"]))
            else:
                whole.add(cs.CategoricalHyperparameter(each["name"], each["values"]))
        self._space, self._folder = space, tempfile.TemporaryDirectory()
        self._dehb = DEHB(
            cs=whole, min_fidelity=1, max_fidelity=EPOCHS, eta=_REDUCTION, n_workers=1, seed=seed,
            output_path=self._folder.name, log_level="ERROR",
        )  # fmt: skip

    def ask(self) -> tuple[Any, Values]:
        job = self._dehb.ask()
        own = {"int": int, "float": float}
        values = {
            each["name"]: own.get(each["type"], lambda value: value)(job["config"][each["name"]])
            for each in self._space
        }
        return _Job(job), values

    def report(self, token: Any, epoch: int, loss: float) -> str:
        if epoch < round(token.job["fidelity"]):
            return GO
        self._dehb.tell(token.job, {"fitness": loss, "cost": epoch})
        return STOP


class _Job:
    """A job of DEHB: like no other, so that it may be a key."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job


class SyneTune(CurveEngine):
    """A scheduler of Syne Tune."""

    def __init__(self, scheduler: str, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import numpy as np
        from syne_tune import config_space
        from syne_tune.optimizer import baselines

        logging.disable(logging.WARNING)
        np.random.seed(seed)  # it draws brackets from there
        kinds = {
            ("float", False): config_space.uniform, ("float", True): config_space.loguniform,
            ("int", False): config_space.randint, ("int", True): config_space.lograndint,
        }  # fmt: skip
        made = {}
        for each in space:
            listed = "values" in each
            kind = config_space.choice if listed else kinds[each["type"], each["log"]]
            made[each["name"]] = kind(each["values"]) if listed else kind(each["low"], each["high"])
        self._scheduler = getattr(baselines, scheduler)(
            made, metric="loss", time_attr="epoch", max_t=EPOCHS, grace_period=1, reduction_factor=_REDUCTION,
            random_seed=seed,
        )  # fmt: skip
        self._trials: dict[int, Any] = {}

    def ask(self) -> tuple[Any, Values]:
        from syne_tune.backend.trial_status import Trial

        suggestion = self._scheduler.suggest()
        trial = Trial(len(self._trials), suggestion.config, datetime(2026, 1, 1))  # noqa: DTZ001  # as its Tuner makes them
        self._scheduler.on_trial_add(trial)
        self._trials[trial.trial_id] = trial
        values = {name: value.item() if hasattr(value, "item") else value for name, value in suggestion.config.items()}
        return trial.trial_id, values

    def report(self, token: Any, epoch: int, loss: float) -> str:
        trial, result = self._trials[token], {"loss": loss, "epoch": epoch}
        decision = self._scheduler.on_trial_result(trial, result)
        if epoch == EPOCHS:
            self._scheduler.on_trial_complete(trial, result)
            return STOP
        if decision == "STOP":
            self._scheduler.on_trial_remove(trial)
        return {"CONTINUE": GO, "STOP": STOP, "PAUSE": PAUSE}[decision]


_SYNE_TUNE = (
    "numpy", "scipy", "dill", "pandas", "typing_extensions", "sortedcontainers", "statsmodels", "scikit-learn", "tqdm",
    "psutil", "huggingface_hub",
)  # fmt: skip
_ALONE = ("syne-tune", "xgboost-cpu")
"""Syne Tune asks for XGBoost with gigabytes for other processors."""


def _ours(**more: Any) -> Peer:
    return Peer(lambda *about: Cloudtune(more, *about), planned=True)


def _syne_tune(scheduler: str) -> Peer:
    return Peer(lambda *about: SyneTune(scheduler, *about), _SYNE_TUNE, "synetune", alone=_ALONE)


def _whole() -> Peer:
    from peers import PEERS

    return Peer(lambda *about: Whole(PEERS["cloudtune"].make(*about)), planned=True)


FIDELITY_PEERS: dict[str, Peer] = {
    "cloudtune hyperband": _ours(searcher="bayesian", resume="checkpoint"),
    "cloudtune hyperband, stopped": _ours(searcher="bayesian"),
    "cloudtune, whole trials": _whole(),
    "random, whole trials": Peer(lambda *about: Whole(Random(*about))),
    "DEHB": Peer(lambda *about: Dehb(*about), ("DEHB",), "dehb"),
    "Syne Tune BOHB": _syne_tune("BOHB"),
    "Syne Tune ASHACQR": _syne_tune("ASHACQR"),
}
