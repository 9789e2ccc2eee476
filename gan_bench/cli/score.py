"""``score``: the scores of images that were made anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from gan_bench import scoring
from gan_bench.config.data_root import DataRoot
from gan_bench.config.measures import MEASURES
from gan_bench.core.text import plural
from gan_bench.records.json_files import finite
from gan_bench.records.record import Score
from gan_bench.rescoring import add_scores
from gan_bench.terminal.console import PlainConsole, console


def write_added(
    results: Path, names: list[str], data: DataRoot, out: PlainConsole, *, where: torch.device, allow_plugins: bool
) -> bool:
    """Add scores to finished trials, and say of each what was added or why not.

    Returns:
        Whether every trial could be scored.

    Raises:
        UserError: A name is unknown, or there is no finished trial.
    """
    whole, added = True, 0
    for each in add_scores(results, names, data, where, allow_plugins=allow_plugins):
        if each.fault:
            out.say(f"{each.trial}: {each.fault}", style="yellow")
        elif each.scores:
            epochs = ", ".join(map(str, each.epochs))
            out.say(f"{each.trial}: {plural(each.scores, 'score')} added, of epochs {epochs}")
        if each.without:
            why = "evaluate: {keep: weights} in a suite keeps them"
            why = "they were kept, and are not in this folder" if each.kept else why
            out.say(f"{each.trial}: no weights of epochs {', '.join(map(str, each.without))}; {why}", style="yellow")
        whole, added = whole and not each.fault, added + each.scores
    out.say(f"{plural(added, 'score')} added" + (f"; `gan-bench report {results}` shows them" if added else ""))
    return whole


def write_scores(
    generated: str,
    reference: str,
    extractors: list[str],
    data: DataRoot,
    out: PlainConsole,
    *,
    where: torch.device,
    samples: int,
    size: int | None,
    as_json: bool,
    allow_plugins: bool,
) -> None:
    """Score images against a reference, and print each score beside that of as many held-out real images.

    Args:
        generated: A folder or zip of images, or a generator.
        reference: What they are compared with: a dataset, a folder or zip of images, or statistics.
        extractors: Names of extractors; the reference's own where there are none.
        data: The data folder.
        out: Where it is said.
        where: The device.
        samples: Images to draw from a generator.
        size: Height and width to which files are scaled and cropped, or None.
        as_json: Print one line of JSON per score, without the real images.
        allow_plugins: Whether the local file that the architecture is of may run.

    Raises:
        UserError: Something of it cannot be read or scored.
    """
    found = scoring.score(
        generated, reference, extractors, data, where, samples, size=size, allow_plugins=allow_plugins
    )
    if as_json:
        for each in found:
            sys.stdout.write(json.dumps(finite(each.to_json()), allow_nan=False) + "\n")
        return
    names = list(dict.fromkeys(each.extractor for each in found))
    held_out = scoring.real(reference, names, data, where, found[0].generated)
    real = {(each.metric, each.extractor): each.value for each in held_out}
    for each in found:
        out.say(score_line(each, real.get((each.metric, each.extractor))))
    for remark in scoring.scoring_remarks(generated, reference, names):
        console(stderr=True).say(remark, style="yellow")


def score_line(score: Score, real: float | None) -> str:
    """Write a score for people.

    Args:
        score: The score.
        real: What as many held-out real images score, or None where there are none.
    """
    value = "no value" if score.value is None else f"{score.value:.6g}"
    spread = "" if score.std is None else f" ± {score.std:.3g}"
    note = f"  ({score.note})" if score.note else ""
    facts = []
    if score.metric in MEASURES:
        facts.append(f"{'lower' if MEASURES[score.metric].lower_is_better else 'higher'} is better")
    if real is not None:
        facts.append(f"held-out real images: {real:.6g}")
    told = f"  ({'; '.join(facts)})" if facts else ""
    return f"{score.name} = {value}{spread}{told}{note}"
