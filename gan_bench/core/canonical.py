"""Canonical text of values, from which digests, trial ids and seeds are derived."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """Serialise a JSON-able value so that equal values give equal text.

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def derive_seed(seed: int, purpose: str) -> int:
    """Give each random purpose of a trial a seed of its own.

    Args:
        seed: The trial's seed.
        purpose: What the draws are for, for example ``init/generator`` or ``epoch/3/order``.

    Returns:
        An integer in [0, 2**63), the head of the SHA-256 of both.
    """
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
