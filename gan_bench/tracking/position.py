"""How far a run in MLflow mirrors its record, kept in a tag of the run itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TAG = "gan_bench.synced"


@dataclass(frozen=True)
class Position:
    """What of a record a run has.

    Attributes:
        epoch: Last epoch whose means are there.
        step: Last logged step whose values are there.
        evaluated: Epochs whose scores are there.
        samples: Epochs whose sample grids are there.
        seconds: Seconds of training after that epoch.
        images: Real images shown by then.
        end: Digest of the end of the trial that is there, or nothing.
    """

    epoch: int = 0
    step: int = 0
    evaluated: frozenset[int] = frozenset()
    samples: frozenset[int] = frozenset()
    seconds: float = 0.0
    images: int = 0
    end: str = ""

    def to_tag(self) -> str:
        """Return it as the value of a tag."""
        content = {**vars(self), "evaluated": sorted(self.evaluated), "samples": sorted(self.samples)}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_tag(cls, text: str | None) -> Position:
        """Read the value of a tag; one that somebody edited counts as nothing, and all is sent again."""
        try:
            content: dict[str, Any] = json.loads(text or "{}")
            return cls(
                int(content.get("epoch", 0)),
                int(content.get("step", 0)),
                frozenset(map(int, content.get("evaluated", ()))),
                frozenset(map(int, content.get("samples", ()))),
                float(content.get("seconds", 0.0)),
                int(content.get("images", 0)),
                str(content.get("end", "")),
            )
        except (ValueError, TypeError, AttributeError):
            return cls()

    def lacks(self, line: Mapping[str, Any]) -> bool:
        """True if a line of a history or of evaluations is new to the run."""
        if "kind" not in line:
            return line["epoch"] not in self.evaluated
        return bool(line["epoch"] > self.epoch if line["kind"] == "epoch" else line["step"] > self.step)
