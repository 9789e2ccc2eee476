"""Nobody's text becomes markup: what hubs, pull requests and MLflow render is what the records say."""

from __future__ import annotations

import json

import pytest
from markdown_it import MarkdownIt
from support.needs import slow
from support.parts import registered
from support.studies import write
from support.trials import digits_trial

from gan_bench.config.measures import MEASURES, Measure
from gan_bench.core.text import markdown_cell, plain_markdown
from gan_bench.records.plan import write_plan
from gan_bench.report.build import build_report
from gan_bench.report.card.card import write_card
from gan_bench.report.compare.comparison import compare
from gan_bench.tracking.views import note

EVIL = (
    "a ` <script>alert(1)</script>",
    "`` <img src=x onerror=alert(1)> `",
    "[click](javascript:alert(1))",
    "![](http://evil/x.png)",
    "<http://evil>",
    "x\n\n<script>alert(2)</script>\n\n# heading",
    "| a | b |\n|---|---|",
    "`gan-bench run x` <b> `",
)

pytestmark = [pytest.mark.draws_pages, pytest.mark.draws_plots]
ACTIVE = {"html_block", "html_inline", "link_open", "image", "heading_open", "code_block", "fence"}


def tokens(text):
    """The kinds of everything that a renderer which allows HTML makes of a document."""
    found = set()
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        found |= {token.type, *(child.type for child in token.children or ())}
    return found


@pytest.mark.parametrize("text", EVIL)
def test_text_is_no_markup_in_a_sentence_or_a_cell(text):
    assert not tokens(f"- {plain_markdown(text)}") & ACTIVE
    assert not tokens(f"| a |\n|---|\n| {markdown_cell(text)} |") & ACTIVE
    (row,) = [line for line in f"| {markdown_cell(text)} |".splitlines() if line]
    assert tokens(f"| a |\n|---|\n{row}") >= {"table_open", "td_open"}


def test_a_command_of_ours_stays_code():
    text = plain_markdown("Next: `gan-bench run mnist --only 'a|b'` continues; see [x]")
    assert text == r"Next: `gan-bench run mnist --only 'a|b'` continues; see \[x\]"


@pytest.fixture
def evil_measure():
    entry = Measure(title="F<script>alert(1)</script>`", lower_is_better=True, description="<img src=x>` [a](b)",
                    metric="", roles=frozenset({"quality", "compared", "summary"}))  # fmt: skip
    with registered(MEASURES, "evil", entry):
        yield "evil"


def folder(results, setting, fids):
    trials = []
    for seed, fid in enumerate(fids):
        trial = digits_trial(seed)
        write(results, trial, fid, setting=setting)
        trials.append(trial)
    for path in results.glob("test/*/evaluations.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            score = {**line["scores"][0], "metric": "evil", "value": line["scores"][0]["value"] * 2}
            line["scores"].append({**score, "name": score["name"].replace("fid", "evil")})
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        reseal_all(results)
    write_plan(results, "test", 1, trials)


def reseal_all(results):
    from support.records import reseal

    from gan_bench.records.layout import RecordDirectory

    for path in results.glob("test/*/record.json"):
        reseal(RecordDirectory(path.parent))


@pytest.mark.parametrize("setting", [*EVIL[::3], *slow(*(text for i, text in enumerate(EVIL) if i % 3))])
def test_names_and_titles_are_no_markup_in_anything_that_is_rendered(tmp_path, evil_measure, setting):
    folder(tmp_path / "old", setting, (50.0, 52.0, 51.0, 53.0))
    folder(tmp_path / "new", setting, (90.0, 92.0, 91.0, 93.0))
    report = build_report(tmp_path / "new")
    texts = {path.name: path.read_text() for path in report.folder.rglob("*.md")}
    texts["comparison"] = compare(tmp_path / "old", tmp_path / "new").to_markdown()
    texts["note"] = note("test")
    for name, text in texts.items():
        assert not tokens(text) & {"html_block", "html_inline", "link_open", "image"}, name
    assert "evil" not in report.tables[0].title
    card = write_card(tmp_path / "new", "*", tmp_path / "card")
    body = (card / "README.md").read_text().partition("---\n\n")[2]
    assert "html_block" not in tokens(body)
    assert "html_inline" not in tokens(body)
    assert "<script>alert" not in (report.folder / "report.html").read_text()
