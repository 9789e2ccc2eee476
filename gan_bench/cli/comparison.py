"""A comparison of two results folders, written for people or programs."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

from gan_bench.cli.options import FormatChoice
from gan_bench.core.errors import UserError, writing
from gan_bench.records.json_files import finite
from gan_bench.records.outputs import check_output, write_output
from gan_bench.records.summary import keep_comparison
from gan_bench.report.compare.comparison import MARK, Comparison
from gan_bench.terminal.console import PlainConsole, console, table_console
from gan_bench.terminal.tables import print_table

_STYLE = {"worse": "red", "cannot judge": "yellow", "better": "green"}


def write_comparison(found: Comparison, form: FormatChoice, out: Path | None) -> None:
    """Write a comparison to the terminal, or to a file.

    Raises:
        UserError: The file cannot be written, or is there and is no comparison.
    """
    if form == "text" and out is None:
        _print(found, console())
        return
    if form == "text":
        recorder = PlainConsole(width=160, record=True, file=io.StringIO())
        recorder.say(MARK)
        _print(found, recorder)
        text = recorder.export_text()
    elif form == "json":
        text = json.dumps({"title": MARK, **finite(found.to_json())}, indent=2, allow_nan=False, default=str) + "\n"
    else:
        text = found.to_markdown()
    if out is None:
        console().out(text, end="", highlight=False)
    else:
        check_output(out.parent, [out.name], "comparison", _is_comparison)
        with writing(out, "another file"):
            write_output(out, text)


def _is_comparison(file: Path) -> bool:
    """True if a file begins as comparisons do, in any format; one may be pasted into a user's notes."""
    with contextlib.suppress(OSError, UnicodeError), file.open(encoding="utf-8") as opened:
        return bool(re.match(rf'(## |{{\n  "title": ")?{MARK}["\n]', opened.read(4 * len(MARK))))
    return False


def keep_beside(found: Comparison, old: Path, new: Path) -> None:
    """Keep a comparison beside the report of the newer folder.

    Raises:
        UserError: It cannot be written.
    """
    *_, (_, verdict) = found.sentences()
    counts = [f"{len(said)} {word}" for word, said in (("better", found.better), ("worse", found.worse)) if said]
    try:
        kept = keep_comparison(new, old, ", ".join([*counts, verdict]), found.to_markdown(old))
        console(stderr=True).say(f"kept in {kept}; `gan-bench sync` shows it in MLflow")
    except OSError as error:
        raise UserError(f"the comparison cannot be kept in {new / 'report'} ({error.strerror})") from None


def _print(found: Comparison, lines: PlainConsole) -> None:
    tables = table_console(lines) if not lines.record else lines
    for table in found.tables:
        print_table(table, tables, filed=False)
    for word, sentence in found.sentences():
        lines.say(f"{word}: {sentence}" if word else sentence, style=_STYLE.get(word))
