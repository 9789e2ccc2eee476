"""Every key that a record may hold, with its type and its meaning, in one place.

Records are read through these forms, so a file that does not fit is a damaged record and no traceback; a test
compares them with what is written. Keys that earlier versions did not write are ``NotRequired``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter
from typing_extensions import TypedDict

_FORM = ConfigDict(strict=True, extra="allow")
Number = FiniteFloat | None
Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(description="SHA-256 of the rest of this file, as canonical JSON [timing]")]
Schema = Annotated[Literal[1], Field(description="version of the record layout")]


class Trial(TypedDict):
    """``trial.json``, written before training starts."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    schema: Schema
    id: Annotated[str, Field(description="first eight hex digits of the SHA-256 of the config's canonical JSON")]
    name: Annotated[str, Field(description="setting and seed, as people call the trial")]
    setting: Annotated[str, Field(description="the recipe and what differs from it, without the seed")]
    config: Annotated[dict[str, Any], Field(description="the TrialConfig, field by field")]
    provenance: Annotated[
        dict[str, str], Field(description="where each recipe value comes from: stated, code, lineage or chosen")
    ]
    sha256: NotRequired[Digest]


class Environment(TypedDict):
    """``environment.json``, written when the trial first starts."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    schema: Schema
    started: Annotated[str, Field(description="when the trial first started, ISO 8601 in UTC [timing]")]
    gan_bench: NotRequired[Annotated[str, Field(description="version of this package")]]
    git_commit: NotRequired[Annotated[str | None, Field(description="commit of the working tree, or null outside one")]]
    git_dirty: NotRequired[
        Annotated[bool | None, Field(description="whether that working tree had uncommitted changes, or null")]
    ]
    python: NotRequired[Annotated[str, Field(description="version of Python")]]
    platform: NotRequired[Annotated[str, Field(description="operating system and machine")]]
    libraries: NotRequired[
        Annotated[dict[str, str], Field(description="versions of torch, torchvision, numpy and scipy")]
    ]
    device: NotRequired[Annotated[str, Field(description="what computed: cpu or cuda:N")]]
    device_name: NotRequired[Annotated[str, Field(description="name of the processor or graphics card")]]
    data_sha256: NotRequired[Annotated[str | None, Field(description="digest of the prepared training images")]]
    networks_sha256: NotRequired[
        Annotated[str | None, Field(description="digest of the layers of both networks: kinds, settings, shapes")]
    ]
    engine: NotRequired[Annotated[str, Field(description="how the update was executed")]]
    threads: NotRequired[
        Annotated[int, Field(description="CPU threads of one operation; other counts may change the last bits")]
    ]
    changes: NotRequired[
        Annotated[
            list[dict[str, Any]],
            Field(
                description="threads, device or libraries of later parts of a resumed trial, where they differ; "
                "bits may too"
            ),
        ]
    ]
    determinism: NotRequired[
        Annotated[
            dict[str, Any],
            Field(description="settings that fix the bits; TensorFloat-32 is never used in scores"),
        ]
    ]
    sha256: NotRequired[Digest]


class Statistics(TypedDict):
    """The four values that every article watches."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    loss_d: Annotated[Number, Field(description="BCE(D(x), 1) + BCE(D(G(z)), 0)")]
    loss_g: Annotated[Number, Field(description="BCE(D(G(z)), 1) of the G update")]
    d_real: Annotated[Number, Field(description="mean D(x) as a probability, in the D step before its update")]
    d_fake: Annotated[Number, Field(description="mean D(G(z)) as a probability, in the D step before its update")]


class Step(Statistics):
    """A ``step`` line of ``history.jsonl``, one per log interval."""

    kind: Annotated[Literal["step"], Field(description='"step"')]
    epoch: Annotated[Count, Field(description="epoch in which the step lies, from 1")]
    step: Annotated[Count, Field(description="update steps done so far")]


