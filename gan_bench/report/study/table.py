"""A table as data: what is in it, apart from how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from gan_bench.config.measures import MEASURES
from gan_bench.core.text import slug
from gan_bench.report.study.stats import FEW, Interval, mean_interval

RANKED = "median"
"""Column of a ranking that says what ranks: the median of the primary measure."""
Kind = Literal["text", "count", "number", "seconds", "share", "p", "interval", "range", "value"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Column of the frame; an ``interval`` (mean ± half) and a ``range`` (mean, low to high) also read
            ``key_low``, ``key_high`` and ``key_n``.
        title: What people read.
        kind: How a value is written.
        note: A sentence that explains it, shown below the table with the column.
        vital: Whether a narrow terminal leaves out other columns first.
        decimals: Fixed decimals of its numbers, or None for four significant digits.
        detail: Whether a terminal shows it only where everything is asked for.
        essential: Whether it is never left out: without it the table says nothing.
    """

    key: str
    title: str
    kind: Kind = "text"
    note: str = ""
    vital: bool = False
    decimals: int | None = None
    detail: bool = False
    essential: bool = False


@dataclass(frozen=True)
class Table:
    """A table as data.

    Attributes:
        name: Name of its files.
        title: One line above it.
        columns: What is shown, in order.
        rows: The frame; it may hold more columns than are shown. ``baseline`` marks rows that are no setting.
        note: One line below it, or nothing.
        suite: The suite it is about, or nothing.
        kind: What sort of table it is: ``settings``, ``factor``, ``cost`` and so on.
        about: What tells it from others of its kind: a protocol, or a factor and a protocol.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: pd.DataFrame
    note: str = ""
    suite: str = ""
    kind: str = ""
    about: tuple[str, ...] = ()

    @property
    def ranking(self) -> bool:
        """Whether it ranks the settings of a study; rows may be flagged ``best`` and ``tied``."""
        return self.kind == "settings"


def arrow(metric: str) -> str:
    """Title of a metric with an arrow towards better."""
    measure = MEASURES[metric]
    return f"{measure.title} {'↓' if measure.lower_is_better else '↑'}"


def score_column(metric: str) -> Column:
    """Return the column of a measure's means over seeds; shares have fixed decimals, so that 0 and 0.0001 compare."""
    share = MEASURES[metric].bounds == (0, 1)
    return Column(metric, arrow(metric), "interval", decimals=3 if share else None)


def put_interval(row: dict[str, object], key: str, interval: Interval | None) -> None:
    """Lay an interval into a row, as the columns an ``interval`` column reads."""
    row[key] = interval.estimate if interval else None
    row[f"{key}_low"] = interval.low if interval else None
    row[f"{key}_high"] = interval.high if interval else None
    row[f"{key}_n"] = interval.n if interval else 0


def median_of(values: pd.Series[Any]) -> float | None:
    """Median of the values that are known, or None when there are none."""
    known = values.dropna().astype(float)
    return float(known.median()) if len(known) else None


def interval_of(values: pd.Series[Any], bounds: tuple[float | None, float | None] = (None, None)) -> Interval | None:
    """Mean and interval of the values that are known, or None when there are none.

    Of two values the ends are the values: Student's interval of two is so wide that it says nothing.

    Args:
        values: One per seed.
        bounds: Lowest and highest value that there can be, which the interval keeps.
    """
    known = values.dropna().astype(float)
    if not len(known):
        return None
    found = mean_interval(known)
    if found.low is None or found.high is None:
        return found
    if found.n < FEW:
        return Interval(found.estimate, float(known.min()), float(known.max()), found.n)
    low, high = bounds
    return Interval(
        found.estimate,
        found.low if low is None else max(found.low, low),
        found.high if high is None else min(found.high, high),
        found.n,
    )


def profile_mark(profile: str) -> str:
    """Return a profile's name for titles."""
    return "QUICK profile, cut down" if profile == "quick" else "full profile"


def name_table(
    names: tuple[str, ...], kind: str, title: str, columns: list[Column], rows: pd.DataFrame, note: str, *about: str
) -> Table:
    """Name a table after its suite, profile and dataset, and mark what is cut down."""
    suite, profile, *rest = names
    return Table(
        slug(*names, kind, *about),
        f"{', '.join([suite, *rest])}: {title} ({profile_mark(profile)})",
        tuple(columns),
        rows,
        note,
        suite,
        kind,
        about,
    )
