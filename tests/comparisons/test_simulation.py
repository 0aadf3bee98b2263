"""What the tests' words are worth, by simulation: many tables from one population, compared by their splits.

Two learners fit by least squares, each to a half of the features. Where both halves weigh the same, neither
learner is better on new data, though on every single table one is; where one weighs more, it is.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reproven.comparisons import significance

SPLITS, ROWS, TESTED = 10, 120, 24
TABLES = 1500
LEVEL = 0.05


def differences(rng: np.random.Generator, advantage: float) -> list[float]:
    """Test RMSE of one learner minus the other's, one a random split of one table."""
    X = rng.normal(size=(ROWS, 6))
    y = X @ np.array([1.0 + advantage] * 3 + [1.0] * 3) + rng.normal(size=ROWS)
    found = []
    for _ in range(SPLITS):
        order = rng.permutation(ROWS)
        test, train = order[:TESTED], order[TESTED:]
        errors = []
        for own in (slice(0, 3), slice(3, 6)):
            fitted = np.linalg.lstsq(X[train, own], y[train], rcond=None)[0]
            errors.append(float(np.sqrt(np.mean((y[test] - X[test, own] @ fitted) ** 2))))
        found.append(errors[0] - errors[1])
    return found


def shares(advantage: float) -> tuple[float, float]:
    """How many tables' splits tell the learners apart: for new data, and on the table."""
    rng = np.random.default_rng(20)
    told = np.zeros(2)
    for _ in range(TABLES):
        found = differences(rng, advantage)
        told += (
            significance.resampled(found, TESTED / (ROWS - TESTED)).p < LEVEL,
            significance.sign_flips(found).p < LEVEL,
        )
    new_data, table = told / TABLES
    return float(new_data), float(table)


@pytest.mark.slow
def test_new_data_is_claimed_falsely_as_seldom_as_the_level_says_where_the_usual_test_is_not() -> None:
    new_data, table = shares(0.0)
    print(f"no difference expected: new data {new_data:.3f}, table {table:.3f}")
    assert new_data <= stats.binom.ppf(0.99, TABLES, LEVEL) / TABLES
    assert table > 4 * LEVEL  # it answers another question


@pytest.mark.slow
def test_a_difference_that_is_there_is_claimed_the_more_the_larger_it_is() -> None:
    found = [shares(advantage)[0] for advantage in (0.2, 0.4, 0.8)]
    print("power for new data:", found)
    assert found == sorted(found)
    assert found[-1] > 0.9