class Epoch(TypedDict):
    """An ``epoch`` line of ``history.jsonl``, one per finished epoch."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    kind: Annotated[Literal["epoch"], Field(description='"epoch"')]
    epoch: Annotated[Count, Field(description="epochs finished")]
    step: Annotated[Count, Field(description="update steps done so far")]
    images: Annotated[Count, Field(description="real images shown so far")]
    train_seconds: Annotated[FiniteFloat, Field(description="seconds of training so far, evaluation apart [timing]")]
    mean: Annotated[Statistics, Field(description="loss_d, loss_g, d_real, d_fake averaged over the epoch's steps")]
    last: Annotated[
        Statistics,
        Field(description="the same four of the epoch's last batch, as most of the articles print them"),
    ]


class Score(TypedDict):
    """One score of an evaluation."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    name: Annotated[str, Field(description="score with its protocol, for example fid[lenet-mnist-v1,train,10000]")]
    metric: Annotated[str, Field(description="the measure alone, a name of gan_bench.config.measures.MEASURES")]
    value: Annotated[Number, Field(description="the number, or null when it cannot be computed")]
    std: Annotated[Number, Field(description="spread that belongs to the measure itself, or null")]
    extractor: Annotated[str, Field(description="name of the feature extractor")]
    split: Annotated[str, Field(description="which real images were the reference")]
    real: Annotated[Count, Field(description="number of real images")]
    generated: Annotated[Count, Field(description="number of generated images")]
    kept: NotRequired[
        Annotated[
            int | None,
            Field(
                description="images of each side that a measure of sampled features looked at when there were more "
                "(fid_inf, kid, precision, recall, copies; with or without a value), or null"
            ),
        ]
    ]
    draw_std: NotRequired[
        Annotated[
            Number,
            Field(
                description="standard deviation over further draws of the evaluation noise for the same generator, "
                "or null"
            ),
        ]
    ]
    note: NotRequired[Annotated[str | None, Field(description="why the value is null or doubtful, or null")]]


class Evaluation(TypedDict):
    """A line of ``evaluations.jsonl``."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    epoch: Annotated[
        Count, Field(description="epochs finished when the scores were taken; 0 is the untrained generator")
    ]
    step: NotRequired[Annotated[Count, Field(description="update steps done so far")]]
    images: NotRequired[Annotated[Count, Field(description="real images shown so far")]]
    train_seconds: NotRequired[Annotated[FiniteFloat, Field(description="seconds of training so far [timing]")]]
    seconds: NotRequired[Annotated[FiniteFloat, Field(description="seconds this evaluation took [timing]")]]
    scores: Annotated[list[Score], Field(description="list of scores, each with its protocol")]


class Baseline(TypedDict):
    """One baseline in ``SUITE/anchors.json``: held-out real images scored as if they had been generated."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    dataset: Annotated[str, Field(description="dataset name")]
    image_size: Annotated[Count, Field(description="height and width the images were prepared to")]
    samples: Annotated[Count, Field(description="generated images of the trials this is the baseline of")]
    pictures: Annotated[Count, Field(description="number of real images that were scored")]
    what: Annotated[
        str,
        Field(description="what they are: held-out images, or one half of the training split against the other"),
    ]
    data_sha256: NotRequired[Annotated[str, Field(description="digest of the prepared training images")]]
    scores: Annotated[list[Score], Field(description="list of scores of these real images, each with its protocol")]


