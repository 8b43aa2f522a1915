"""Hydra's sweeper ``cloudtune``: ``python app.py --multirun hydra/sweeper=cloudtune …``.

Hydra finds it in this namespace package, and imports it at each start of an application: cloudtune is loaded by a sweep alone.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class CloudtuneSweeperConf:
    """The settings below ``hydra.sweeper``."""

    _target_: str = "hydra_plugins.cloudtune_sweeper.CloudtuneSweeper"
    on: str | None = None
    """The profile or provider that runs the trials; null: the default one."""
    n_trials: int | None = None
    """How many trials; null only with the strategy grid."""
    parallel: int = 1
    """How many at the same time."""
    direction: Any = "minimize"
    """minimize or maximize what the application returns; a list for a tuple or list."""
    metric: Any = "value"
    """The name of what the application returns; a list for a tuple or list. Of a mapping the entries of these names are taken."""
    strategy: Any = None
    """A strategy of a job, by its name or as a mapping; null: auto."""
    seed: int | None = None
    """The strategy's seed."""
    params: dict[str, str] = field(default_factory=dict)
    """Sweeps by key, in the grammar of the command line, which goes before them."""
    job: dict[str, Any] = field(default_factory=dict)
    """Further fields of the job: stopping, limits, compute, data, ..."""


ConfigStore.instance().store(group="hydra/sweeper", name="cloudtune", node=CloudtuneSweeperConf, provider="cloudtune")


class CloudtuneSweeper(Sweeper):
    """Runs a tuning job of cloudtune whose trials run the application, and writes ``optimization_results.yaml``.

    Args:
        **settings: the fields of `CloudtuneSweeperConf`.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._context: HydraContext | None = None
        self._config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002  # each trial starts the application itself
        """Keep what a sweep needs."""
        self._context, self._config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the job to its end.

        Args:
            arguments: overrides of the command line, some of which are sweeps.

        Returns:
            What is in ``optimization_results.yaml``: ``name``, ``run``, and ``best_evaluated_params`` with
            ``best_evaluated_result``; of several objectives ``solutions``, a list of ``params`` and ``values``.

        Raises:
            HydraException: the sweep is none that can be searched, or no trial succeeded.
        """
        from cloudtune import api  # noqa: PLC0415  # loaded by a sweep alone
        from cloudtune.errors import CloudtuneError  # noqa: PLC0415
        from cloudtune.interop.hydra import job_of, program_of  # noqa: PLC0415

        assert self._context is not None
        assert self._config is not None
        config, here = self._config, Path(self._config.hydra.runtime.cwd)
        settings: dict[str, Any] = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self._settings.items()
        }
        lines = [f"{key}={value}" for key, value in settings["params"].items()]
        given = {line.partition("=")[0].lstrip("+"): line for line in [*lines, *arguments]}  # the command line counts
        parser = OverridesParser.create(config_loader=self._context.config_loader)
        overrides = parser.parse_overrides(list(given.values()))
        try:
            job = job_of(settings, overrides, program_of(config), config.hydra.job.name)
            run = api.prepare(job, settings["on"], base=here)
            print(f"{run.id}: cloudtune show {run.id}", file=sys.stderr)
            run.wait()
            found = _results(run)
        except CloudtuneError as error:
            raise HydraException(str(error)) from error
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, folder / "multirun.yaml")
        OmegaConf.save(OmegaConf.create(found), folder / "optimization_results.yaml")
        return found


def _results(run: Any) -> dict[str, Any]:
    """Return the results of a run that has ended.

    Raises:
        HydraException: no trial succeeded.
    """
    names = [each.metric for each in run.job.objective]
    best = [run.best] if len(names) == 1 else list(run.front)
    if not best or best[0] is None:
        reasons = [trial.reason for trial in run.trials() if trial.reason]
        raise HydraException(f"{run.id}: no trial succeeded; {reasons[0] if reasons else run.record.reason}")
    solutions: list[dict[str, Any]] = [
        {"params": dict(trial.parameters), "values": [trial.metrics[name] for name in names]} for trial in best
    ]
    found: dict[str, Any] = {"name": "cloudtune", "run": run.id}
    if len(names) > 1:
        return {**found, "solutions": solutions}
    first = solutions[0]
    return {**found, "best_evaluated_params": first["params"], "best_evaluated_result": first["values"][0]}
