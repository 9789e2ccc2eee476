"""The card of a setting as Markdown, with the metadata block that model hubs read.

The block is that of https://huggingface.co/docs/hub/model-cards, with the scores as its ``model-index``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import cast

import pandas as pd
import yaml

from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.config.naming import value_text
from gan_bench.config.recipes import RECIPES, Article
from gan_bench.config.trial import LATER_DEFAULTS
from gan_bench.core.text import duration, markdown_cell, plain_markdown, plural, printable
from gan_bench.records.layout import AVERAGE_WEIGHTS, WEIGHTS, RecordDirectory
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Protocol
from gan_bench.records.schema import ScoreLine, TrialFile
from gan_bench.report.findings.answer import score_text
from gan_bench.report.findings.proposals import whole_command
from gan_bench.report.findings.standings import Standing, standings
from gan_bench.report.study.settings import architecture_of
from gan_bench.report.study.stats import Interval
from gan_bench.report.study.study import ScoredStudy, Setting
from gan_bench.report.study.table import cell, interval_text, score_column

SAMPLES = "samples.png"
MARK = "library_name: gan_bench"
"""A metadata line that marks a card."""
HUB_DATASETS = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10"}
"""Names of the datasets on model hubs."""
_UNSAID = ("suite", "suite_version", "recipe", "seed", "profile", "evaluation")
"""Fields of a config that do not affect training, or are elsewhere in the card."""


@dataclass(frozen=True)
class ScoreRow:
    """A measure under one protocol.

    Attributes:
        metric: Name of the measure.
        protocol: Extractor, split and generated images.
        interval: Its mean over seeds with its interval.
        real: What held-out real images score, or None.
        untrained: What untrained generators score, or None.
    """

    metric: str
    protocol: Protocol
    interval: Interval
    real: float | None
    untrained: float | None

    @property
    def texts(self) -> tuple[str, ...]:
        """The cells of a card's table: measure, score, real images, untrained generators, protocol."""
        column = score_column(self.metric)
        known = (cell({self.metric: value}, column) for value in (self.real, self.untrained))
        return (column.title, interval_text(self.interval, column), *known, self.protocol)


@dataclass(frozen=True, kw_only=True)
class Card:
    """The content of a card.

    Attributes:
        standing: The setting, under the scores that rank it.
        stored: The trial whose generator it shows: of those that are finished the median one, or one near it.
        scores: The rows of its table.
        own_score: The primary score of that trial, as text.
        average_score: That of its generator's moving average under the same protocol, or nothing.
        place: Where the setting stands among the others of its suite.
        cautions: What a reader must know of it: collapses, lost seeds, no gain over untrained generators.
        cost: What training took, and on what.
        article: The article that its recipe is of, if it is known.
    """

    standing: Standing
    stored: StoredTrial
    scores: tuple[ScoreRow, ...]
    own_score: str
    average_score: str
    place: str
    cautions: tuple[str, ...]
    cost: str
    article: Article | None


def card_of(standing: Standing, stored: StoredTrial) -> Card:
    """Collect the content of a setting's card.

    Args:
        standing: The setting, under the scores that rank it.
        stored: The finished trial that stands for it.
    """
    config = stored.trial["config"]
    # with other networks it is not the article's
    is_of_article = architecture_of(config["recipe"]) == config["architecture"]
    averages = [each for each in standing.setting.study.averages if each.protocol == f"{standing.scored.protocol},ema"]
    return Card(
        standing=standing,
        stored=stored,
        scores=tuple(_scores(standing)),
        own_score=_score_of(stored, standing.scored),
        average_score="".join(_score_of(stored, each) for each in averages),
        place=_rank_in_words(standing),
        cautions=tuple(standing.remarks()),
        cost=_cost(standing.setting, stored),
        article=RECIPES[config["recipe"]].article if is_of_article else None,
    )


def _score_of(stored: StoredTrial, scored: ScoredStudy) -> str:
    """Return the primary score of a trial as text; empty if it has none."""
    score = scored.final()[primary_measure()].get(stored.trial["id"])
    return "" if score is None or pd.isna(score) else score_text(Interval(float(score), None, None, 1))


def _scores(standing: Standing) -> Iterator[ScoreRow]:
    study, first = standing.setting.study, standing.scored
    for scored in (first, *(each for each in study.scored if each is not first)):
        real: Mapping[str, ScoreLine] = next((scores for _, scores in scored.real()), {})
        each = standings(scored).row(standing.label)
        for metric in study.metrics:
            if interval := each.mean(metric):
                known = real[metric]["value"] if metric in real else None
                untrained = scored.untrained(metric, standing.setting.network)
                yield ScoreRow(metric, scored.protocol, interval, known, untrained)