class Best(TypedDict):
    """The best value of one score over a trial's evaluations."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    value: Annotated[FiniteFloat, Field(description="the value")]
    epoch: Annotated[Count, Field(description="the epoch it was found at")]


class Record(TypedDict):
    """``record.json``, written last and atomically."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    schema: Schema
    status: Annotated[
        Literal["done", "diverged", "failed", "interrupted", "skipped"],
        Field(description="done, diverged, failed, interrupted or skipped"),
    ]
    reason: Annotated[str | None, Field(description="one sentence when the status is not done, else null")]
    failure: NotRequired[
        Annotated[
            Literal["out of memory", "data", "disk full", "timeout", "crash", "setup"] | None,
            Field(
                description="class of the reason of a failed trial: out of memory, data, disk full, timeout, crash, "
                "setup; null otherwise"
            ),
        ]
    ]
    epochs: Annotated[Count, Field(description="epochs finished")]
    steps: Annotated[Count, Field(description="update steps done")]
    images: Annotated[Count, Field(description="real images shown")]
    final: Annotated[
        dict[str, Number],
        Field(description="the last epoch's mean losses and D outputs and the last evaluation's scores, by name"),
    ]
    best: Annotated[dict[str, Best], Field(description="for every score the best value, with its epoch")]
    train_seconds: Annotated[FiniteFloat, Field(description="seconds of training [timing]")]
    evaluate_seconds: Annotated[FiniteFloat, Field(description="seconds of evaluation [timing]")]
    peak_memory_bytes: NotRequired[
        Annotated[
            int | None,
            Field(description="most memory held: of the GPU where one trained, else of the process, or null [timing]"),
        ]
    ]
    energy_joules: NotRequired[
        Annotated[
            Number,
            Field(description="energy of the GPU while training, from its reported power, or null [timing]"),
        ]
    ]
    weights_sha256: NotRequired[
        Annotated[str | None, Field(description="SHA-256 of generator.safetensors, or null when there is none")]
    ]
    group: NotRequired[
        Annotated[
            int,
            Field(
                description="most trials, this one included, that took their steps together; seconds and energy are "
                "shares [timing]"
            ),
        ]
    ]
    captured: NotRequired[Annotated[bool, Field(description="whether steps were replayed from a CUDA graph [timing]")]]
    files: NotRequired[
        Annotated[
            dict[str, str],
            Field(
                description="SHA-256 of every other file of the record by its name, checkpoints apart, for gan-bench "
                "verify [timing]"
            ),
        ]
    ]
    sha256: NotRequired[Digest]


class PlannedTrial(TypedDict):
    """One trial of ``SUITE/plan.json``."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    name: Annotated[str, Field(description="setting and seed")]
    setting: Annotated[str, Field(description="the recipe and what differs from it")]
    id: Annotated[str, Field(description="identity of the config")]
    directory: Annotated[str, Field(description="name of its record directory")]
    config: Annotated[dict[str, Any], Field(description="the TrialConfig, field by field")]


class Plan(TypedDict):
    """``SUITE/plan.json``: every trial that was ever planned of a suite's version."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    schema: Schema
    suite: NotRequired[Annotated[str, Field(description="name of the suite")]]
    version: Annotated[Count, Field(description="version of the suite")]
    trials: Annotated[list[PlannedTrial], Field(description="its trials")]
    sha256: NotRequired[Digest]


class Baselines(TypedDict):
    """``SUITE/anchors.json``."""

    __pydantic_config__ = _FORM  # type: ignore[misc]

    schema: Schema
    version: Annotated[Count, Field(description="version of the suite")]
    anchors: Annotated[list[Baseline], Field(description="the baselines")]
    sha256: NotRequired[Digest]


TRIAL = TypeAdapter(Trial)
ENVIRONMENT = TypeAdapter(Environment)
RECORD = TypeAdapter(Record)
PLAN = TypeAdapter(Plan)
BASELINES = TypeAdapter(Baselines)
HISTORY = TypeAdapter(list[Annotated[Step | Epoch, Field(discriminator="kind")]])
EVALUATIONS = TypeAdapter(list[Evaluation])

TIMING = frozenset(
    {
        *("started", "train_seconds", "evaluate_seconds", "seconds", "files", "sha256"),
        *("peak_memory_bytes", "energy_joules", "group", "captured"),
    }
)
"""Keys whose values differ between two runs of the same trial; all others are the same bits."""
