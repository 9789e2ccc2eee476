"""The first levels of an audit: the first steps and the scores of a recorded trial again. Never changes the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.audit import standards
from gan_bench.audit.standards import Noise, apart, drift, has_grown, score_gaps
from gan_bench.config.measures import primary_measure
from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.program_code import is_other_code
from gan_bench.core.registry import REGISTRIES
from gan_bench.core.text import plural
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.workers.inline import run_alone, steps_until
from gan_bench.metrics.evaluator import sample_grid
from gan_bench.models.losses import LOSSES
from gan_bench.records.json_files import finite
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import StoredTrial
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.records.schema import (
    NO_RECORD,
    STATISTICS,
    AuditVerdict,
    EvaluationLine,
    ScoreLine,
    Statistics,
    StepLine,
)
from gan_bench.sampling import load_generator
from gan_bench.training.group.ways import ALONE

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_STEPS = standards.ROUNDING[-1][0]
"""Steps up to which beginnings are compared."""
PERTURBED = 3
"""Trainings from perturbed weights."""
HALF_A_UNIT = 6e-8
"""Relative standard deviation of the perturbation: half the distance of float32 numbers, 2**-24."""
GRID_LEVELS = 2.0
"""Mean difference of the sample grid's pixels, in 256 levels, that rounding may make."""

OTHER_IMAGES = "its held-out images changed when it was resumed, and the record does not say at which epoch"
GROWS = "it diverged, and its values grow without bound here and in the record, where rounding leads anywhere"

Judgement = tuple[AuditVerdict, str]
"""A verdict, and the sentence that says what was compared."""


# ------------------------------------------------------------------------------------------------- begun


def first_logged(stored: StoredTrial) -> StepLine | None:
    """Return the first logged step of a trial; None if it lies beyond the steps that are compared."""
    if not stored.history or stored.history[0]["step"] > MOST_STEPS:
        return None
    line = stored.history[0]
    if line["kind"] == "step":
        return line
    return {"kind": "step", "epoch": line["epoch"], "step": line["step"], **line["last"]}


def begun(stored: StoredTrial, context: RunContext) -> Judgement:
    """Train the first logged steps again from the seed, and score the untrained generator again.

    Raises:
        UserError: The images are others, or neither was recorded.
    """
    config, noise = config_of(stored), standards.noise_between(stored.environment, context.device.type)
    require_images(stored, config, context)
    engine = context.engine(config, standards.lone_way(stored.record or NO_RECORD))
    line, said = first_logged(stored), list[Judgement]()
    evaluations = stored.as_recorded().evaluations
    start = next((line for line in evaluations if line["epoch"] == 0), None)
    if start is not None:
        average = None if engine.state.average is None else engine.state.average.module
        said += _images_judged(stored, start, engine.state.generator, average, context, "untrained generator", draws=1)
    if line is not None:
        now = finite(run_alone(steps_until(engine, line["step"])).last)
        said.append(steps_judged(line, now, noise, context, config, diverged=has_diverged(stored)))
    if not said:
        raise UserError(f"neither a step up to {MOST_STEPS} nor the untrained generator was recorded")
    if line is None:
        said.append(("not audited", f"no step up to {MOST_STEPS} was recorded"))
    return all_of(said)


def steps_judged(
    line: StepLine,
    now: Statistics,
    noise: Noise,
    context: RunContext,
    config: TrialConfig,
    *,
    diverged: bool = False,
) -> Judgement:
    """Compare the statistics of a recorded step with those of the same step here.

    Args:
        line: The record's.
        now: Those here.
        noise: Whether both machines draw the same noise.
        context: Where it was trained again.
        config: The trial's.
        diverged: Whether the trial ended so; a step at which it has grown without bound in both is not compared then.
    """
    if all(line[name] == now[name] for name in STATISTICS):
        return "holds", f"step {line['step']}: the same to the bit"
    if has_probabilities(config) and not all(0 <= (line[name] or 0) <= 1 for name in ("d_real", "d_fake")):
        return (
            "contradicted",
            f"step {line['step']}: outputs of D are probabilities, and the record's lie outside 0 to 1",
        )
    if noise == "same" and config.precision == "bf16":
        return "not audited", f"step {line['step']}: how far steps in bfloat16 lie apart was not measured"
    if diverged and has_grown(line) and has_grown(now):
        return "not audited", f"step {line['step']}: {GROWS}"
    measured = noise == "same" and drift(line["step"], noise) is not None
    own = own_drift(line["step"], context, config) if measured else None
    gap = apart(line, now, probabilities=has_probabilities(config))
    allowed = drift(line["step"], noise, own)
    what = "machines that round otherwise" if noise == "same" else "a CPU and a GPU"
    if allowed is None:
        return "not audited", f"step {line['step']}: beyond those that were measured between machines"
    verdict: AuditVerdict = "holds" if gap <= allowed else "contradicted"
    return verdict, f"step {line['step']}: {gap:.2g} apart, {what} come up to {allowed:.2g}"


