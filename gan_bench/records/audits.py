"""What auditors found out about a suite's records: read by boards, written by ``gan-bench audit``. Reads no record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from gan_bench.core.errors import RecordError, UserError
from gan_bench.records import schema
from gan_bench.records.json_files import read_file, write_object
from gan_bench.records.layout import AUDIT, RecordDirectory
from gan_bench.records.reader import read_optional
from gan_bench.records.record import SCHEMA_VERSION

LEVELS: tuple[schema.AuditLevel, ...] = get_args(schema.AuditLevel)
"""From the cheapest to the dearest."""


def record_digest(path: Path) -> str:
    """Return the SHA-256 of a trial's ``record.json``, which holds the digests of all its other files.

    Raises:
        FileNotFoundError: It has none.
        RecordError: It cannot be read.
    """
    return hashlib.sha256(read_file(RecordDirectory(path).record)).hexdigest()


def read_audits(suite: Path) -> list[schema.Audit]:
    """Return the audits of a suite's records, oldest first.

    Raises:
        RecordError: The file is damaged.
    """
    try:
        found = read_optional(suite / AUDIT, schema.AUDIT)
    except RecordError as error:
        told = str(error).partition(";")[0]
        raise RecordError(f"{told}; fetch it again, or move it away and audit again") from None
    return found["audits"] if found else []


def write_audit(suite: Path, audit: schema.Audit) -> None:
    """Add an audit to those of a suite; of an audit under way, what it found so far is replaced.

    Raises:
        RecordError: The file that is there is damaged: it stays.
        UserError: The folder cannot be written.
    """
    others = [each for each in read_audits(suite) if (each["at"], each["nonce"]) != (audit["at"], audit["nonce"])]
    try:
        write_object(suite / AUDIT, {"schema": SCHEMA_VERSION, "audits": [*others, audit]})
    except OSError as error:
        raise UserError(
            f"{suite / AUDIT} cannot be written ({error.strerror}); copy the folder and audit that"
        ) from None


def standing(audits: list[schema.Audit], digests: Mapping[str, str]) -> dict[str, dict[schema.AuditLevel, str]]:
    """Return by trial and level what stands of audits: the worst verdict on the record that is there.

    Args:
        audits: The audits of a suite.
        digests: ``record_digest`` of its trials, by id; what was found out about other records is left out.
    """
    order = ("not audited", "holds", "doubtful", "contradicted")
    found: dict[str, dict[schema.AuditLevel, str]] = {}
    for finding in (finding for audit in audits for finding in audit["findings"]):
        if digests.get(finding["trial"]) == finding["record_sha256"]:
            mine = found.setdefault(finding["trial"], {})
            worst = max(mine.get(finding["level"], "not audited"), finding["verdict"], key=order.index)
            mine[finding["level"]] = worst
    return found
