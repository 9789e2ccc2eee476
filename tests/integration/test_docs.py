"""What README and guides show works: every command, every snippet, every link."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image
from support.commands import python_file
from support.pages import PAGES, ROOT, Shell, blocks, commands
from typer.main import get_command

from gan_bench.cli.app import app
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.design import FEWEST, LOOKS
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.report.study.stats import ALPHA, coincidence
from gan_bench.run_options import declared

RUN = {"sh", "python", "yaml"}
NAMES = {str(page.relative_to(ROOT)): page for page in PAGES}


def is_run(page):
    return any(block.language in RUN for block in blocks(page))


def needs_mnist(page):
    """Say whether a command of a page trains on MNIST."""
    lines = [line for block in page if block.language == "sh" for line in block.text.splitlines()]
    return any(re.search(r"(run|SUITE=)\s*(mnist|mine|random)", line) for line in lines)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The results folder of an earlier run."""
    shell = Shell(tmp_path_factory.mktemp("earlier"))
    shell.run("gan-bench", "run", "digits", "--only", "mlp", "--seeds", "0,1")
    return shell.folder / "results"


@pytest.mark.parametrize("name", [name for name, page in NAMES.items() if is_run(page)])
def test_what_a_page_says_works(name, tmp_path, earlier):
    mine = [block for block in blocks(NAMES[name]) if block.language in RUN]
    if needs_mnist(mine) and not os.environ.get("GAN_BENCH_DATA"):
        pytest.skip("GAN_BENCH_DATA does not name a folder with MNIST")
    shell = Shell(tmp_path)
    for folder in ("results", "old", "new"):
        shutil.copytree(earlier, shell.folder / folder)
    for block in mine:
        shell.follow(block)


SHOWN = [
    (name, words)
    for name, page in NAMES.items()
    for block in blocks(page)
    if block.language == "text"
    for _, *words in commands(block.text)
]


@pytest.mark.parametrize(("name", "words"), SHOWN)
def test_commands_that_a_page_only_shows_are_understood(name, words):
    known = get_command(app).commands
    known[words[0]].make_context(words[0], list(words[1:]))


@pytest.mark.parametrize("name", [name for name, page in NAMES.items() if blocks(page)])
def test_other_blocks_are_what_they_say(name):
    for block in blocks(NAMES[name]):
        assert block.language in {*RUN, "text", "toml", "bibtex"}
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "yaml":
            assert block.title, "a reader should know what file this is"


class TestWorkflow:
    """The GitHub Actions workflow that compares a pull request with its base."""

    @pytest.fixture
    def steps(self):
        (block,) = [b for b in blocks(ROOT / "docs" / "sharing.md") if b.title.startswith(".github/")]
        job = yaml.safe_load(block.text)["jobs"]["compare"]
        return [step["run"] for step in job["steps"] if "run" in step]

    @staticmethod
    def do(shell, steps, **programs):
        for name, text in {"git": 'test "$*" = "checkout origin/main"\n', **programs}.items():
            shell._program(shell.folder.parent / "environment" / "bin" / name, text)
        summary = shell.folder / "step-summary.md"
        for step in steps:
            shell.run("bash", "-e", "-c", step, GITHUB_BASE_REF="main", GITHUB_STEP_SUMMARY=str(summary))
        return summary.read_text()

    def test_writes_the_comparison_into_the_summary(self, steps, tmp_path):
        shell = Shell(tmp_path)
        (shell.folder / "suites").mkdir()
        shell.run("gan-bench", "new", "architecture", "ours", "--out", "suites")  # as a repository may have it
        assert self.do(shell, steps).startswith("## gan_bench comparison")

    @pytest.mark.parametrize(("code", "passes"), [(0, True), (1, False), (3, True)])
    def test_fails_when_something_got_worse(self, steps, tmp_path, code, passes):
        program = f'case "$1" in compare) echo text > summary.md; exit {code};; esac\n'
        shell = Shell(tmp_path)
        if passes:
            assert self.do(shell, steps, **{"gan-bench": program}) == "text\n"
        else:
            with pytest.raises(AssertionError):
                self.do(shell, steps, **{"gan-bench": program})


# ------------------------------------------------------------------------------------------ links and site


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    page = NAMES[name]
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
        if page.parts[-2] != ROOT.name:
            assert (page.parent / target).resolve().is_relative_to(ROOT / "docs"), f"{target} is not part of the site"