def own_drift(step: int, context: RunContext, config: TrialConfig) -> float:
    """Return how far rounding alone moves this trial up to a step: the maximum over trainings from perturbed weights.

    Every initial weight is changed by about half a unit in its last place, ``PERTURBED`` times anew; how that grows is
    this network's and this seed's own.
    """
    plain, *others = (_statistics_of(step, index, context, config) for index in range(1 + PERTURBED))
    pairs = (pair for other in others for pair in zip(plain, other, strict=True))
    return max(apart(*pair, probabilities=has_probabilities(config)) for pair in pairs)


def _statistics_of(step: int, perturbation: int, context: RunContext, config: TrialConfig) -> list[Statistics]:
    """Train up to a step, from weights that are perturbed but for perturbation 0, and return the epoch's statistics."""
    engine = context.engine(config, ALONE)  # rounding is what is asked for here, not speed
    if perturbation:
        source = torch.Generator().manual_seed(perturbation)
        with torch.no_grad():
            for network in (engine.state.generator, engine.state.discriminator):
                for weights in network.parameters():
                    change = torch.randn(weights.shape, generator=source).mul_(HALF_A_UNIT).add_(1)
                    weights.mul_(change.to(weights.device))
    run_alone(steps_until(engine, step))
    rows = engine.state.step_stats[: engine.state.batch].tolist()
    return [finite(dict(zip(STATISTICS, row, strict=True))) for row in rows]


# ----------------------------------------------------------------------------------------------- rescored


def has_weights(stored: StoredTrial) -> bool:
    """True if a finished trial's generator lies in its record."""
    return RecordDirectory(stored.path).weights.is_file()


def rescored(stored: StoredTrial, context: RunContext, *, allow_plugins: bool) -> Judgement:
    """Score published weights again, and draw the last sample grid from them.

    Raises:
        UserError: They cannot be loaded, or the images are others.
    """
    config = config_of(stored)
    require_images(stored, config, context)
    evaluations = stored.as_recorded().evaluations
    line = evaluations[-1] if evaluations else None
    if line is None or line["epoch"] != config.epochs:
        raise UserError("no score of the last epoch was recorded")
    try:
        loaded = load_generator(stored.path, allow_plugins=allow_plugins, device=context.device)
    except DataError as error:
        return "contradicted", str(error).partition(";")[0]
    average = None
    if RecordDirectory(stored.path).average_weights.is_file():
        average = load_generator(stored.path, average=True, allow_plugins=allow_plugins, device=context.device).network
    draws = config.evaluation.draws
    verdict, text = all_of(_images_judged(stored, line, loaded.network, average, context, "published generator", draws))
    return verdict, f"{text}{said_of_added(stored)}"


def count_added(stored: StoredTrial) -> int:
    """Return how many scores were added to a record after its end, whose digests do not cover them."""
    return sum(map(len, stored.added.values()))


def said_of_added(stored: StoredTrial) -> str:
    """Return what a finding adds if scores were added to a record later, else an empty text."""
    count = count_added(stored)
    return f"; {plural(count, 'score')} {'was' if count == 1 else 'were'} added later and not audited" if count else ""


def _images_judged(
    stored: StoredTrial,
    line: EvaluationLine,
    network: torch.nn.Module,
    average: torch.nn.Module | None,
    context: RunContext,
    what: str,
    draws: int,
) -> list[Judgement]:
    """Compare recorded scores and their sample grid, if there is one, with those of a generator here.

    Args:
        stored: The record.
        line: Its scores.
        network: The generator.
        average: Its moving average, or None.
        context: Where.
        what: What was scored, for the sentence.
        draws: Evaluations of the record; where it has other noise, ``DRAWS`` are made.
    """
    if stored.may_have_other_images(line["epoch"]):
        return [("not audited", f"{what}: {OTHER_IMAGES}")]
    config, noise = config_of(stored), standards.noise_between(stored.environment, context.device.type)
    draws = standards.DRAWS if noise == "other" else draws
    scores = context.evaluator(config).evaluate(network, config, draws, average=average)
    said = [scores_judged(line, [score.to_json() for score in scores], noise, what)]
    path = RecordDirectory(stored.path).sample(line["epoch"])
    if noise == "same" and path.is_file():
        grid = f"the sample grid of epoch {line['epoch']} is"
        gap = grid_gap(read_sample_grid(path), sample_grid(network, config))
        other = f"{grid} not drawn by this generator ({gap:.3g} levels apart)"
        said.append(("contradicted", other) if gap > GRID_LEVELS else ("holds", f"{grid} its own"))
    return said


def grid_gap(one: Image | NDArray[np.uint8], other: Image | NDArray[np.uint8]) -> float:
    """Return the mean difference of the pixels of two sample grids, in 256 levels; infinite for other sizes."""
    a, b = (np.asarray(each, dtype=np.float64) for each in (one, other))
    return float(np.abs(a - b).mean()) if a.shape == b.shape else float("inf")