def _rank_in_words(standing: Standing) -> str:
    study, found = standing.setting.study, standings(standing.scored)
    label, count = standing.label, len(found.ranked)
    name = "" if label in standing.setting.name else f', there called "{label}"'
    if found.best is None or standing.rank is None:
        return f"The setting is not ranked in suite {study.of_version}{name}."
    if count == 1:
        return f"The only ranked setting of suite {study.of_version} on {study.dataset}{name}."
    among = f"{plural(count, 'setting')} of suite {study.of_version} on {study.dataset}{name}"
    place = f"Place {standing.rank} of {among}, by the median {MEASURES[primary_measure()].title}"
    if standing.rank_status == "best":
        words = found.in_words
        if standing.is_useless and found.useful:
            words += f"{'; ' * bool(words)}its score is of no use, and of the others {found.useful.label} is the best"
        return f"{place}{': ' * bool(words)}{words}."
    return f"{place}; {standing.in_words(found.best.label)}."


def _cost(setting: Setting, stored: StoredTrial) -> str:
    seconds = float(setting.done["train_seconds"].astype(float).median())
    device = stored.environment.get("device_name") or stored.environment.get("device") or "an unknown device"
    threads = stored.environment.get("threads")
    on = f" ({plural(int(threads), 'thread')})" if threads and stored.environment.get("device") == "cpu" else ""
    took = f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
    return f"Training took {took} a trial on {printable(str(device))}{on}."


# ------------------------------------------------------------------------------------------- as Markdown


def card_markdown(card: Card, license_name: str | None = None, code: str | None = None) -> str:
    """Write a card as Markdown with its metadata.

    Args:
        card: The card.
        license_name: Licence of the generator; None leaves it out.
        code: Name of the file beside it that holds a user's own network, if there is one.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701 - Markdown
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,  # what is shown stays on its line
    )  # fmt: skip
    environment.filters |= {
        "plain": lambda text: plain_markdown(printable(str(text))),
        "cell": lambda text: markdown_cell(printable(str(text))),
        "code": lambda text: text.replace("`", "'"),  # stays inside a code span
        "fenced": lambda text: text.replace("`" * 3, "`"),  # stays inside a fenced block
    }
    template = (resources.files("gan_bench.report.card") / "card.md").read_text(encoding="utf-8")
    record, config = RecordDirectory(card.stored.path), card.stored.trial["config"]
    part = card.stored.environment.get("parts", {}).get(f"architectures/{config['architecture']}")
    command = whole_command(card.standing.setting.study)
    text = environment.from_string(template).render(
        card=card,
        config=config,
        has_samples=bool(record.grids),
        has_weights=record.weights.is_file(),
        has_average=record.weights.is_file() and record.average_weights.is_file(),
        middle=_middle(len(card.standing.finals)),
        is_median=card.stored.trial["id"] == card.standing.median_trial,
        has_environment=record.environment.is_file(),
        samples_file=SAMPLES,
        weights_file=WEIGHTS,
        average_file=AVERAGE_WEIGHTS,
        plugin=part if part and part.get("path") else None,
        code=code,
        rows=[row.texts for row in card.scores],
        values=list(card_values(card)),
        quick=card.standing.setting.study.profile == "quick",
        inception=any(row.protocol.extractor == "inception" for row in card.scores),
        seeds=plural(len(card.standing.finals), "seed"),
        epochs=int(card.stored.record["epochs"]) if card.stored.record else 0,
        version=card.stored.environment.get("gan_bench", ""),
        year=str(card.stored.environment.get("started", ""))[:4],
        command=str(command.without_places()) if command else "",
    )
    metadata = yaml.safe_dump(_metadata(card, license_name), sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n\n{text}"


def _middle(trials: int) -> str:
    """Return which of so many trials has the median score; of an even number, none has exactly that."""
    if trials % 2:
        return "one with the median score"
    return "better of two" if trials == 2 else "better of the two with the middle scores"


def card_values(card: Card) -> Iterator[tuple[str, str, str]]:
    """Yield every training field of a setting: name, value and provenance."""
    trial = cast("TrialFile", card.stored.trial)  # cards are made of ended trials
    provenance, config = trial["provenance"], trial["config"]
    for name, value in config.items():
        if name not in _UNSAID and (name in provenance or (name, value) not in LATER_DEFAULTS.items()):
            yield name, value_text(value), provenance.get(name, "chosen")


def _metadata(card: Card, license_name: str | None) -> dict[str, object]:
    study, name = card.standing.setting.study, card.standing.setting.name
    rows = [row for row in card.scores if MEASURES[row.metric].roles & {"primary", "compared", "quality"}]
    dataset = HUB_DATASETS.get(study.dataset)
    return {
        **({"license": license_name} if license_name else {}),
        "library_name": "gan_bench",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "pytorch", "gan_bench"],
        **({"datasets": [dataset]} if dataset else {}),
        "metrics": list(dict.fromkeys(row.metric for row in rows)),
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "unconditional-image-generation", "name": "Unconditional Image Generation"},
                        "dataset": {"name": study.dataset, "type": dataset or study.dataset},
                        "metrics": [
                            {
                                "type": row.metric,
                                "name": f"{MEASURES[row.metric].title} [{row.protocol}], mean of "
                                f"{plural(row.interval.n, 'seed')}",
                                "value": float(f"{row.interval.estimate:.6g}"),
                            }
                            for row in rows
                        ],
                    }
                ],
            }
        ],
    }
