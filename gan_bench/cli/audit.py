"""``audit``: what it will do and what that costs, then what it finds out."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping

from gan_bench.audit.carry_out import carry_out
from gan_bench.audit.plan import AuditOptions, AuditPlan
from gan_bench.core.errors import UserError
from gan_bench.core.registry import did_you_mean
from gan_bench.core.text import as_typed, duration, plural, printable, shortened, some
from gan_bench.records.audits import LEVELS
from gan_bench.records.layout import RECORD
from gan_bench.records.schema import AuditFinding, AuditLevel, AuditVerdict
from gan_bench.terminal.console import PlainConsole

WHAT = {
    "consistent": "digests, history, scores and end agree with each other",
    "rescored": "published weights give the published scores",
    "begun": "the first logged step and the untrained generator's scores follow from the seed",
    "repeated": "whole trainings, chosen by the nonce, end as published",
    "drawn again": "further seeds, chosen by the nonce, lie where the published ones let them be expected",
}
BRIEF: frozenset[AuditLevel] = frozenset({"rescored", "begun"})
"""Levels with a finding for every trial."""
STYLES: Mapping[AuditVerdict, str | None] = {
    "holds": None,
    "not audited": "dim",
    "doubtful": "yellow",
    "contradicted": "red",
}


def levels_of(text: str | None) -> tuple[AuditLevel, ...] | None:
    """Read ``--levels``.

    Raises:
        UserError: One is unknown.
    """
    if text is None:
        return None
    known = {level.replace(" ", "-"): level for level in LEVELS}
    parts = [part.strip().lower() for part in text.split(",")]
    names = [re.sub(r"[\s_]+", "-", part) for part in parts if part]
    if not names:
        raise UserError(f"--levels names none; there are {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UserError(f'--levels: unknown level "{as_typed(name)}" ({did_you_mean(name, known)})')
    return tuple(dict.fromkeys(known[name] for name in names))


def say_plan(plan: AuditPlan, options: AuditOptions, out: PlainConsole) -> None:
    """Print every level with its cost, and each reason why something cannot be audited here once."""
    machine = plan.machine
    out.say(f"auditing {options.results} on {machine['device_name']} ({machine['device']}), nonce {options.nonce}")
    for level in options.asked:
        if level == "consistent":
            out.say(f"  {level}: {plural(len(plan.consistent), 'record')}, free ({WHAT[level]})")
            continue
        bought = [each for each in plan.checks if each.level == level]
        left = [each for each in plan.left if each.level == level]
        mine = [each for each in bought if not each.cannot]
        if level == "rescored" and not (bought or left):
            out.say(f"  {level}: no trial has its weights here (`gan-bench publish --generator` keeps a setting's)")
            continue
        what = "setting" if level == "drawn again" else "trial"
        cost = f"about {duration(sum(each.seconds for each in mine))}"
        passed = f"; {len(left)} more for {duration(sum(each.seconds for each in left))}" if left else ""
        passed += f"; {len(bought) - len(mine)} cannot be audited here" if len(mine) < len(bought) else ""
        out.say(f"  {level}: {plural(len(mine), what)}, {cost}{passed} ({WHAT[level]})")
    for why, count in _reasons(plan).items():
        out.say(f"  not audited here, {plural(count, 'check')}: {why}", style=STYLES["not audited"])


def _reasons(plan: AuditPlan) -> Counter[str]:
    """Count by reason what cannot be audited here."""
    return Counter(printable(each.cannot) for each in plan.checks if each.cannot)


def run_audit(plan: AuditPlan, options: AuditOptions, out: PlainConsole) -> bool:
    """Carry out an audit, print its findings and the summary.

    Returns:
        Whether nothing was contradicted or doubtful.
    """
    found, started = list[AuditFinding](), time.monotonic()
    trials = sorted({each.name for each in plan.checks if each.level != "drawn again"})
    short = dict(zip(trials, shortened(trials), strict=True))
    several = len({each.setting.suite for each in plan.checks} | {suite for suite, _ in plan.consistent}) > 1
    known = _reasons(plan)
    for suite, finding in carry_out(plan, options):
        found.append(finding)
        if (finding["level"] != "consistent" or finding["verdict"] != "holds") and finding["text"] not in known:
            name = f"{suite}: " if several else ""
            name += short.get(finding["name"], finding["name"])
            _say(finding, name, out)
    _sum_up(found, time.monotonic() - started, plan, out)
    return not any(finding["verdict"] in ("doubtful", "contradicted") for finding in found)


def _say(finding: AuditFinding, name: str, out: PlainConsole) -> None:
    """Print a finding; those of ``BRIEF`` levels that hold without their sentence."""
    why = "" if finding["verdict"] == "holds" and finding["level"] in BRIEF else f": {finding['text']}"
    text = f"{finding['verdict']:<12} {finding['level']}: {name}{why} ({duration(finding['seconds'])})"
    out.say(text, style=STYLES[finding["verdict"]])


def _sum_up(found: list[AuditFinding], seconds: float, plan: AuditPlan, out: PlainConsole) -> None:
    for level in LEVELS:
        counts = Counter(finding["verdict"] for finding in found if finding["level"] == level)
        if counts:
            out.say(f"{level}: " + ", ".join(f"{verdict} {counts[verdict]}" for verdict in STYLES if counts[verdict]))
    if any(finding["level"] == "drawn again" and finding["verdict"] == "doubtful" for finding in found):
        out.say(
            "further seeds of an honest setting lie outside in one audit of twenty: ask for more of them with "
            "`--further 5` and another nonce",
            style="yellow",
        )
    _say_absent(plan, out)
    said, style = _verdict(Counter[AuditVerdict](finding["verdict"] for finding in found))
    took = f" in {duration(seconds)}" if seconds >= 1 else ""
    details = "; the details are in audit.json beside the records" if found else ""
    out.say(f"{said}{took}{details}", style=style)


def _say_absent(plan: AuditPlan, out: PlainConsole) -> None:
    """Print which trials and scores no audit covers: removing the worst seeds leaves no other trace."""
    if plan.added:
        scores = f"{plural(plan.added, 'score')} {'was' if plan.added == 1 else 'were'} added later"
        out.say(f"{scores} (`gan-bench score --add`), which no level audits", style="yellow")
    if plan.absent:
        have = "has" if len(plan.absent) == 1 else "have"
        text = f"{plural(len(plan.absent), 'planned trial')} {have} no record ({some(plan.absent)})"
        out.say(f"{text}: a publisher may have left {'it' if have == 'has' else 'them'} out", style="yellow")
    if plan.unended:
        have = "has" if len(plan.unended) == 1 else "have"
        text = f"{plural(len(plan.unended), 'trial')} {have} no end, no {RECORD} ({some(plan.unended)})"
        out.say(f"{text}, and {'is' if have == 'has' else 'are'} not audited", style="yellow")
    if plan.failed:
        text = f"{plural(len(plan.failed), 'trial')} failed or ended early ({some(plan.failed)})"
        out.say(f"{text}, which no level follows", style="yellow")


def _verdict(counts: Counter[AuditVerdict]) -> tuple[str, str | None]:
    """Return the result of an audit in one sentence, and its style."""
    made = plural(counts.total() - counts["not audited"], "check")
    if bad := counts["contradicted"]:
        return f"the records do not hold: {bad} of {made} contradict{'s' * (bad == 1)} them", STYLES["contradicted"]
    if bad := counts["doubtful"]:
        return f"the records are doubtful: {bad} of {made} speak{'s' * (bad == 1)} against them", STYLES["doubtful"]
    return f"the records hold: nothing speaks against them in {made}" if counts[
        "holds"
    ] else "nothing was checked", None