def test_folders_and_files_that_pages_name_exist():
    for page in PAGES:
        for target in re.findall(
            r"`((?:results/published|benchmarks|gan_bench)/[\w./-]+)`", page.read_text(encoding="utf-8")
        ):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_the_guide_for_contributors_names_what_there_is():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.findall(r"`((?:gan_bench|tests|benchmarks|docs|results)/[\w./-]+)`", text)
    assert len(files) > 10
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [link for link in re.findall(r"\]\((?!https)([^)]+)\)", text) if not (ROOT / link).exists()] == []
    made = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", text)) <= made
    for name in ("copies", "digits", "ttur"):
        assert any(name in (ROOT / file).read_text() for file in files if file.endswith((".py", ".yaml"))), name
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step][-2:] == [
        "make lint",
        "make test",
    ]


@pytest.mark.parametrize(("option", "after"), [("only", "`only` chooses"), ("fail_fast", "`fail_fast` is a rule")])
def test_the_guide_for_contributors_names_files_that_an_option_acts_in(option, after):
    """It named three that never mention its own examples."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sentence = text[text.index(after) :]
    files = re.findall(r"`([\w/]+\.py)`", sentence[: re.search(r"(applies it|ask for it)\.", sentence).end()])
    assert len(files) >= 3
    assert [name for name in files if option not in (ROOT / "gan_bench" / name).read_text()] == []


def test_the_guide_to_python_names_what_a_call_does_otherwise_than_a_command():
    """It kept no MLflow runs, without a word, where the README promises them of every run."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    arguments = [name for name, (_, option) in declared().items() if not option.shell]
    assert "tracking" in arguments
    assert [name for name in arguments if f"`{name}=" not in text] == []


def test_the_start_page_says_which_seeds_can_decide():
    """It said five, and a fixed list of three can."""
    text = " ".join((ROOT / "docs" / "index.md").read_text(encoding="utf-8").split())
    assert "a suite's fixed list (three for one comparison, more for several)" in text
    assert "first look (five by default)" in text
    assert (FEWEST, LOOKS[0]) == (3, 5)
    assert coincidence(FEWEST) <= ALPHA < 2 * coincidence(FEWEST)
    assert {trial.config.seed for trial in make_plan(find_suite("quickstart"), PlanOptions()).trials} == set(range(5))


def test_generated_pages_are_up_to_date():
    done = python_file(ROOT / "docs" / "generate.py", "--check")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert not loaded, f"{page.name} loads {loaded}: the site should open offline"


def test_every_article_is_named_before_its_short_name():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for recipe in RECIPES.values():
        line = next(line for line in text.splitlines() if recipe.article.title in line)
        assert line.startswith(f"| [{recipe.article.key}]")
        assert recipe.article.outlet.split(",")[0] in line
        assert recipe.article.key not in text[: text.index(line)]
        page = (ROOT / "docs" / "articles" / f"{recipe.article.key.lower()}.md").read_text(encoding="utf-8")
        assert f"*{recipe.article.title}*, {recipe.article.outlet}" in page


def test_the_ranking_in_the_readme_is_the_published_one():
    report = ROOT / "results" / "published" / "amd-epyc-2-cores" / "report"
    published = (report / "tables" / "mnist-cpu-full-mnist-settings-lenet-mnist-v1-train-10000.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in published.splitlines() if line.startswith("|")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = [line.split("|") for line in readme.splitlines() if re.match(r"\| \d", line)]
    assert len(shown) >= 3
    for cells in shown:
        row = [cell.strip() for cell in rows[cells[1].strip()].split("|")]
        assert [cell.strip() for cell in cells if cell.strip() not in row] == []
    answer = (report / "answer.md").read_text(encoding="utf-8").partition("## mnist-cpu, mnist")[2]
    said = [line[2:] for line in answer.splitlines() if line.startswith("- ")]
    assert len(said) > 3
    text = " ".join(readme.split())
    assert [sentence for sentence in said if sentence not in text] == []


def test_pages_say_of_how_many_others_a_setting_is_better_as_the_published_answers_do():
    """Two said "all 12 others" where the answer says 10 of 12."""
    answers = " ".join(
        path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("results/published/*/report/answer.md"))
    )
    counts = re.compile(r"decidedly\W+better\s+than\s+(all\s+\d+|\d+\s+of\s+\d+)\s+other")
    said = {" ".join(found.split()) for page in PAGES for found in counts.findall(page.read_text(encoding="utf-8"))}
    assert said
    assert [found for found in said if f"decidedly better than {found} other" not in answers] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "images/" in page.read_text(encoding="utf-8")], ids=lambda page: page.name
)
def test_pictures_can_be_opened(page):
    for target in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.endswith(".svg"):
            assert ElementTree.parse(page.parent / target).getroot().tag.endswith("svg")  # noqa: S314 - it is ours
            continue
        with Image.open(page.parent / target) as picture:
            picture.load()
