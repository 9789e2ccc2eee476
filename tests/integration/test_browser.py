"""The report page in a real browser: what readers see, click and print, and what keeps some of them out."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace

import pytest
from support import needs
from support.studies import EPYC, H200, publish, with_lr, write
from support.trials import digits_trial

from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status
from gan_bench.records.shared import write_baselines
from gan_bench.report.board.site import build_board
from gan_bench.report.build import build_report

pytestmark = [pytest.mark.draws_pages, pytest.mark.draws_plots, pytest.mark.browser]
COMMAND = "gan-bench run test --profile full"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Eight settings of five seeds, one of whose trials diverged, with baselines."""
    results = tmp_path_factory.mktemp("page") / "results"
    trials = []
    for i in range(8):
        for seed in range(5):
            trial = with_lr(digits_trial(seed), 1e-4 * (i + 1))
            trial = replace(
                trial,
                config=replace(
                    trial.config, epochs=3, evaluation=replace(trial.config.evaluation, epochs=(0, 1, 2, 3))
                ),
            )
            trials.append(trial)
            status = Status.DIVERGED if (i, seed) == (0, 4) else Status.DONE
            write(results, trial, 40.0 + 3 * i + seed, status=status, collapsed=float(i == 1), precision=0.1 * i)
    score = {"metric": "fid", "value": 1.5, "std": None, "draw_std": 0.2, "extractor": "lenet-mnist-v1",
             "name": "fid[lenet-mnist-v1,train,64]", "split": "train", "real": 100, "generated": 64}  # fmt: skip
    anchor = {"dataset": "digits", "image_size": 28, "samples": 64, "pictures": 50, "what": "held", "scores": [score]}
    write_plan(results, "test", 1, trials, COMMAND)
    write_baselines(results, "test", 1, [anchor])
    return build_report(results).page


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = needs.chromium()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opening(chromium, report):
    """Open the page at a width; what it asks for and what goes wrong is looked at in the end."""
    opened = []

    def go(width=1400, height=1000, scheme="light", anchor=""):
        page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        wrong, asked = [], []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{report.as_uri()}{anchor}")
        opened.append((page, wrong, asked))
        return page

    yield go
    for page, wrong, asked in opened:
        assert wrong == []
        assert all(url.startswith(("data:", report.parent.parent.as_uri())) for url in asked), "nothing from elsewhere"
        page.close()


@pytest.fixture
def open_page(chromium, report):
    """Opens the page for a test that changes it."""
    with opening(chromium, report) as go:
        yield go


@pytest.fixture(scope="module")
def page(chromium, report):
    """The page on a desktop, as it is opened, for tests that only look at it."""
    with opening(chromium, report) as go:
        yield go()


