"""Every key that a record may hold, with its type and its meaning; records are read through these forms.

A test compares them with what is written. Keys that earlier versions did not write are ``NotRequired``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, NotRequired, TypeVar, cast, get_args

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat, TypeAdapter, with_config
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict


def doc(text: str) -> FieldInfo:
    """Return the documentation of a key as a pydantic field."""
    info: FieldInfo = Field(description=text)
    return info


LARGEST = 1e100
"""Magnitude above which a number counts as damaged: training is in float32, where sums of larger ones overflow."""


def _moment(text: str) -> str:
    """Check an ISO 8601 time: its year must be one in which this package can have run.

    Raises:
        ValueError: It is none.
    """
    time = datetime.fromisoformat(text)
    if not 1970 < time.year < 9999 or time.tzinfo is None:
        raise ValueError("a time of this era with its zone is needed")
    return text


def _inside(name: str) -> str:
    """Check that a file's name stays in the suite's folder, as in every publication.

    Raises:
        ValueError: It leads elsewhere; what it names would be replaced or removed there.
    """
    if "\\" in name or "\0" in name or not all(part not in ("", ".", "..") for part in name.split("/")):
        raise ValueError("a name inside the suite's folder is needed")
    return name


Real = Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)]
Number = Real | None
Count = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=1e12)]
Small = Annotated[int, Field(ge=1, le=2**20)]
Moment = Annotated[str, AfterValidator(_moment)]
Inside = Annotated[str, AfterValidator(_inside)]
Digest = Annotated[str, doc("SHA-256 of the rest of this file, as canonical JSON [timing]")]
VERSION: Final = 1
"""Version of the format of results folders; raised when readers must know the difference."""
Schema = Annotated[Literal[1], doc("version of the record layout")]


@with_config(ConfigDict(strict=True, extra="allow"))
class Strict(TypedDict):
    """A form whose values have exact types; unknown keys are kept."""


class TrialFile(Strict):
    """``trial.json``, written before training starts."""

    schema: Schema
    id: Annotated[str, doc("first eight hex digits of the SHA-256 of the config's canonical JSON")]
    name: Annotated[str, doc("setting and seed, as people call the trial")]
    setting: Annotated[str, doc("the recipe and what differs from it, without the seed")]
    config: Annotated[dict[str, Any], doc("the TrialConfig, field by field")]
    provenance: Annotated[dict[str, str], doc("where each recipe value comes from: stated, code, lineage or chosen")]
    drawn: NotRequired[Annotated[list[str], doc("fields of the config whose values were drawn at random")]]
    sha256: NotRequired[Digest]


class Part(Strict):
    """The source of a third-party part."""

    name: Annotated[str, doc("name of the distribution or local file; __main__ for what the program registered")]
    version: Annotated[
        str,
        doc("version of the distribution; for what the program registered, the rule of its digest; else empty"),
    ]
    sha256: Annotated[
        str, doc("digest of the code; of what the program registered, of its functions and what they stand on")
    ]
    path: NotRequired[Annotated[str | None, doc("the local file, or null")]]


class EnvironmentFile(Strict):
    """``environment.json``, written when the trial first starts."""

    schema: Schema
    started: Annotated[Moment, doc("when the trial first started, ISO 8601 in UTC [timing]")]
    gan_bench: NotRequired[Annotated[str, doc("version of this package")]]
    git_commit: NotRequired[Annotated[str | None, doc("commit of the working tree, or null outside one")]]
    git_dirty: NotRequired[Annotated[bool | None, doc("whether that working tree had uncommitted changes, or null")]]
    python: NotRequired[Annotated[str, doc("version of Python")]]
    platform: NotRequired[Annotated[str, doc("operating system and machine")]]
    libraries: NotRequired[Annotated[dict[str, str], doc("versions of torch, torchvision, numpy and scipy")]]
    device: NotRequired[Annotated[str, doc("what computed: cpu or cuda:N")]]
    device_name: NotRequired[Annotated[str, doc("name of the processor or graphics card")]]
    data_sha256: NotRequired[Annotated[str | None, doc("digest of the prepared training images")]]
    held_out_sha256: NotRequired[
        Annotated[str | None, doc("digest of the prepared held-out images, or null where there are none")]
    ]
    networks_sha256: NotRequired[
        Annotated[str | None, doc("digest of the layers of both networks: kinds, settings, shapes")]
    ]
    parts: NotRequired[
        Annotated[
            dict[str, Part],
            doc("parts that gan_bench does not ship, by KINDS/NAME: name, version, sha256 of the code, path"),
        ]
    ]
    engine: NotRequired[Annotated[str, doc("how the update was executed")]]
    d_output: NotRequired[
        Annotated[str, doc("what d_real and d_fake are means of: logit, as probabilities, or score, without bounds")]
    ]
    threads: NotRequired[Annotated[Small, doc("CPU threads of one operation; other counts may change the last bits")]]
    changes: NotRequired[
        Annotated[
            list[dict[str, object]],
            doc(
                "threads, device, its name, libraries or held-out images that later parts of a resumed trial had; bits "
                "may differ"
            ),
        ]
    ]
    determinism: NotRequired[
        Annotated[
            dict[str, object],
            doc("settings that fix the bits; TensorFloat-32 is never used in scores"),
        ]
    ]
    sha256: NotRequired[Digest]


class Statistics(Strict):
    """The four values that the articles print."""

    loss_d: Annotated[Number, doc("D's loss with its penalties; in the articles BCE(D(x), 1) + BCE(D(G(z)), 0)")]
    loss_g: Annotated[
        Number, doc("G's loss, in the articles BCE(D(G(z)), 1); where G took no step, that of the D step's fakes")
    ]
    d_real: Annotated[
        Number, doc("mean D(x) in the D step before its update: a probability, or a score of losses without one")
    ]
    d_fake: Annotated[
        Number, doc("mean D(G(z)) in the D step before its update: a probability, or a score of losses without one")
    ]


Statistic = Literal["loss_d", "loss_g", "d_real", "d_fake"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
"""In the order in which every step yields them."""


class StepLine(Statistics):
    """A ``step`` line of ``history.jsonl``, one per log interval."""

    kind: Annotated[Literal["step"], doc('"step"')]
    epoch: Annotated[Count, doc("epoch in which the step lies, from 1")]
    step: Annotated[Count, doc("update steps done so far")]


class EpochLine(Strict):
    """An ``epoch`` line of ``history.jsonl``, one per finished epoch."""

    kind: Annotated[Literal["epoch"], doc('"epoch"')]
    epoch: Annotated[Count, doc("epochs finished")]
    step: Annotated[Count, doc("update steps done so far")]
    images: Annotated[Count, doc("real images shown so far")]
    train_seconds: Annotated[Seconds, doc("seconds of training so far, evaluation apart [timing]")]
    mean: Annotated[Statistics, doc("loss_d, loss_g, d_real, d_fake averaged over the epoch's steps")]
    last: Annotated[
        Statistics,
        doc("the same four of the epoch's last batch, as article A0 prints them"),
    ]


class ScoreLine(Strict):
    """One score of an evaluation."""

    name: Annotated[
        str,
        Field(pattern=r"^[^\[\],]+\[[^\[\],]+,[^\[\],]+,[0-9]+(,ema)?\]$"),
        doc("score with its protocol, for example fid[lenet-mnist-v1,train,10000]"),
    ]
    metric: Annotated[str, doc("the measure alone, a name of gan_bench.config.measures.MEASURES")]
    value: Annotated[Number, doc("the number, or null when it cannot be computed")]
    std: Annotated[Number, doc("spread that belongs to the measure itself, or null")]
    extractor: Annotated[str, doc("name of the feature extractor")]
    split: Annotated[str, doc("which real images were the reference")]
    real: Annotated[Count, doc("number of real images")]
    generated: Annotated[Count, doc("number of generated images")]
    weights: NotRequired[Annotated[str | None, doc("ema when the moving average of G made the images, else null")]]
    kept: NotRequired[
        Annotated[
            Count | None,
            doc(
                "images of each side that a measure of sampled features looked at when there were more "
                "(fid_inf, kid, precision, recall, copies; with or without a value), or null"
            ),
        ]
    ]
    draw_std: NotRequired[
        Annotated[
            Number,
            doc("standard deviation over further draws of the evaluation noise for the same generator, or null"),
        ]
    ]
    note: NotRequired[Annotated[str | None, doc("why the value is null or doubtful, or null")]]


class EvaluationLine(Strict):
    """A line of ``evaluations.jsonl``."""

    epoch: Annotated[Count, doc("epochs finished when the scores were taken; 0 is the untrained generator")]
    step: NotRequired[Annotated[Count, doc("update steps done so far")]]
    images: NotRequired[Annotated[Count, doc("real images shown so far")]]
    train_seconds: NotRequired[Annotated[Seconds, doc("seconds of training so far [timing]")]]
    seconds: NotRequired[Annotated[Seconds, doc("seconds this evaluation took [timing]")]]
    scores: Annotated[list[ScoreLine], doc("list of scores, each with its protocol")]


class Baseline(Strict):
    """One baseline in ``SUITE/anchors.json``: held-out real images scored as if they had been generated."""

    dataset: Annotated[str, doc("dataset name")]
    image_size: Annotated[Count, doc("height and width the images were prepared to")]
    samples: Annotated[Count, doc("generated images of the trials this is the baseline of")]
    pictures: Annotated[Count, doc("number of real images that were scored")]
    what: Annotated[
        str,
        doc("what they are: held-out images, or one half of the training split against the other"),
    ]
    data_sha256: NotRequired[Annotated[str, doc("digest of the prepared training images")]]
    held_out_sha256: NotRequired[
        Annotated[str | None, doc("digest of the prepared held-out images, or null where there are none")]
    ]
    scores: Annotated[list[ScoreLine], doc("list of scores of these real images, each with its protocol")]


class Best(Strict):
    """The best value of one score."""

    value: Annotated[Real, doc("the value")]
    epoch: Annotated[Count, doc("the epoch it was found at")]


class RecordFile(Strict):
    """``record.json``, written last and atomically."""

    schema: Schema
    status: Annotated[
        Literal["done", "diverged", "failed", "interrupted", "skipped"],
        doc("done, diverged, failed, interrupted or skipped"),
    ]
    reason: Annotated[str | None, doc("one sentence when the status is not done, else null")]
    failure: NotRequired[
        Annotated[
            Literal["out of memory", "data", "disk full", "timeout", "crash", "setup"] | None,
            doc(
                "class of the reason of a failed trial: out of memory, data, disk full, timeout, crash, "
                "setup; null otherwise"
            ),
        ]
    ]
    epochs: Annotated[Count, doc("epochs finished")]
    steps: Annotated[Count, doc("update steps done")]
    images: Annotated[Count, doc("real images shown")]
    final: Annotated[
        dict[str, Number],
        doc("the last epoch's mean losses and D outputs and the last evaluation's scores, by name"),
    ]
    best: Annotated[dict[str, Best], doc("for every score the best value, with its epoch")]
    ended: NotRequired[
        Annotated[Moment, doc("when this end was written, ISO 8601 in UTC; earlier versions did not say it [timing]")]
    ]
    train_seconds: Annotated[Seconds, doc("seconds of training [timing]")]
    evaluate_seconds: Annotated[Seconds, doc("seconds of evaluation [timing]")]
    peak_memory_bytes: NotRequired[
        Annotated[
            Count | None,
            doc("most memory held: of the GPU where one trained, else of the process, or null [timing]"),
        ]
    ]
    energy_joules: NotRequired[
        Annotated[
            Seconds | None,
            doc("energy of the GPU while training, from its reported power, or null [timing]"),
        ]
    ]
    weights_sha256: NotRequired[
        Annotated[str | None, doc("SHA-256 of generator.safetensors, or null when there is none")]
    ]
    group: NotRequired[
        Annotated[
            Small,
            doc(
                "most trials, this one included, that took their steps together; seconds and energy are shares [timing]"
            ),
        ]
    ]
    captured: NotRequired[Annotated[bool, doc("whether steps were replayed from a CUDA graph [timing]")]]
    way: NotRequired[
        Annotated[
            str, doc("how the last steps were taken, in a group or on a GPU: `stacked`, `kernels`, `alone`, … [timing]")
        ]
    ]
    files: NotRequired[
        Annotated[
            dict[str, str],
            doc(
                "SHA-256 of every other file of the record by its name, checkpoints apart, for gan-bench "
                "verify [timing]"
            ),
        ]
    ]
    sha256: NotRequired[Digest]


class PlannedTrial(Strict):
    """One trial of ``SUITE/plan.json``."""

    name: Annotated[str, doc("setting and seed")]
    setting: Annotated[str, doc("the recipe and what differs from it")]
    id: Annotated[str, doc("identity of the config")]
    directory: Annotated[str, doc("name of its record directory")]
    drawn: NotRequired[Annotated[list[str], doc("fields of the config whose values were drawn at random")]]
    config: Annotated[dict[str, Any], doc("the TrialConfig, field by field")]
    withdrawn: NotRequired[Annotated[bool, doc("whether the last run of the whole suite planned it no longer")]]


@with_config(ConfigDict(strict=True, extra="forbid"))
class PlannedMeasure(TypedDict):
    """A third-party measure in ``SUITE/plan.json``, so that reports do not need its code."""

    title: Annotated[str, doc("what tables call it")]
    lower_is_better: Annotated[bool, doc("whether smaller is better")]
    description: Annotated[str, doc("one sentence")]
    metric: Annotated[Literal[""], doc("empty: its code is not named here")]
    roles: Annotated[list[str], doc("where it is shown")]
    log_scale: Annotated[bool, doc("whether ratios of its values are compared")]
    bounds: Annotated[list[Real | None], Field(min_length=2, max_length=2), doc("least and greatest value")]


class PlannedDesign(Strict):
    """The seeds of verdicts in ``SUITE/plan.json``, as declared before the first seed."""

    seeds: Annotated[list[Count], doc("seeds in the order in which they count")]
    looks: Annotated[list[Count], Field(min_length=1), doc("numbers of seeds at which verdicts are made")]
    margin: NotRequired[Annotated[Real, Field(ge=0), doc("largest relative difference that counts as none")]]
    lost: NotRequired[Annotated[bool, doc("whether an earlier declaration was lost: then nothing is decided")]]


class PlanFile(Strict):
    """``SUITE/plan.json``: every trial that was ever planned of a suite's version."""

    schema: Schema
    suite: NotRequired[Annotated[str, doc("name of the suite")]]
    version: Annotated[Count, doc("version of the suite")]
    command: NotRequired[Annotated[str, doc("what the suite was last run with; locations of data and tracking apart")]]
    trials: Annotated[list[PlannedTrial], doc("its trials")]
    designs: NotRequired[
        Annotated[dict[str, dict[str, PlannedDesign]], doc("which seeds verdicts are made at, by profile and dataset")]
    ]
    earlier: NotRequired[
        Annotated[
            dict[Annotated[str, Field(pattern=r"^[0-9]{1,18}$")], dict[str, dict[str, PlannedDesign]]],
            doc("the same of the other versions of the suite that were run, by version"),
        ]
    ]
    measures: NotRequired[Annotated[dict[str, PlannedMeasure], doc("measures of other packages and files, by name")]]
    sha256: NotRequired[Digest]


