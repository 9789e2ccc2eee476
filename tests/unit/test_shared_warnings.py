"""Blocks that change the filters of warnings give them back, however they overlap."""

from __future__ import annotations

import warnings

from gan_bench.core.shared_settings import shared_warnings


def test_what_overlaps_is_given_back_with_the_last():
    shows, filters = warnings.showwarning, list(warnings.filters)
    first, second = shared_warnings(), shared_warnings()
    first.__enter__()
    warnings.showwarning = lambda *_: None
    second.__enter__()
    warnings.simplefilter("ignore")
    first.__exit__(None, None, None)
    assert warnings.showwarning is not shows, "the second one still goes on"
    second.__exit__(None, None, None)
    assert warnings.showwarning is shows
    assert warnings.filters == filters
