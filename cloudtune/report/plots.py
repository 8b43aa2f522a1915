"""The charts of a run as figures of plotly, for Python and notebooks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError, TrialError, suggest
from cloudtune.plugins.extras import install
from cloudtune.report import charts, parameters
from cloudtune.report.figures import Drawing
from cloudtune.report.plotly_figures import plotly_figure, plotly_text
from cloudtune.report.plotly_layout import headed, plotly_grid
from cloudtune.report.study import Study, study_without_curves, with_reported_curves
from cloudtune.report.tables import why_failed
from cloudtune.report.words import number, scalar, short

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from cloudtune.results.view import RunView

MAX_LINES = 14
"""Most parameters and metrics of a trial that are shown under the pointer."""


class Plots:
    """The charts of a run, those of its report; each method returns a `plotly.graph_objects.Figure`.

    They draw what the store has at that moment, and never ask the service. A figure shows itself in a notebook; elsewhere
    it has ``show()``, ``write_html(path)`` and ``update_layout(…)``.

    Args:
        run: the run.
    """

    def __init__(self, run: "RunView") -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"<plots of run {self._run.id}: history, parallel, importance, slice, curves>"

    def history(self, *, objective: str | None = None) -> "Figure":
        """Return the objective of every ended trial in the order in which they ended, and the best so far.

        Args:
            objective: its metric; None for the only one.

        Raises:
            ConfigError: the job has several objectives and none is named, or not this one.
            TrialError: no trial has ended with a value.
        """
        study = self._study(objective)
        chart = charts.history(study)
        if chart is None:
            raise _nothing(study, "no trial has ended with a value")
        return _drawn(chart, f"{study.objective.metric} over time", _hovers(study))

    def parallel(self, *, objective: str | None = None) -> "Figure":
        """Return the completed trials as lines through their parameters; the stronger the colour, the better.

        Args:
            objective: see `history`.

        Raises:
            ConfigError: see `history`.
            TrialError: fewer than two trials have completed, or no parameter has two values.
        """
        study = self._study(objective)
        chart = parameters.parallel(study)
        if chart is None:
            few = len(study.ranked) < 2
            raise _nothing(
                study,
                f"it takes two completed trials, and there {'is' if len(study.ranked) == 1 else 'are'} {len(study.ranked)}"
                if few
                else "no parameter has more than one value",
            )
        return _drawn(chart, f"Parameters and {study.objective.metric}")

    def importance(self) -> "Figure":
        """Return how much each parameter decides about each objective (PED-ANOVA, arXiv 2304.10255).

        Raises:
            TrialError: too few trials have completed, or no parameter sets the best ones apart.
        """
        study = study_without_curves(self._run)
        chart = charts.importances(study)
        if isinstance(chart, str):
            raise _nothing(study, chart.removeprefix("Not shown: ").removesuffix("."))
        return _drawn(chart, "Parameter importance")

    def slice(self, parameter: str | None = None, *, objective: str | None = None) -> "Figure":
        """Return the objective by the values of one parameter, or by those of each beside each other.

        Args:
            parameter: its name; None for all, of very many the most important.
            objective: see `history`.

        Raises:
            ConfigError: there is no such parameter, or see `history`.
            TrialError: no trial has a value, or the parameter has only one.
        """
        study = self._study(objective)
        known = [name for each in study.space.dimensions for name in dict.fromkeys((each.name, each.key))]
        if parameter is not None and parameter not in known:
            raise ConfigError(f"the job has no parameter {parameter!r}: {suggest(parameter, dict.fromkeys(known))}")
        found = parameters.slices(study, parameter)
        if not found:
            which = "no parameter" if parameter is None else f"{parameter} never"
            raise _nothing(
                study, f"{which} has more than one value" if study.values else "no trial has a value of the objective"
            )
        figure = plotly_grid([chart for _, chart in found], _hovers(study))
        if parameter is None:
            return _figure(
                headed(figure, f"{study.objective.metric} by each parameter", parameters.slices_caption(study, found))
            )
        captions = " ".join(chart.caption for _, chart in found)
        return _figure(headed(figure, f"{study.objective.metric} by {parameter}", captions))

    def curves(self, *, objective: str | None = None) -> "Figure":
        """Return the learning curves of the trials that reported the objective more than once; of very many a selection.

        Args:
            objective: see `history`.

        Raises:
            ConfigError: see `history`.
            TrialError: no trial has reported it more than once.
        """
        study = with_reported_curves(self._study(objective), self._run)
        chart = charts.curves(study)
        if chart is None:
            raise _nothing(study, f"no trial has reported {study.objective.metric} more than once")
        return _drawn(chart, f"Learning curves: {study.objective.metric}", _hovers(study))

    def _study(self, objective: str | None) -> Study:
        """Return the run's data for the charts of an objective.

        Raises:
            ConfigError: the job has several and none is named, or not this one.
        """
        study = study_without_curves(self._run)
        names = [each.metric for each in study.job.objective]
        if objective is None and len(names) > 1:
            told = ", ".join(map(repr, names))
            raise ConfigError(f"the job has several objectives, {told}; name the one to draw: objective={names[0]!r}")
        if objective is not None and objective not in names:
            raise ConfigError(f"the job has no objective {objective!r}: {suggest(objective, names)}")
        return study if objective is None else study.aimed(names.index(objective))


def _nothing(study: Study, why: str) -> TrialError:
    """Return the error where there is nothing to draw."""
    yet = "" if study.record.state.ended else " yet"
    failed = "" if study.ranked else why_failed(study)
    return TrialError(f"run {study.record.id} has nothing to draw{yet}: {why}.{failed}".removesuffix("."))


def _drawn(chart: Drawing, title: str, hovers: Mapping[int, str] | None = None) -> "Figure":
    return _figure(headed(plotly_figure(chart, hovers), title, chart.caption))


def _figure(figure: dict[str, Any]) -> "Figure":
    try:
        from plotly.graph_objects import Figure  # noqa: PLC0415  # optional, and takes a second
    except ImportError:
        raise ConfigError(f"plots need plotly: {install('plots')}") from None
    return Figure(figure)


def _hovers(study: Study) -> dict[int, str]:
    """Return what is shown of each trial under the pointer: state, metrics and parameters, escaped for plotly."""
    texts = {}
    for trial in study.trials:
        values = [f"{name} = {number(value)}" for name, value in trial.metrics.items()]
        values += [f"{name} = {scalar(value)}" for name, value in trial.parameters.items()]
        more = [f"and {len(values) - MAX_LINES} more"] if len(values) > MAX_LINES else []
        lines = [f"trial {trial.number}, {trial.state.value}", *values[:MAX_LINES], *more]
        texts[trial.number] = "<br>".join(plotly_text(short(line, 80)) for line in lines)
    return texts
