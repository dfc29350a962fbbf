import math

import pytest

from euds.errors import OptionError
from euds.selection.request import Budget, Interval, parse_budget, parse_interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("middle", None),
        ("0.3:0.7", Interval(0.3, 0.7)),
        (":0.5", Interval(-math.inf, 0.5)),
        ("ie_plugin=2.5:4", Interval(2.5, 4.0, "ie_plugin")),
        ("ie_xent=2.5:", Interval(2.5, math.inf, "ie")),
        ("ge_gap=-1:1", Interval(-1.0, 1.0, "ge_gap")),
    ],
)
def test_intervals_are_read(text, expected):
    assert parse_interval(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0.7:0.3", "0.5", "0.2:1.5", "ie=", "=0:1", "a:b", "ie=2:2", "0.1:0.2:0.3"]
)
def test_unreadable_intervals_are_refused(text):
    with pytest.raises(OptionError, match="interval cannot be read"):
        parse_interval(text)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (0.16, Budget(0.16, "share")),
        ("16%", Budget(0.16, "share")),
        ("500", Budget(500, "rows")),
        (1, Budget(1, "rows")),
        (1.0, Budget(1.0, "share")),
    ],
)
def test_budgets_are_read(keep, expected):
    assert parse_budget(keep) == expected


@pytest.mark.parametrize("keep", ["0", "-3", "1.5", "150%", "many", "nan", "", "0%"])
def test_unreadable_budgets_are_refused(keep):
    with pytest.raises(OptionError, match="budget cannot be read"):
        parse_budget(keep)


def test_a_share_is_rounded_to_the_nearest_row():
    assert [Budget(0.5, "share").rows(rows) for rows in (1, 2, 3, 4)] == [1, 1, 2, 2]
