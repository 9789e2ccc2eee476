"""Audit findings about a suite's records: read by boards, written by ``gan-bench audit``. Reads no record."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from gan_bench.core.errors import DamagedError, UserError
from gan_bench.records import schema
from gan_bench.records.json_files import read_file, read_optional, write_object
from gan_bench.records.layout import AUDIT, RecordDirectory

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
        UnreadableError: It cannot be read, or another version of gan_bench wrote it.
    """
    try:
        found = read_optional(suite / AUDIT, schema.AUDIT)
    except DamagedError as error:
        told = str(error).partition(";")[0]
        raise DamagedError(f"{told}; fetch it again, or move it away and audit again") from None
    return found["audits"] if found else []


def write_audit(suite: Path, audit: schema.Audit) -> None:
    """Add an audit to those of a suite; its own earlier findings are replaced.

    Raises:
        RecordError: The file that is there is damaged: it stays.
        UserError: The folder cannot be written.
    """
    with _alone(suite):
        others = [each for each in read_audits(suite) if (each["at"], each["nonce"]) != (audit["at"], audit["nonce"])]
        try:
            write_object(suite / AUDIT, {"schema": schema.VERSION, "audits": [*others, audit]})
        except OSError as error:
            raise UserError(
                f"{suite / AUDIT} cannot be written ({error.strerror}); copy the folder and audit that"
            ) from None


@contextmanager
def _alone(suite: Path) -> Iterator[None]:
    """Lock a folder's audit file, so that two audits do not overwrite each other's findings.

    The folder itself is locked, where the system has such locks: an audit adds one file to records of others, and no
    lock beside them.
    """
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            folder = os.open(suite, os.O_RDONLY)
            opened.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


CurrentFindings = dict[str, dict[schema.AuditLevel, schema.AuditFinding]]
"""The valid finding by trial and level."""


def current_findings(audits: list[schema.Audit], digests: Mapping[str, str]) -> CurrentFindings:
    """Return the findings that are valid for the present records.

    The worst finding of a level counts; of further seeds, where chance alone makes one of twenty doubtful, that of the
    most seeds, and of as many the latest.

    Args:
        audits: The audits of a suite, oldest first.
        digests: ``record_digest`` of its trials, by id; what was found out about other records is left out.
    """
    order = ("not audited", "holds", "doubtful", "contradicted")
    found: CurrentFindings = {}
    for finding in (finding for audit in audits for finding in audit["findings"]):
        if digests.get(finding["trial"]) != finding["record_sha256"]:
            continue
        mine, level = found.setdefault(finding["trial"], {}), finding["level"]
        known = mine.get(level)
        if known is None or known["verdict"] == "not audited":
            mine[level] = finding
        elif finding["verdict"] == "not audited":
            continue
        elif level == "drawn again":
            mine[level] = max(known, finding, key=lambda each: (len(each.get("seeds", [])), each is finding))
        else:
            mine[level] = max(known, finding, key=lambda each: order.index(each["verdict"]))
    return found
