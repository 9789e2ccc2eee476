"""An audit plan -> findings, each written beside the records at once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gan_bench.audit import again, whole
from gan_bench.audit.needs import use_threads_of
from gan_bench.audit.plan import AuditCheck, AuditOptions, AuditPlan, finding_of
from gan_bench.core import __version__
from gan_bench.core.errors import RecordError, UserError, brief
from gan_bench.core.text import printable
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.execution.trial.context import RunContext
from gan_bench.records.audits import record_digest, write_audit
from gan_bench.records.reader import StoredTrial
from gan_bench.records.schema import Audit, AuditFinding


def carry_out(plan: AuditPlan, options: AuditOptions) -> Iterator[tuple[str, AuditFinding]]:
    """Carry out an audit plan and write every finding beside the records at once, so that an interruption loses none.

    Yields:
        Findings with their suites, those of ``verify`` first; what did not fit the budget is not written down.

    Raises:
        RecordError: An earlier ``audit.json`` is damaged; it stays.
        UserError: A suite's folder cannot be written.
    """
    begun_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    found: dict[Path, list[AuditFinding]] = {}

    def write(suite: Path) -> None:
        audit: Audit = {
            "at": begun_at,
            "version": __version__,
            "machine": plan.machine,
            "command": printable(options.command()),
            "nonce": printable(options.nonce),
            "findings": found[suite],
        }
        write_audit(suite, audit)

    for suite, finding in plan.consistent:
        found.setdefault(suite, []).append(finding)
    for suite in found:
        write(suite)
    yield from ((suite.resolve().name, finding) for suite, finding in plan.consistent)
    contexts = options.contexts()
    started = time.monotonic()
    for check in plan.checks:
        suite = check.setting.suite
        if options.budget and time.monotonic() - started + check.seconds > options.budget:
            why = "it did not fit the budget after all"  # the machine has become slower
            yield suite.resolve().name, finding_of(check.level, check.stored, check.name, "not audited", why, 0.0)
            continue
        engine = "reference" if check.stored.environment.get("engine") == "reference" else "auto"
        finding = _carried_out(check, replace(contexts.of(suite), engine_choice=engine), options)
        found.setdefault(suite, []).append(finding)
        write(suite)
        yield suite.resolve().name, finding


@torch_settings_kept(random=False)
def _carried_out(check: AuditCheck, context: RunContext, options: AuditOptions) -> AuditFinding:
    started, stored = time.perf_counter(), check.stored
    try:
        verdict, text = _judgement_of(check, context, options)
    except Exception as error:  # of data, weights or code that is not gan_bench's own
        verdict, text = "not audited", str(error) if isinstance(error, UserError) else brief(error)
    if _was_replaced(stored):
        verdict, text = "not audited", "its record was replaced or removed during the audit; audit it again"
    return finding_of(check.level, stored, check.name, verdict, text, time.perf_counter() - started, check.seeds)


def _was_replaced(stored: StoredTrial) -> bool:
    """True if a record is no longer the one that was read: weights and samples may have been those of another."""
    try:
        return record_digest(stored.path) != stored.record_sha256
    except (FileNotFoundError, RecordError):
        return True


def _judgement_of(check: AuditCheck, context: RunContext, options: AuditOptions) -> again.Judgement:
    if check.cannot:
        return "not audited", check.cannot
    stored = check.stored
    use_threads_of(stored.environment, options.device)
    again.require_code(stored)
    if check.level == "begun":
        return again.begun(stored, context)
    if check.level == "rescored":
        return again.rescored(stored, context, allow_plugins=options.allow_plugins)
    with tempfile.TemporaryDirectory(prefix="gan-bench-audit-") as folder:

        def train(seed: int) -> StoredTrial:
            return whole.train_whole(stored, seed, context, Path(folder))

        if check.level == "repeated":
            return whole.repeated(stored, train(stored.trial["config"]["seed"]), check.setting.scores, context)
        trained = list(map(train, check.seeds))
    ends = [str(each.record["status"]) for each in trained if each.record and each.record["status"] != "done"]
    published = whole.final_scores(check.setting.trials)
    lost = ", ".join(ends) if len(published) == len(check.setting.trials) else ""
    return whole.drawn(whole.final_scores(trained), published, lost)
