"""The minimiser evaluates no point twice, and ends where scipy's own pairing of value and gradient does."""

import numpy as np
from late import LATE

from cloudtune.search.arrays import Array

if LATE:
    from scipy.optimize import minimize

    from cloudtune.search.descent import descend

BOUNDS = [(-1.0, 1.5)] * 3


def bowl(point: Array) -> tuple[float, Array]:
    target = np.array([0.5, -0.2, 2.0])
    return float(((point - target) ** 2 * [1, 10, 100]).sum()), 2 * (point - target) * [1, 10, 100]


def test_it_is_scipys_own_without_a_second_look_at_a_point() -> None:
    seen: list[bytes] = []

    def counted(point: Array) -> tuple[float, Array]:
        seen.append(point.tobytes())
        return bowl(point)

    found, value = descend(counted, np.zeros(3), BOUNDS, 40)
    own = minimize(bowl, np.zeros(3), jac=True, method="L-BFGS-B", bounds=BOUNDS, options={"maxiter": 40})
    assert len(seen) == len(set(seen)) == own.nfev
    assert np.array_equal(found, own.x)
    assert value == own.fun
    assert descend(bowl, np.zeros(3), BOUNDS, 1)[1] > value, "fewer steps"