def scores_judged(
    line: EvaluationLine, now: Sequence[ScoreLine], noise: Noise, what: str, *, exact: bool = False
) -> Judgement:
    """Compare recorded scores with those of the same images here.

    A score that only one side has is never passed over: one without a value in the record may hide what it says, and
    one that nothing here comes to may be invented.

    Args:
        line: The record's.
        now: Those here.
        noise: Whether they were taken with the same noise.
        what: What was scored, for the sentence.
        exact: Whether they are of trainings that are the same to the bit.
    """
    gaps = score_gaps(line["scores"], now, noise, exact=exact)
    ranks = next((gap for gap in gaps if gap.name.startswith(f"{primary_measure()}[")), None)
    if ranks is None:
        return "not audited", f"{what}: its scores are not those that its config gives here"
    worst = gaps[0]
    if worst.share > 1:
        return "contradicted", f"{what}: {worst.name} is {worst.now:.4g} here and {worst.before:.4g} in the record"
    if said := _one_sided(line, now, noise, what):
        return said
    how = "as recorded" if noise == "same" else "as recorded within the noise of scoring"
    holds = f"{what}: {ranks.name} {ranks.now:.4g} {how}"
    recorded, here = ({score["name"]: score["value"] for score in scores} for scores in (line["scores"], now))
    if unknown := sorted(name for name, value in recorded.items() if value is not None and here.get(name) is None):
        return "not audited", f"{holds}; nothing here comes to {', '.join(unknown)}"
    absent = sorted(name for name, value in here.items() if value is not None and name not in recorded)
    return "holds", f"{holds}; not in the record: {', '.join(absent)}" if absent else holds


def _one_sided(line: EvaluationLine, now: Sequence[ScoreLine], noise: Noise, what: str) -> Judgement | None:
    """Judge values that only one side has, and spreads over draws with the same noise."""
    here, judged = {score["name"]: score for score in now}, standards.judged_metrics(noise)
    for score in line["scores"]:
        name, mine = score["name"], here.get(score["name"])
        if mine is None or mine["value"] is None or score["metric"] not in judged:
            continue
        if score["value"] is None:
            verdict: AuditVerdict = "doubtful" if score.get("note") else "contradicted"
            return verdict, f"{what}: {name} is {mine['value']:.4g} here and has no value in the record"
        before, after = score.get("draw_std"), mine.get("draw_std")
        if noise != "same" or before is None or after is None:
            continue
        if abs(before - after) > standards.SPREAD * after + standards.ROUNDED * abs(mine["value"]):
            return "contradicted", f"{what}: draws of {name} spread by {after:.4g} here and {before:.4g} in the record"
    return None


# ------------------------------------------------------------------------------------------------- shared


def config_of(stored: StoredTrial) -> TrialConfig:
    """Return the config of a recorded trial."""
    return TrialConfig.from_json(stored.trial["config"])


def has_probabilities(config: TrialConfig) -> bool:
    """True if outputs of D are probabilities under a trial's loss."""
    return LOSSES[config.loss].output == "logit"


def has_diverged(stored: StoredTrial) -> bool:
    """True if a recorded trial ended as diverged."""
    return (stored.record or NO_RECORD).get("status") == "diverged"


def require_images(stored: StoredTrial, config: TrialConfig, context: RunContext) -> None:
    """Make sure that the images are those that the record names.

    Raises:
        UserError: They are others.
    """
    train, held_out = context.digests(config)
    for what, here, then in (
        ("images", train, stored.environment.get("data_sha256")),
        ("held-out images", held_out or "", stored.held_out_sha256),
    ):
        if then is not None and then != here:
            raise UserError(
                f"the {what} of {config.dataset} here are not those of the record ({(here or 'none')[:12]}, not "
                f"{(then or 'none')[:12]}); name the folder that it was trained with, with --data"
            )


def require_code(stored: StoredTrial) -> None:
    """Make sure that parts of packages and of local files have the code that the record names.

    Raises:
        UserError: One has other code: what differs would be its doing.
    """
    for key, part in stored.environment.get("parts", {}).items():
        kind, _, name = key.partition("/")
        registry = REGISTRIES[kind] if kind in REGISTRIES and name in REGISTRIES[kind] else None
        here = registry.source(name) if registry else None
        if registry and here and is_other_code(part, vars(here), vars(registry.in_program(name))):
            raise UserError(
                f"the code of {key} here is not that of the record ({here.sha256[:12]}, not {part['sha256'][:12]}); "
                f"put what {part['name']} was in its place"
            )


def all_of(said: Sequence[Judgement]) -> Judgement:
    """Combine judgements that are all needed: if one could not be made, the others do not suffice."""
    verdict, text = worst(said)
    open_ones = any(each == "not audited" for each, _ in said)
    return ("not audited" if verdict == "holds" and open_ones else verdict), text


def worst(said: Sequence[Judgement]) -> Judgement:
    """Combine judgements: the worst verdict, with its sentences and those about what could not be judged."""
    order: tuple[AuditVerdict, ...] = ("contradicted", "doubtful", "holds", "not audited")
    verdict = min((each for each, _ in said), key=order.index)
    shown = {verdict, "not audited"}
    return verdict, "; ".join(text for each, text in said if text and each in shown)