FEW_ROWS = """
for (const body of document.querySelectorAll("tbody")) {
  const seen = {};
  for (const row of [...body.rows]) {
    const kind = [row.className, ...[...row.cells].map(c => c.className + c.childElementCount)].join();
    seen[kind] = (seen[kind] || 0) + 1;
    if (seen[kind] > 2) row.remove();
  }
}
"""
"""Leaves two rows of each kind in each table: axe looks at every cell, and others have the same elements."""


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (1400, "dark"), *needs.slow((390, "dark"), (1400, "light"))]
)
def test_axe_finds_nothing(open_page, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.evaluate(FEW_ROWS)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.evaluate("location.hash = document.querySelector('a[href^=\"#trial-\"]').getAttribute('href')")
    page.wait_for_selector("dialog[open]")
    found = Axe().run(page, "dialog[open]")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_ranking_shows_fid_and_nothing_scrolls_sideways(open_page, width):
    page = open_page(width)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    head = page.get_by_role("columnheader", name="FID ↓", exact=True).first
    box = head.bounding_box()
    assert box["x"] + box["width"] <= width, "FID is seen without scrolling"
    if width == 390:
        assert page.locator(".ranking th:visible").count() == 4
        page.get_by_role("button", name="All columns").click()
        assert page.locator(".ranking th:visible").count() > 8


def test_on_a_phone_every_letter_of_a_plot_is_ten_pixels_high(open_page):
    page = open_page(390)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    sizes = page.eval_on_selector_all(
        "figure [role=img] > svg",
        "all => all.flatMap(svg => [...svg.querySelectorAll('text')].map(text => parseFloat("
        "getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))",
    )
    assert len(sizes) > 50
    assert min(sizes) >= 9.95


@pytest.mark.parametrize("width", [700, 1000, 1366, 1920])
def test_columns_that_do_not_fit_are_behind_a_switch(open_page, width):
    page = open_page(width)
    box = page.locator(".ranking").first
    for vital in ("FID ↓", "remarks"):
        assert page.get_by_role("columnheader", name=vital, exact=True).first.is_visible()
    fits = "box => box.scrollWidth <= box.clientWidth"
    assert box.evaluate(fits)
    few, switch = page.locator(".ranking th:visible").count(), page.get_by_role("button", name="All columns")
    every = page.locator(".ranking th:not(.small)").count()
    if few < every:
        switch.click()
        assert page.locator(".ranking th:visible").count() == every
        assert switch.get_attribute("aria-pressed") == "true"
        switch.click()
        assert page.locator(".ranking th:visible").count() == few
        page.set_viewport_size({"width": 2600, "height": 900})
        page.wait_for_function(
            "few => [...document.querySelectorAll('.ranking th')].filter(h => h.offsetWidth).length > few", arg=few
        )
    else:
        assert not switch.is_visible()


def test_the_answer_stands_first_with_where_it_comes_from(page):
    answer = page.locator(".answer").first
    assert answer.bounding_box()["y"] < 500
    assert "lr 1e-4" in answer.inner_text()
    assert "1 failed" in answer.inner_text()
    facts = page.locator(".facts").inner_text()
    assert re.search("gan-bench run test --results .* --profile full", facts), "of all trials that are shown"
    assert "last trial ended" in facts
    order = page.eval_on_selector_all("main h3", "all => all.map(e => e.textContent)")
    parts = ["Answer", "Ranking", "Effect of each factor", "Samples of the same noise", "Curves", "Health", "Cost"]
    assert [title for title in order if title in parts] == parts


def test_the_contents_stay_in_view_and_open_what_they_lead_to(open_page):
    page = open_page()
    link = page.get_by_role("navigation").get_by_role("link", name="Cost")
    link.click()
    page.wait_for_function("document.querySelector('[id$=-cost]').open")
    page.mouse.wheel(0, 3000)
    assert link.is_visible()
    assert link.bounding_box()["y"] >= 0


def test_baselines_and_remarks_are_marked(page):
    rows = page.eval_on_selector_all(".ranking tbody tr", "all => all.map(r => [r.className.trim(), r.innerText])")
    baselines = [text for name, text in rows if name == "baseline"]
    assert len(baselines) == 2
    assert any("real data" in text for text in baselines)
    (best,) = [text for name, text in rows if name == "best"]
    assert "4 of 5" in best
    assert any("5 of 5 collapsed" in text for _, text in rows)
    protocol = page.eval_on_selector_all("#test-full-protocol tr.baseline", "all => all.length")
    assert protocol == 0, "fields of a protocol are no baselines"


@pytest.fixture(scope="module")
def long_report(tmp_path_factory):
    """Forty settings of one seed."""
    results = tmp_path_factory.mktemp("long") / "results"
    trials = [with_lr(digits_trial(0), 1e-5 * (i + 1)) for i in range(40)]
    for i, trial in enumerate(trials):
        write(results, trial, 40.0 + i)
    write_plan(results, "test", 1, trials, COMMAND)
    return build_report(results).page


def test_a_ranking_of_some_settings_is_shown_whole(open_page):
    """It was a box of eleven rows without a visible scroll bar, which hid both baselines."""
    page = open_page(1366, 768)
    heights = page.eval_on_selector(".ranking", "box => [box.clientHeight, box.scrollHeight]")
    assert heights[0] >= heights[1]


def test_a_long_ranking_keeps_its_baselines_in_view(chromium, long_report):
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.goto(long_report.as_uri())
    box, baseline = page.evaluate(
        "() => [document.querySelector('.ranking'), document.querySelector('.ranking tr.baseline td')]"
        ".map(e => { const r = e.getBoundingClientRect(); return [r.top, r.bottom, e.scrollHeight, e.clientHeight] })"
    )
    assert box[2] > box[3], "it scrolls"
    assert box[0] <= baseline[0] < baseline[1] <= box[1] + 1, "and the untrained generators stay at its end"
    page.close()


def test_tables_sort_and_filter(open_page):
    page = open_page()
    table = page.locator(".ranking table").first
    values = (
        "t => [...t.tBodies[0].rows].filter(r => !r.classList.contains('baseline'))"
        ".map(r => Number(r.cells[%d].dataset.sort))"
    )
    at = table.evaluate("t => [...t.tHead.rows[0].cells].findIndex(c => c.textContent.trim() === 'FID ↓')")
    button = page.locator(".ranking th:visible", has_text="FID ↓").first.get_by_role("button")
    button.click()
    up = table.evaluate(values % at)
    button.click()
    down = table.evaluate(values % at)
    assert up == sorted(up)
    assert down == up[::-1]
    assert table.evaluate("t => t.rows[t.rows.length - 1].classList.contains('baseline')"), "baselines stay last"
    page.locator("[data-filter]").first.fill("collapsed")
    assert table.evaluate("t => [...t.tBodies[0].rows].filter(r => !r.hidden).length") == 1


def test_every_table_has_its_files(page, report):
    links = page.eval_on_selector_all(".files a", "all => all.map(a => a.getAttribute('href'))")
    assert len(links) > 15
    assert all((report.parent / link).exists() for link in links)


def test_the_slider_names_its_epoch(open_page):
    page = open_page()
    slider = page.locator("[data-samples]")
    slider.fill("0")
    assert page.locator("[data-epochs]").inner_text() == "epoch 0"
    slider.fill("100")
    assert page.locator("[data-epochs]").inner_text() == "epoch 3"


def test_curves_can_be_explored(open_page):
    page = open_page()
    explorer = page.locator(".explorer")
    explorer.scroll_into_view_if_needed()
    assert explorer.locator("canvas").count() == 1
    boxes = explorer.locator("input[type=checkbox]")
    assert boxes.count() == 9, "eight settings and the logarithmic axis"
    over = explorer.locator(".u-over").bounding_box()
    page.mouse.move(over["x"] + over["width"] - 2, over["y"] + over["height"] / 2)
    values = [text for text in explorer.locator("fieldset output").all_inner_texts() if text]
    assert len(values) == 6, "the best six are shown"
    assert float(values[0]) == pytest.approx(41.5)
    explorer.locator("select").first.select_option(label="loss D")
    assert "loss D over epochs" in explorer.locator("[role=img]").get_attribute("aria-label")
    explorer.get_by_role("button", name="None").click()
    assert explorer.locator("canvas").count() == 0
    explorer.get_by_role("button", name="All settings").click()
    explorer.locator("select").nth(1).select_option(label="seconds of training")
    assert explorer.locator("[role=img]").get_attribute("aria-label").count("lr ") == 8


def test_a_curve_has_no_value_beyond_its_end(chromium, report, tmp_path):
    before, start, rest = report.read_text().partition('<script type="application/json" id="curves">')
    text, end, after = rest.partition("</script>")
    curves = json.loads(text)
    for found in next(iter(curves.values()))["curves"].values():
        found[0][1:] = [values[:2] for values in found[0][1:]]
    shorter = tmp_path / "shorter.html"
    shorter.write_text(before + start + json.dumps(curves) + end + after)
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(shorter.as_uri())
    explorer = page.locator(".explorer")
    explorer.scroll_into_view_if_needed()
    over = explorer.locator(".u-over").bounding_box()
    for share, ended in ((0.01, False), (0.99, True)):
        page.mouse.move(over["x"] + share * over["width"], over["y"] + over["height"] / 2)
        shown = [text for text in explorer.locator("fieldset output").all_inner_texts() if text]
        assert len(shown) == 6
        assert (shown[0] == "\N{EN DASH}") is ended
        assert "\N{EN DASH}" not in shown[1:]
    page.close()


def test_a_trial_shows_grids_curves_and_scores(open_page):
    page = open_page()
    page.locator("main table a[href^='#trial-']:visible").first.click()
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    text = dialog.inner_text()
    assert "Final scores" in text
    assert "FID ↓" in text
    assert "{" not in text, "nothing is raw JSON"
    assert dialog.locator(".grids img").count() == 4
    assert dialog.locator("canvas").count() == 2
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_grids_that_are_not_on_the_page_are_found_in_the_results(open_page):
    page = open_page()
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.locator("#test-full-digits-trials a", has_text="seed=3").first.click()
    grids = page.locator("dialog[open] .grids img")
    page.wait_for_function("document.querySelectorAll('dialog[open] .grids img').length === 4")
    assert grids.first.evaluate("i => i.decode().then(() => i.naturalWidth)") == 242


def test_a_panel_opens_large(open_page):
    page = open_page(390)
    page.locator("[data-enlarge]:visible").first.click()
    svg = page.locator("#large[open] svg")
    svg.wait_for()
    assert svg.bounding_box()["width"] >= 900


def test_print_cuts_no_table(open_page):
    page = open_page(1046)  # A4 landscape between its margins
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    cut = page.eval_on_selector_all(".wide table", "all => all.filter(t => t.offsetWidth > 1047).map(t => t.id)")
    assert cut == []
    assert page.locator("nav").is_hidden()
    assert page.locator(".explorer").is_hidden()


# ------------------------------------------------------------------------------------------------ the board


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Two machines with three settings of five seeds each."""
    folder = tmp_path_factory.mktemp("board")
    folders = [publish(folder / "epyc", EPYC), publish(folder / "h200", H200, start=44.0)]
    return build_board(folders, folder / "site").page


@pytest.mark.parametrize("width", [390, 1400, *needs.slow(800)])
def test_the_board_is_read_sorted_and_filtered_at_any_width(chromium, board, width):
    from axe_playwright_python.sync_playwright import Axe

    page = chromium.new_page(viewport={"width": width, "height": 900})
    wrong, asked = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(board.as_uri())
    shown = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert shown, "nothing is wider than the screen"
    assert page.get_by_role("columnheader", name="setting").is_visible()
    assert page.get_by_role("columnheader", name="median FID").is_visible()
    assert page.get_by_role("columnheader", name="machine").is_visible() == (width > 640)
    folded = page.locator(".folded").evaluate_all("all => all.map(e => getComputedStyle(e).display)")
    assert set(folded) == {"none" if width > 640 else "inline"}
    page.get_by_role("columnheader", name="median FID").get_by_role("button").click()
    page.get_by_role("columnheader", name="median FID").get_by_role("button").click()
    numbers = page.locator("tbody tr:not(.baseline) td.n[data-sort]").filter(has_text="(").all_inner_texts()
    values = [float(text.split()[0]) for text in numbers]
    assert values == sorted(values, reverse=True)
    assert len(values) == 6
    page.get_by_role("searchbox").fill("H200")
    assert page.locator("tbody tr:not(.baseline):visible").count() == 3
    page.get_by_role("searchbox").fill("")
    assert (found := Axe().run(page)).violations_count == 0, found.generate_report()
    page.locator("tbody a").first.click()
    page.wait_for_load_state()
    assert page.get_by_role("heading", name="Scores").is_visible()
    assert (found := Axe().run(page)).violations_count == 0, found.generate_report()
    page.get_by_role("link", name="The board").click()
    page.wait_for_url(board.as_uri())
    assert wrong == []
    assert all(url.startswith(("data:", board.parent.as_uri())) for url in asked), "nothing from elsewhere"
    page.close()
