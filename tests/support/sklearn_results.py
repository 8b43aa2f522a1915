"""What the tests of searches compare: results of scikit-learn's own with ours."""

from typing import Any

import numpy as np


def assert_same_results(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The same keys in the same order, types, masks and values; of times only the types and shapes."""
    assert list(ours) == list(theirs)
    for key, expected in theirs.items():
        found = ours[key]
        assert type(found) is type(expected), key
        if key == "params":
            assert [list(each) for each in found] == [list(each) for each in expected]
            for mine, other in zip(found, expected, strict=True):
                assert all(mine[name] is other[name] or mine[name] == other[name] for name in other)
            continue
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), key
        assert np.array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected)), key
        if "_time" not in key and found.dtype != object:
            np.testing.assert_array_equal(found, expected, err_msg=key)
