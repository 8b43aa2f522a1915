"""The model's view of a run: where it expects the best, what it expects of the best trial, and the effect of each parameter."""

import math
from collections.abc import Sequence
from html import escape

from cloudtune.report.figures import Axis, Chart, Series
from cloudtune.report.parameters import by_parameter
from cloudtune.report.study import Study
from cloudtune.report.tables import table
from cloudtune.report.words import number, scalar
from cloudtune.search.insight import LEAST, Effect, Expected
from cloudtune.space.space import Values

MAX_EFFECTS = 6
"""Most parameters whose effect is drawn; of more, the most important."""


def expected(study: Study) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """Return a sentence, and the columns and rows of a table of what the model expects to be the best, and of the best trial.

    Without enough trials the sentence says so, and there are no rows.
    """
    if not study.insight.ready:
        return f"Not shown: it takes at least {LEAST} completed trials of a space that varies.", (), []
    found = study.insight.best()
    kept = " within the constraints" if study.job.constraints else ""
    rows: list[tuple[str, ...]] = []
    if found is not None:
        rows.append((f"the best{kept}, as it expects", *_cells(study, found), ""))
    shown = study.best or (study.ranked[0] if study.ranked else None)
    if shown is not None and study.space.contains(shown.parameters):
        own = number(study.values[shown.number])
        rows.append((f"trial {shown.number}, the best", *_cells(study, study.insight.expected(shown.parameters)), own))
    metric = study.objective.metric
    columns = ("", metric, "90 % interval", "parameters", "its value")
    text = (
        f"A Gaussian process of {study.insight.count:,} completed trials, whatever strategy chose them, expects these values of "
        f"{metric}, without the noise of a single trial. The best of many noisy trials had luck: where its value is better than "
        "the interval, expect less of it. The best as it expects is the setting with the best worse end of the interval."
    )
    return text, columns, rows


def expectations(study: Study) -> str:
    """Return HTML of `expected`."""
    text, columns, rows = expected(study)
    return f'<p class="caption">{escape(text)}</p>' + (table(columns, rows) if rows else "")


def _cells(study: Study, expected: Expected) -> tuple[str, str, str]:
    ends = sorted((study.sign * expected.low, study.sign * expected.high))
    interval = f"{number(ends[0])} to {number(ends[1])}"
    return number(study.sign * expected.loss), interval, _parameters(expected.parameters)


def _parameters(values: Values) -> str:
    return " ".join(
        f"{name}={f'{value:.4g}' if isinstance(value, float) else scalar(value)}" for name, value in values.items()
    )


def effects(study: Study) -> list[tuple[str, Chart]]:
    """Return the partial dependence of the objective on the most important parameters, each by its key; [] without a model."""
    if not study.insight.ready:
        return []
    shares = study.shares or {}
    varying = [(index, each) for index, each in enumerate(study.space.dimensions) if each.axis.size != 1]
    varying.sort(key=lambda pair: -shares.get(pair[1].name, 0.0))
    found = [(each.key, study.insight.effect(index)) for index, each in varying[:MAX_EFFECTS]]
    known = [(key, effect) for key, effect in found if effect is not None]
    limits = _limits(study, [effect for _, effect in known])
    return [(key, _chart(study, effect, limits)) for key, effect in known]


def effects_caption(study: Study, shown: Sequence[tuple[str, Chart]]) -> str:
    """Return the common caption of the charts of `effects`."""
    few = f" The {len(shown)} most important parameters are shown." if len(shown) == MAX_EFFECTS else ""
    return (
        f"The {study.objective.metric} that the model expects by the value of each parameter, averaged over settings of all others "
        f"(partial dependence), with the 90 % interval of a single setting.{few}"
    )


def _limits(study: Study, shown: Sequence[Effect]) -> tuple[float, float] | None:
    """Return the range of the objective in all charts; None where no value is finite."""
    values = [study.sign * value for effect in shown for value in (*effect.low, *effect.high) if math.isfinite(value)]
    if not values:
        return None
    margin = 0.05 * (max(values) - min(values)) or 1e-9
    return min(values) - margin, max(values) + margin


def _chart(study: Study, effect: Effect, limits: tuple[float, float] | None) -> Chart:
    dimension = study.space.dimensions[effect.dimension]
    ends = [[study.sign * value for value in each] for each in (effect.low, effect.high)]
    low, high = ([choice(pair) for pair in zip(*ends, strict=True)] for choice in (min, max))
    middle = [study.sign * value for value in effect.losses]
    if dimension.axis.ordered:
        band = Series("band", "", effect.positions, low=low, high=high, opacity=0.18)
        series = [band, Series("line", "", effect.positions, middle)]
    else:
        series = [Series("points", "", effect.positions, middle, low=low, high=high, size=8)]
    caption = f"{study.objective.metric} by {dimension.key}, as the model expects it."
    return by_parameter(caption, study, dimension, series, Axis(limits=limits), 260)
