"""The answer of a study in a few sentences, for the terminal, the page and ``report/answer.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gan_bench.config.measures import COPIES, MEASURES, primary_measure
from gan_bench.core.text import plain_markdown, plural, some_of
from gan_bench.report.findings.factor_sentences import NAMED, factor_sentences
from gan_bench.report.findings.factors import factors_of
from gan_bench.report.findings.proposals import proposal, seeds_help, verify_command
from gan_bench.report.findings.standings import Standing, Standings, standings
from gan_bench.report.findings.tuning import tuning_sentences
from gan_bench.report.study.frame import BAD, FAULTY, changed_between
from gan_bench.report.study.stats import Interval
from gan_bench.report.study.study import ScoredStudy, Study
from gan_bench.report.study.table import Column, interval_text, number


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a study under one protocol.

    Attributes:
        title: The study.
        protocol: Extractor, reference split and generated images.
        best: Label of the best setting, or None where nothing has a score.
        score: Its primary score with its interval, as text.
        usable: Whether the best setting has generators that did not collapse and are better than untrained ones.
        other: The best setting of use with its score, where the best score is of no use; else nothing.
        headline: The setting with the best score, called the best setting where that is decided; and how certain it is.
        cautions: What its rank alone would hide.
        factors: One sentence for every factor.
        proposal: What to run next, and how long that takes, or None.
    """

    title: str
    protocol: str
    best: str | None
    score: str
    usable: bool
    other: str
    headline: str
    cautions: tuple[str, ...]
    factors: tuple[str, ...]
    proposal: str | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, in order."""
        return (self.headline, *self.cautions, *self.factors, *([self.proposal] if self.proposal else []))


def answers(study: Study, beside: Sequence[Study] = ()) -> Iterator[Answer]:
    """Yield the answer of a study under each of its protocols, given all studies of its results folder."""
    for scored in study.scored:
        found = standings(scored)
        factors = [each for each in factors_of(scored) if each.primary]
        best = found.best
        yield Answer(
            title=study.title,
            protocol=scored.protocol,
            best=best.label if best else None,
            score=score_text(best.median) if best else "",
            usable=best is not None and not best.is_useless,
            other=_with_score(found.useful) if best and best.is_useless and found.useful else "",
            headline=_headline(found, best) if best else _without_a_score(study),
            cautions=tuple(_cautions(scored, found)),
            factors=(
                *(sentence for each in factors for sentence in factor_sentences(each, seeds_help=seeds_help(scored))),
                *tuning_sentences(scored),
            ),
            proposal=proposal(scored, beside),
        )


def answers_markdown(found: list[Answer]) -> str:
    """Write answers as Markdown."""
    parts = ["# Answer\n"]
    for answer in found:
        lines = "\n".join(f"- {plain_markdown(sentence)}" for sentence in answer.sentences)
        parts.append(f"## {plain_markdown(answer.title)}\n\nScores: {plain_markdown(answer.protocol)}.\n\n{lines}\n")
    return "\n".join(parts)


def score_text(score: Interval) -> str:
    """Write a median score with its interval: ``FID 91.5 (80.8 to 102)``."""
    title = MEASURES[primary_measure()].title
    return f"{title} {interval_text(score, Column('score', title, 'range'))}"


# ---------------------------------------------------------------------------------------------- the best


def _headline(found: Standings, best: Standing) -> str:
    planned, known = len(best.setting.trials), len(best.finals)
    seeds = f"{known} of {planned} planned seeds" if known < planned else plural(best.median.n, "seed")
    lost = f", {best.lost} failed" if best.lost else ""
    waiting = len(found.of("waiting"))
    what = "Best setting" if found.is_decided and not best.is_useless else "Best score"
    what += " so far" if waiting else ""
    have = "has" if waiting == 1 else "have"
    start = _useless(best, found.useful)
    start += f"{what}: {best.label}, {score_text(best.median)} over {seeds}{lost} ({best.scored})"
    start += f"; {plural(waiting, 'other setting')} {have} no score yet" if waiting else ""
    if not found.of("behind", "tied", "ahead", "unequal"):
        return f"{start}.{_alone(found, best, waiting)}"
    return f"{start}. {_compared_with_others(found, best)}"


def _useless(best: Standing, useful: Standing | None) -> str:
    """Return why the generators of the best setting are of no use, and which are; empty if they are of use."""
    if not best.is_useless:
        return ""
    why = "all generators of the best collapsed"
    if best.untrained is not None and best.median.estimate >= best.untrained:
        untrained = f"untrained generators ({MEASURES[primary_measure()].title} {number(best.untrained)})"
        why = f"the best is no better than {untrained}"
    if not useful:
        return f"No setting is of use yet: {why}. "
    return f"The best score is of no use: {why}; the best of the others is {_with_score(useful)}. "


def _with_score(each: Standing) -> str:
    return f"{each.label}, {score_text(each.median)} over {plural(each.median.n, 'seed')}"


def _collapse(best: Standing) -> str:
    """Return which generators of the best setting count as collapsed, and what that means; empty if none does."""
    collapsed = best.collapsed
    if collapsed.empty:
        return ""
    seeds = f"{'seed' if len(collapsed) == 1 else 'seeds'} {some_of([*map(str, collapsed['seed'])], NAMED)}"
    return (
        f"{len(collapsed)} of {plural(best.counted, 'generator')} of the best setting collapsed ({seeds}): "
        "half of the classes or fewer, or one class in over half of the images."
    )


def _without_a_score(study: Study) -> str:
    """Return that nothing can be ranked, and the reason if trials failed."""
    bad = study.trials[study.trials["status"].isin(BAD)]
    if bad.empty:
        return "No finished trial has a score."
    reasons = bad["reason"][bad["reason"] != ""]
    why = f": {reasons.mode().iloc[0]}" if reasons.size else ""
    most = ", most often" if reasons.nunique() > 1 else ""
    return f"No trial has a score; {len(bad)} of {plural(len(study.trials), 'trial')} failed or diverged{most}{why}."


def _compared_with_others(found: Standings, best: Standing) -> str:
    """Return how the best setting compares with the tested ones."""
    if best.setting.study.design.extended:
        return (
            "Not all of these seeds are known to have been declared before the first: nothing is decided, and what is "
            "probable allows for the number of tests, not for looks."
        )
    behind, ahead, unequal, unknown = (found.of(each) for each in ("behind", "ahead", "unequal", "unknown"))
    tied = found.of("tied")
    compared = len(behind) + len(tied) + len(ahead) + len(unequal)
    named = _named_settings(each for each in tied if best.is_untrained or not each.is_untrained)
    as_good = f"{named} may be as good" if named else ""
    one, others = ("other finished one", "finished others") if found.of("waiting") else ("other", "others")
    if behind:
        every = {1: f"the {one}", 2: f"both {others}"}.get(compared, f"all {compared} {others}")
        number = every if len(behind) == compared else f"{len(behind)} of {compared} {others}"
        first = [f"it is decidedly better than {number}", as_good]
    else:
        first = [f"no setting is decidedly worse{f': {as_good}' * bool(as_good)}" if tied or ahead else ""]
    said = [
        *first,
        _ahead(ahead),
        _unequal(found),
        _failed(found),
        f"nothing can be said of {len(unknown)}" if unknown else "",
        _next_look(found),
    ]
    text = "; ".join(filter(None, said))
    return f"{text[:1].upper()}{text[1:]}."


def _ahead(ahead: Sequence[Standing]) -> str:
    """Return which settings are significantly better than the one with the best median."""
    if not ahead:
        return ""
    are = "is" if len(ahead) == 1 else "are"
    return f"{_named_settings(ahead)} {are} decidedly better in the mean over equal seeds, with a worse median"


def _failed(found: Standings) -> str:
    """Return which settings lost every seed."""
    withdrawn = {label for each in found.rows for label in each.setting.study.withdrawn_before_first_look}
    lost = [each for each in found.rows if each.lost == len(each.setting.trials)]
    named = _named_settings(each for each in lost if each.label not in withdrawn)
    return f"{named} failed in every seed" if named else ""


def _unequal(found: Standings) -> str:
    """Return which settings no test judges, as they differ from the best in more than scores."""
    unequal = found.of("unequal")
    if len(unequal) == 1:
        return f"no test judges {unequal[0].label}: {unequal[0].why}"
    return f"{len(unequal)} others {found.unlike}, which no test judges" if unequal else ""


def _next_look(found: Standings) -> str:
    """Return at which seeds the comparison continues, or an empty text."""
    looks = [each.next for each in found.of("tied", "ahead", "unequal", "unknown") if each.next]
    return f"the next look is at {min(looks)} seeds" if looks else ""


def _alone(found: Standings, best: Standing, waiting: int) -> str:
    """Return why nothing is compared, or an empty text if other sentences say so."""
    unknown = found.of("unknown")
    if not unknown:
        alone = _failed(found)
        # said by the sentence before, or by a caution
        is_told = waiting or best.setting.study.withdrawn_before_first_look
        return f" {alone}." if alone else "" if is_told else " There is no other setting to compare it with."
    return f" Which setting is best is {found.unjudged}."


def _named_settings(settings: Iterable[Standing]) -> str:
    return some_of([each.label for each in settings], NAMED, "; ")


def _cautions(scored: ScoredStudy, found: Standings) -> Iterator[str]:
    """Yield cautions that the rank alone does not show."""
    if faulty := int(scored.study.trials["status"].isin(FAULTY).sum()):
        yield (
            f"{plural(faulty, 'trial')} left out: damaged, unreadable or not what was saved "
            f"(`{verify_command(scored.study)}` names the files)."
        )
    yield from _withdrawn(scored.study)
    if changed := changed_between(scored.study.trials["made_of"], scored.study.trials["made_of"]):
        yield (
            f"Trials are of different times: {changed} changed between them, and no test judges trials from before and "
            "after; the suite's next run trains those of before again that it asks for."
        )
    if scored.held_out_changed:
        where = "the row of real data" if len(scored.study.held_out) == 1 else "all rows"
        yield (
            f"The held-out images of {scored.study.dataset} changed since trials were scored. Of their scores "
            f"{MEASURES[COPIES].title} alone depend on these, and are left out of {where}; real data are those of the "
            "last run."
        )
    done = scored.study.trials[scored.study.trials["status"] == "done"]
    machines = sorted(set(done["device_name"]) - {""})
    if len(machines) > 1:
        yield (
            f"Trials ran on several devices ({some_of(machines, NAMED)}): their times and costs are not comparable, "
            "and equal seeds may draw other noise, which makes comparisons less sharp."
        )
    if found.best is None:
        return
    yield from _beyond_real(scored, found.best)
    if collapse := _collapse(found.best):
        yield collapse
    if not scored.study.counts_collapses:
        yield (
            "Collapses were not counted, as no extractor of these scores was trained on the classes of these images: "
            "check the samples."
        )
    useless = [each for each in found.rows if each.is_untrained]
    if useless:
        scores = sum(each.median.n > 0 for each in found.rows)
        are = "is" if len(useless) == 1 else "are"
        yield f"{len(useless)} of {plural(scores, 'setting')} {are} no better than untrained generators."
    if lost := sum(each.lost for each in found.rows):
        counts = "counts" if lost == 1 else "count"
        yield f"{plural(lost, 'trial')} failed, diverged or could not be scored and {counts} as worst in the ranking."


def _beyond_real(scored: ScoredStudy, best: Standing) -> Iterator[str]:
    """Yield why the best score may be better than that of real images, which is not expected."""
    title = MEASURES[primary_measure()].title
    for baseline, scores in scored.real():
        real = scores.get(primary_measure())
        value = real["value"] if real else None
        if real is None or value is None or best.median.estimate >= value - (real.get("draw_std") or 0.0):
            continue
        pictures, generated = baseline["pictures"], scored.protocol.generated
        fewer = f"{pictures:,} images have a worse {title} than the {generated:,} generated, or "
        yield (
            f"The best score is better than that of real images ({title} {number(value)}): "
            f"{fewer if pictures < generated else ''}its generators may repeat the images that they are compared with."
        )


def _withdrawn(study: Study) -> Iterator[str]:
    """Yield which unfinished trials are no longer planned, and which settings are not compared."""
    if count := len(study.withdrawn):
        are, them = ("is", "it") if count == 1 else ("are", "them")
        named = some_of([*dict.fromkeys(study.withdrawn["suite_setting"])], NAMED, "; ")
        yield (
            f"{plural(count, 'trial')} that did not end {are} not among those that the suite was last run with, and "
            f"nothing waits for {them}: {named}."
        )
    if study.withdrawn_before_first_look:
        named = some_of(sorted(study.withdrawn_before_first_look), NAMED, "; ")
        yield f"In no comparison, as the suite as it was last run asks for the rest of its seeds no longer: {named}."
