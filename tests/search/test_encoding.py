"""The rows of numbers by which models know trials."""

from __future__ import annotations

from typing import Any

import numpy as np
from amounts import examples
from hypothesis import given, settings
from late import LATE

from cloudtune.search.encoding import Encoding
from cloudtune.space.parameters import Float
from cloudtune.space.space import Space
from cloudtune.testing.specs import spaces

if LATE:
    from cloudtune.search import gp


@given(entries=spaces())
@settings(max_examples=examples(60), deadline=None)
def test_rows_and_trials_are_each_others_image(entries: dict[str, Any]) -> None:
    """A trial's row leads back to it, features are finite, and a distance of 0 means the same trial."""
    space = Space(entries)
    encoding = Encoding(space)
    source = np.random.default_rng(0)
    trials = [space.at(row.tolist()) for row in source.random((12, encoding.size))]
    rows = encoding.rows(trials)
    assert [space.key(encoding.values(row)) for row in rows] == [space.key(values) for values in trials]
    features = encoding.features(rows)
    assert np.isfinite(features).all()
    assert features.shape == (12, len(encoding.owner))
    distances = gp.squared_distances(features, features)
    for one in range(12):
        for other in range(12):
            if space.key(trials[one]) == space.key(trials[other]):
                assert distances[one, other] < 1e-9


def _roomy(parameter: Any) -> bool:
    """Whether a range has so many doubles that a value tells where in it it lies."""
    if not isinstance(parameter, Float):
        return True
    largest = 1.0 if parameter.scale == "reverse_log" else max(abs(parameter.low), abs(parameter.high))
    return parameter.high - parameter.low > 1e-8 * largest


@given(entries=spaces())
@settings(max_examples=examples(60), deadline=None)
def test_snapping_finds_the_row_of_a_possible_trial(entries: dict[str, Any]) -> None:
    space = Space(entries)
    encoding = Encoding(space)
    if any(dimension.axis.size is not None and dimension.axis.size > 256 for dimension in space.dimensions):
        return  # walked like a continuum, and brought to its levels with the trial itself
    rows = encoding.snap(np.random.default_rng(1).random((12, encoding.size)))
    values = [encoding.values(row) for row in rows]
    again = encoding.rows(values)
    assert [encoding.values(row) for row in again] == values
    if all(_roomy(dimension.parameter) for dimension in space.dimensions):
        np.testing.assert_allclose(again, rows, atol=1e-4)