class Baselines(Strict):
    """``SUITE/anchors.json``."""

    schema: Schema
    version: Annotated[Count, doc("version of the suite")]
    anchors: Annotated[list[Baseline], doc("the baselines")]
    sha256: NotRequired[Digest]


class LeftOut(Strict):
    """``SUITE/left-out.json`` of published records: what was not copied, which ``verify`` does not miss."""

    schema: Schema
    files: Annotated[
        dict[Inside, dict[Inside, str]],
        doc("SHA-256 of the files that were not copied, by record directory and name"),
    ]
    published: NotRequired[
        Annotated[dict[Inside, str], doc("SHA-256 of the copied files: a later publication replaces these only")]
    ]
    sha256: NotRequired[Digest]


class AddedScores(Strict):
    """Scores of one evaluated epoch that were added later."""

    epoch: Annotated[Count, doc("evaluated epoch that they are of")]
    at: Annotated[Moment, doc("when they were added, ISO 8601 with zone")]
    version: Annotated[str, doc("version of gan_bench that added them")]
    device: Annotated[str, doc("what computed them")]
    scores: Annotated[list[ScoreLine], doc("the scores, none of which evaluations.jsonl has")]


class AddedFile(Strict):
    """``added.json``, written by ``gan-bench score --add``; no other file of the record changes."""

    schema: Schema
    additions: Annotated[list[AddedScores], doc("what was added, oldest first")]
    sha256: Digest


