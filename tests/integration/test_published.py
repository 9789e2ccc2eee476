"""Published results: the records are whole, make the tables that lie beside them, and carry what is said of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from support.commands import gan_bench
from support.needs import slow

import gan_bench as gb
from gan_bench.records.folders import suite_folders
from gan_bench.records.verify import verify
from gan_bench.report.build import build_report

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "results" / "published"
RECORDS = sorted(path for path in PUBLISHED.glob("*") if path.is_dir() and suite_folders(path))
LARGEST = 34_000_000
"""Bytes of a folder there, as docs/adding-results.md says."""
SAYS = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs" / "articles").glob("a?.md"))]
MEASURED = re.compile(
    r"\d[\d.]* ± [\d.]+|\d[\d.]* \(\d[\d.]* to \d[\d.]*\)|\d+\.\d+ to \d+\.\d+|\d\.\d{3,}|\d\d\.\d\d\b"
)
"""What a measurement looks like in prose: with its interval, as a range, or with more digits than a setting has."""

pytestmark = [
    pytest.mark.draws_pages,
    pytest.mark.draws_plots,
    pytest.mark.skipif(not RECORDS, reason="the source archive holds the published tables, not the records"),
]


@pytest.fixture(scope="module", params=RECORDS, ids=lambda path: path.name)
def published(request):
    return request.param


def test_records_are_whole(published):
    verdicts = list(verify(published))
    assert [(verdict.name, verdict.faults) for verdict in verdicts if verdict.faults] == []
    assert sum(verdict.checked for verdict in verdicts) == len(list(published.glob("*/*/record.json")))


FEWEST, *MORE = sorted(RECORDS, key=lambda folder: len(list(folder.glob("*/*/record.json")))) or [None]


@pytest.mark.parametrize("records", [FEWEST, *slow(*MORE)], ids=lambda path: path and path.name)
def test_reports_of_them_are_those_beside_them(records, tmp_path):
    build_report(records, tmp_path)
    kept = records / "report"
    assert (tmp_path / "answer.md").read_text(encoding="utf-8") == (kept / "answer.md").read_text(encoding="utf-8")
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "tables").glob("*.md")}
    assert made == {path.name: path.read_text(encoding="utf-8") for path in (kept / "tables").glob("*.md")}
    for path in (kept / "tables").glob("*.csv"):  # of all digits, whose last ones differ between machines
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "tables" / path.name), pd.read_csv(path), rtol=1e-6)
    drawn = {path.name for path in (tmp_path / "plots").glob("*.svg")}
    assert drawn == {path.name for path in (kept / "plots").glob("*.svg")}


def test_generators_that_went_along_draw_images(published):
    found = sorted(published.glob("*/*/generator.safetensors"))
    assert found or published.name == "nvidia-h200"  # its weights stayed at home
    for path in found:
        images = gb.generator(path).images(4, seed=0)
        assert images.shape[0] == 4


def test_the_comparison_of_two_machines_is_that_of_their_records():
    kept = PUBLISHED / "devices" / "devices.md"
    old, new = (str(PUBLISHED / name) for name in ("amd-epyc-2-cores", "nvidia-h200"))
    made = gan_bench("compare", old, new, "--match", "settings", "--margin", "0.1", "--format", "markdown")
    assert made.returncode == 0, made.stderr
    assert made.stdout == kept.read_text(encoding="utf-8")


def test_the_front_picture_is_of_published_records():
    drawn, kept = front_image().draw(), Image.open(ROOT / "docs" / "images" / "front.png")
    assert kept.convert("RGB").tobytes() == drawn.tobytes()
    assert len(drawn.getcolors(maxcolors=1_000_000)) > 1000


def front_image():
    spec = importlib.util.spec_from_file_location("front_image", ROOT / "docs" / "front_image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_small_and_tell_no_place():
    made_again = (".html", ".gif")  # by a report of them, and not published
    files = [path for path in PUBLISHED.rglob("*") if path.is_file() and path.suffix not in made_again]
    for folder in filter(Path.is_dir, PUBLISHED.iterdir()):
        assert sum(path.stat().st_size for path in files if path.is_relative_to(folder)) < LARGEST, folder.name
    for path in files:
        if path.suffix in (".json", ".jsonl", ".md", ".csv", ".tex", ".yaml", ".svg"):
            place = re.search(r"/(?:home|root|tmp|Users|work)/\S+", path.read_text(encoding="utf-8"))
            assert place is None, f"{path.name}: {place[0]}"


@pytest.mark.parametrize("page", SAYS, ids=lambda path: path.name)
def test_every_measurement_in_prose_is_in_a_published_table(page):
    """Numbers of an article, which reproduction tables hold as reported, are found the same way."""
    tables = [*PUBLISHED.rglob("*.md"), *PUBLISHED.glob("*/report/answer.md")]
    known = "\n".join(path.read_text(encoding="utf-8") for path in tables)
    text = page.read_text(encoding="utf-8").partition("<!-- generated: recipe")[0]
    said = {match[0].rstrip(".") for match in MEASURED.finditer(" ".join(text.split()))}
    assert sorted(number for number in said if number not in known) == []
