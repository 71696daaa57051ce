# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of figures as a small line: the points of an SVG polyline."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 90, 20
"""Of the drawing, in its own units."""
MARGIN = 1.5


def points(values: Sequence[float], at_least: float) -> str:
    """The points of a line from left to right, newest last, the highest value at the top.

    `at_least` is the value at the top if none is as high, so that small changes look small. One
    value is a line of its own.
    """
    if not values:
        return ""
    shown = values if len(values) > 1 else (values[0], values[0])
    top = max(at_least, *shown)
    step = (WIDTH - 2 * MARGIN) / (len(shown) - 1)
    return " ".join(
        f"{MARGIN + index * step:.1f},{HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN):.1f}"
        for index, value in enumerate(shown)
    )