AuditLevel = Literal["consistent", "rescored", "begun", "repeated", "drawn again"]
"""The levels of an audit, the cheapest first."""
AuditVerdict = Literal["holds", "doubtful", "contradicted", "not audited"]


class AuditFinding(Strict):
    """The finding of an audit about one trial on one level."""

    trial: Annotated[str, doc("identity of its config")]
    name: Annotated[str, doc("setting and seed; of drawn seeds the setting and the seed that was drawn")]
    record_sha256: Annotated[str, doc("SHA-256 of the record.json that was audited; of another one this says nothing")]
    level: Annotated[AuditLevel, doc("consistent, rescored, begun, repeated or drawn again")]
    verdict: Annotated[AuditVerdict, doc("holds, doubtful, contradicted or not audited")]
    text: Annotated[str, doc("what was compared, and how far apart it is")]
    seconds: Annotated[Seconds, doc("seconds that it took [timing]")]
    seeds: NotRequired[Annotated[list[Count], doc("seeds that were drawn again")]]


class AuditMachine(Strict):
    """The machine of an audit."""

    device: Annotated[str, doc("what computed: cpu or cuda:N")]
    device_name: Annotated[str, doc("name of the processor or graphics card")]
    platform: Annotated[str, doc("operating system and machine")]
    libraries: Annotated[dict[str, str], doc("versions of torch, torchvision, numpy and scipy")]
    cpu_capability: Annotated[str, doc("instruction set of PyTorch's kernels on the CPU")]


