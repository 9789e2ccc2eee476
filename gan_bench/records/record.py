"""The end of a trial and its scores: the values of ``record.json`` and ``evaluations.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, cast

from gan_bench.config.measures import MEASURES
from gan_bench.records import schema
from gan_bench.records.schema import VERSION


class Status(StrEnum):
    """How a trial ended."""

    DONE = "done"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


class Failure(StrEnum):
    """Classes of reasons why a trial failed."""

    OUT_OF_MEMORY = "out of memory"
    DATA = "data"
    DISK_FULL = "disk full"
    TIMEOUT = "timeout"
    CRASH = "crash"
    SETUP = "setup"


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """The content of ``record.json``: the end of a trial. Keys are documented in ``gan_bench.records.schema``."""

    status: Status
    reason: str | None
    failure: Failure | None = None
    epochs: int = 0
    steps: int = 0
    images: int = 0
    final: Mapping[str, float | None] = field(default_factory=dict)
    best: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ended: str | None = None
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    weights_sha256: str | None = None
    group: int = 1
    captured: bool = False
    way: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    schema: int = VERSION

    def to_json(self) -> dict[str, object]:
        """Return the record as a JSON-able dict."""
        plain = {"schema": self.schema, **asdict(self), "status": str(self.status)}
        for name in ("way", "ended"):  # earlier versions have neither key
            if plain[name] is None:
                del plain[name]
        return {**plain, "failure": self.failure and str(self.failure)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> TrialRecord:
        """Build the record that ``to_json`` described; keys of other versions are left out.

        Raises:
            ValueError: The status or the class of failure is unknown.
        """
        known = {each.name: plain[each.name] for each in fields(cls) if each.name in plain}
        failure = Failure(plain["failure"]) if plain.get("failure") else None
        return cls(**{**known, "status": Status(plain["status"]), "failure": failure})


class Protocol(str):
    """The protocol of scores, ``extractor,split,generated``; scores of different protocols are never ranked together.

    ``,ema`` ends it where the moving average of the weights made the images: such scores stand beside G's and are
    ranked nowhere.
    """

    __slots__ = ()

    @classmethod
    def of(cls, extractor: str, split: str, generated: int, weights: str | None = None) -> Protocol:
        """Join its parts."""
        return cls(",".join([extractor, split, str(generated), *([weights] if weights else [])]))

    @property
    def extractor(self) -> str:
        """Name of the feature extractor."""
        return self.split(",")[0]

    @property
    def reference(self) -> str:
        """Which real images were the reference: a split of the dataset."""
        return self.split(",")[1]

    @property
    def generated(self) -> int:
        """Number of generated images."""
        return int(self.split(",")[2])

    @property
    def average(self) -> bool:
        """Whether the moving average of the weights made the images."""
        return self.endswith(",ema")


def split_name(name: str) -> tuple[str, Protocol | None]:
    """Parse a score's name into measure and protocol; None for a name without brackets."""
    metric, bracket, protocol = name.partition("[")
    return metric, Protocol(protocol.removesuffix("]")) if bracket else None


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number with its protocol. Keys are documented in ``gan_bench.records.schema``."""

    metric: str
    value: float | None
    std: float | None
    extractor: str
    split: str
    real: int
    generated: int
    draw_std: float | None = None
    kept: int | None = None
    note: str | None = None
    weights: str | None = None

    @property
    def name(self) -> str:
        """The metric with its protocol, for example ``fid[lenet-mnist-v1,train,10000]``.

        ``,ema`` ends the protocol where the moving average of the weights made the images.
        """
        return f"{self.metric}[{Protocol.of(self.extractor, self.split, self.generated, self.weights)}]"

    def to_json(self) -> schema.ScoreLine:
        """Return the score as in a line of evaluations."""
        return cast("schema.ScoreLine", {"name": self.name, **asdict(self)})


def best_scores(scores: list[tuple[int, dict[str, float | None]]]) -> dict[str, dict[str, float]]:
    """Pick the best value of every score over a trial's evaluations, with its epoch."""
    best: dict[str, dict[str, float]] = {}
    for epoch, values in scores:
        for name, value in values.items():
            measure, _ = split_name(name)
            if value is None or epoch == 0 or measure not in MEASURES:
                continue
            sign = 1 if MEASURES[measure].lower_is_better else -1
            if name not in best or sign * value < sign * best[name]["value"]:
                best[name] = {"value": value, "epoch": epoch}
    return best
