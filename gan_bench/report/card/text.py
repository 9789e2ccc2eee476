"""What the card of a setting says, as Markdown behind the metadata block that model hubs read.

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
from gan_bench.core.text import duration, markdown_cell, plain_markdown, plural, printable, without_places
from gan_bench.records.layout import WEIGHTS, RecordDirectory
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Protocol
from gan_bench.records.schema import ScoreLine, TrialFile
from gan_bench.report.findings.answer import score_text
from gan_bench.report.findings.find_setting import FinishedSetting
from gan_bench.report.findings.leaders import leaders
from gan_bench.report.findings.questions import own_command
from gan_bench.report.findings.tables import remarks
from gan_bench.report.study.settings import architecture_of
from gan_bench.report.study.stats import Interval
from gan_bench.report.study.study import values_of
from gan_bench.report.study.table import arrow, interval_text, number, score_column

SAMPLES = "samples.png"
MARK = "library_name: gan_bench"
"""A line of the metadata by which a card is known."""
HUB_DATASETS = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10"}
"""What model hubs call the datasets."""
_UNSAID = ("suite", "suite_version", "recipe", "seed", "profile", "evaluation")
"""Fields of a config that say nothing about training, or that the card says elsewhere."""


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
        """What tables of a card write: measure, score, of real images, of untrained generators, protocol."""
        known = ["" if value is None or pd.isna(value) else number(value) for value in (self.real, self.untrained)]
        return (arrow(self.metric), interval_text(self.interval, score_column(self.metric)), *known, self.protocol)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        setting: The setting.
        stored: The trial whose generator it shows: the median one of those that are finished.
        scores: The rows of its table.
        own_score: The primary score of that trial, as text.
        standing: Where the setting stands among the others of its suite.
        cautions: What a reader must know of it: collapses, lost seeds, no gain over untrained generators.
        cost: What training took, and on what.
        article: The article that its recipe is of, if it is known.
    """

    setting: FinishedSetting
    stored: StoredTrial
    scores: tuple[ScoreRow, ...]
    own_score: str
    standing: str
    cautions: tuple[str, ...]
    cost: str
    article: Article | None


def card_of(setting: FinishedSetting, stored: StoredTrial) -> Card:
    """Gather what the card of a setting says.

    Args:
        setting: The setting.
        stored: The finished trial that stands for it.
    """
    config = stored.trial["config"]
    is_of_article = architecture_of(config["recipe"]) == config["architecture"]  # other networks are no article's
    final = setting.scored.final()[primary_measure()]
    return Card(
        setting=setting,
        stored=stored,
        scores=tuple(_scores(setting)),
        own_score=score_text(Interval(float(final[stored.trial["id"]]), None, None, 1)),
        standing=_standing(setting),
        cautions=tuple(remarks(setting.scored, setting.row, setting.done)),
        cost=_cost(setting, stored),
        article=RECIPES[config["recipe"]].article if is_of_article else None,
    )


def _scores(setting: FinishedSetting) -> Iterator[ScoreRow]:
    first = setting.scored
    for scored in (first, *(each for each in setting.study.scored if each is not first)):
        real: Mapping[str, ScoreLine] = next((scores for _, scores in scored.real()), {})
        for metric in setting.study.metrics:
            if interval := scored.mean(metric, setting.done):
                recipe = str(setting.done["recipe"].iloc[0])
                known = real[metric]["value"] if metric in real else None
                yield ScoreRow(metric, scored.protocol, interval, known, scored.untrained(metric, recipe))


def _standing(setting: FinishedSetting) -> str:
    study, scored = setting.study, setting.scored
    ranking, found = scored.ranking(), leaders(scored)
    name = "" if setting.label in setting.name else f', there called "{setting.label}"'
    if found is None or setting.label not in ranking:
        return f"The setting is not ranked in suite {study.suite}{name}."
    if len(ranking) == 1:
        return f"The only ranked setting of suite {study.suite} on {study.dataset}{name}."
    among = f"{plural(len(ranking), 'setting')} of suite {study.suite} on {study.dataset}{name}"
    place = f"Place {ranking.index(setting.label) + 1} of {among}, by the median {MEASURES[primary_measure()].title}"
    if setting.label == found.best:
        may = len(found.tied) - len(found.ahead) + len(found.unknown)
        said = [
            (len(found.behind), "decidedly better than {}"),
            (may, "{} may be as good"),
            (len(found.ahead), "{} decidedly better in the mean over equal seeds"),
            (len(found.unequal), f"no test judges {{}}, which {found.unlike}"),
        ]
        return f"{place}: {'; '.join(words.format(count) for count, words in said if count)}."
    if setting.label in found.unequal:
        return f"{place}; no test judges it against the best: {found.unequal[setting.label]}."
    if setting.label in found.ahead:
        return f"{place}; decidedly better in the mean over equal seeds than {found.best}, whose median is the best."
    behind = "decidedly worse than" if setting.label in found.behind else "not decidedly worse than"
    return f"{place}: {behind} the best, {found.best}."


def _cost(setting: FinishedSetting, stored: StoredTrial) -> str:
    seconds = float(setting.done["train_seconds"].astype(float).median())
    device = stored.environment.get("device_name") or stored.environment.get("device") or "an unknown device"
    threads = stored.environment.get("threads")
    on = f" ({plural(int(threads), 'thread')})" if threads and stored.environment.get("device") == "cpu" else ""
    took = f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
    return f"Training took {took} a trial on {printable(str(device))}{on}."


# ------------------------------------------------------------------------------------------- as Markdown


def card_markdown(card: Card, license_name: str | None = None, code: str | None = None) -> str:
    """Write a card as Markdown behind its metadata.

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
    final = card.setting.scored.final()
    template = (resources.files("gan_bench.report.card") / "card.md").read_text(encoding="utf-8")
    record, config = RecordDirectory(card.stored.path), card.stored.trial["config"]
    part = card.stored.environment.get("parts", {}).get(f"architectures/{config['architecture']}")
    text = environment.from_string(template).render(
        card=card,
        config=config,
        has_samples=bool(record.grids),
        has_weights=record.weights.is_file(),
        has_environment=record.environment.is_file(),
        samples_file=SAMPLES,
        weights_file=WEIGHTS,
        plugin=part if part and part.get("path") else None,
        code=code,
        rows=[row.texts for row in card.scores],
        values=list(card_values(card)),
        quick=card.setting.study.profile == "quick",
        inception=any(row.protocol.extractor == "inception" for row in card.scores),
        seeds=plural(int(values_of(card.setting.done, final, primary_measure()).count()), "seed"),
        epochs=int(card.stored.record["epochs"]) if card.stored.record else 0,
        version=card.stored.environment.get("gan_bench", ""),
        year=str(card.stored.environment.get("started", ""))[:4],
        command=without_places(own_command(card.setting.study) or ""),
    )
    metadata = yaml.safe_dump(_metadata(card, license_name), sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n\n{text}"


def card_values(card: Card) -> Iterator[tuple[str, str, str]]:
    """Yield every field of a setting that says something about training: its name, its value, where that is from."""
    trial = cast("TrialFile", card.stored.trial)  # what a card is of has ended
    provenance, config = trial["provenance"], trial["config"]
    for name, value in config.items():
        if name not in _UNSAID and (name in provenance or (name, value) not in LATER_DEFAULTS.items()):
            yield name, value_text(value), provenance.get(name, "chosen")


def _metadata(card: Card, license_name: str | None) -> dict[str, object]:
    study, name = card.setting.study, card.setting.name
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