class Audit(Strict):
    """One audit of a suite's records."""

    at: Annotated[Moment, doc("when it began, ISO 8601 with zone")]
    version: Annotated[str, doc("version of gan_bench that audited")]
    machine: Annotated[AuditMachine, doc("what it ran on")]
    command: Annotated[str, doc("what was asked, without the places of the auditor's machine")]
    nonce: Annotated[str, doc("text that chose the trials and the seeds, given after publication")]
    findings: Annotated[list[AuditFinding], doc("what it found out, trial by trial and level by level")]


class AuditFile(Strict):
    """``SUITE/audit.json``, written by ``gan-bench audit``; a later audit adds to it, and no record changes."""

    schema: Schema
    audits: Annotated[list[Audit], doc("the audits, oldest first")]
    sha256: Digest


T = TypeVar("T")


class Form(Generic[T]):
    """The documented schema of a JSON file.

    Args:
        declared: Its typed dict.
    """

    def __init__(self, declared: type[T]) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(declared)
        self.keys = frozenset(declared.__annotations__)

    def validate(self, content: dict[str, object]) -> T:
        """Validate a file's content.

        Raises:
            ValidationError: It is of another form.
        """
        return self._adapter.validate_python(content)


TRIAL = Form(TrialFile)
ENVIRONMENT = Form(EnvironmentFile)
RECORD = Form(RecordFile)
PLAN = Form(PlanFile)
BASELINES = Form(Baselines)
LEFT_OUT = Form(LeftOut)
ADDED = Form(AddedFile)
AUDIT = Form(AuditFile)
HistoryLine = StepLine | EpochLine
"""A line of ``history.jsonl``."""
HISTORY: TypeAdapter[list[HistoryLine]] = TypeAdapter(
    list[Annotated[StepLine | EpochLine, Field(discriminator="kind")]]
)
EVALUATIONS = TypeAdapter(list[EvaluationLine])

NO_ENVIRONMENT = cast("EnvironmentFile", {})
"""The environment of a trial that never started; read its keys with ``get``."""
NO_RECORD = cast("RecordFile", {})
"""The record of a trial that has not ended."""
NO_PLAN = cast("PlanFile", {})
"""The plan of a suite whose plan is missing or unusable."""
TIMING = frozenset(
    {
        *("started", "ended", "train_seconds", "evaluate_seconds", "seconds", "files", "sha256"),
        *("peak_memory_bytes", "energy_joules", "group", "captured", "way"),
    }
)
"""Keys whose values differ between two runs of the same trial; all others are bit-identical."""
