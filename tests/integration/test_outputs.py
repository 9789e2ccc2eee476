"""What a command writes replaces what its like wrote earlier; a user's own files and records stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from support.commands import HANG, gan_bench, python_code
from support.suites import train_small

SAMPLE = ("sample", "{record}", "--images", "2", "--interpolate", "3", "--gif")
FOLDERS = {
    "sample": SAMPLE,
    "grid": SAMPLE[:2],
    "board": ("board", "{results}"),
    "report": ("report", "{results}"),
    "card": ("card", "best", "--results", "{results}"),
}
FILES = {
    **{form: ("compare", "{results}", "{results}", "--format", form) for form in ("text", "json", "markdown")},
    "parquet": ("export", "parquet", "{results}"),
    "moments": ("data", "stats", "digits", "--extractor", "lenet-mnist-v1"),
}
FILLED = {"publish": ("publish", "{results}"), "tensorboard": ("export", "tensorboard", "{results}")}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def run(results):
    record = next(results.glob("*/*lr=0.0002*seed=0*"))

    def call(words, out, **options):
        return gan_bench(*(word.format(results=results, record=record) for word in words), "--out", out, **options)

    return call


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(done, what):
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stdout + done.stderr
    assert what in done.stderr
    assert "with --out" in done.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_s_own_files_stay(run, tmp_path, name):
    for _ in range(2):
        assert run(FOLDERS[name], tmp_path / "new").returncode == 0
    kinds = {(file.parent, file.suffix): file for file in (tmp_path / "new").rglob("*") if file.is_file()}
    for number, file in enumerate(kinds.values()):
        folder = tmp_path / str(number)
        mine = folder / file.relative_to(tmp_path / "new")
        mine.parent.mkdir(parents=True)
        mine.write_text("mine")
        before = content(folder)
        assert_refused(run(FOLDERS[name], folder), f"{mine} is not known to be of an earlier ")
        assert content(folder) == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_one_s_own_stays(run, results, tmp_path, name):
    out = tmp_path / "out"
    out.write_text("")  # as mktemp makes it
    for _ in range(2):
        assert run(FILES[name], out).returncode == 0
    assert out.stat().st_size
    out.write_text("mine")
    assert_refused(run(FILES[name], out), f"{out} is not known to be of an earlier ")
    assert out.read_text() == "mine"
    plan = next(results.glob("*/plan.json"))
    before = plan.read_bytes()
    assert_refused(run(FILES[name], plan), "")
    assert plan.read_bytes() == before


@pytest.mark.parametrize("name", [*FOLDERS, *FILLED])
def test_records_are_no_place_to_write_to(run, results, tmp_path, name):
    words, record = {**FOLDERS, **FILLED}[name], next(results.glob("*/*lr=0.0002*seed=0*"))
    before = content(results)
    (tmp_path / "link").symlink_to(record / "samples")
    for place in (record, record / "samples", record / "new", tmp_path / "link", record.parent):
        assert_refused(run(words, place), f"{place} holds records")
    assert content(results) == before
    (tmp_path / "file").write_text("mine")
    assert_refused(run(words, tmp_path / "file"), f"{tmp_path / 'file'} is no folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_report_replaces_no_table_that_no_report_made(run, tmp_path):
    """Beside an earlier report, too, which lists its own."""
    assert run((*FOLDERS["report"], "--no-html"), tmp_path / "paper").returncode == 0
    table = next((tmp_path / "paper" / "tables").glob("*.csv"))
    listed = tmp_path / "paper" / "files.txt"
    listed.write_text(listed.read_text().replace(f"tables/{table.name}\n", ""))
    table.write_text("mine")
    assert_refused(
        run((*FOLDERS["report"], "--no-html"), tmp_path / "paper"), f"{table} is not known to be of an earlier report"
    )
    assert table.read_text() == "mine"


def test_notes_with_a_comparison_are_no_comparison(run, tmp_path):
    assert run(FILES["markdown"], tmp_path / "made.md").returncode == 0
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n\n" + (tmp_path / "made.md").read_text())
    assert_refused(run(FILES["markdown"], notes), f"{notes} is not known to be of an earlier comparison")


def test_notes_that_begin_as_a_comparison_are_none(run, tmp_path):
    notes = tmp_path / "notes.md"
    notes.write_text("gan_bench comparison of my two runs, by hand\n")
    assert_refused(run(FILES["markdown"], notes), f"{notes} is not known to be of an earlier comparison")


@pytest.mark.parametrize(("name", "stream"), [("json", "stdout"), ("moments", "stderr")])
def test_a_shell_s_file_goes_on_behind_what_is_written_to_its_stream(run, tmp_path, name, stream):
    """The file at the stream's end was replaced by another: what the shell wrote before and later was lost."""
    with (tmp_path / "all").open("wb") as file:
        file.write(b"before\n")
        file.flush()
        assert run(FILES[name], f"/dev/{stream}", capture_output=False, **{stream: file}).returncode == 0
        file.write(b"after\n")
    whole = (tmp_path / "all").read_bytes()
    assert whole.startswith(b"before\n")
    assert whole.endswith(b"after\n")
    assert len(whole) > len(b"before\nafter\n")


CLOSED = """
import os, sys
from gan_bench.__main__ import main

number, name = int(sys.argv.pop(1)), sys.argv.pop(1)
os.close(number)
setattr(sys, name, None)  # as Python starts where a shell closes it
try:
    main(sys.argv[1:])
finally:
    assert os.path.samestat(os.fstat(number), os.stat(os.devnull)), "another file has its descriptor"
    assert os.get_inheritable(number)
"""


@pytest.mark.parametrize("words", [("score", "{record}", "digits:test", "--samples", "64", "--json"), FILES["json"]])
def test_a_closed_standard_output_takes_what_is_written(run, results, tmp_path, words):
    """With ``>&-`` Python has no stream there: commands ended with a traceback, some after their whole work."""
    record = next(results.glob("*/*lr=0.0002*seed=0*"))
    given = [word.format(results=results, record=record) for word in words]
    given += ["--out", "/dev/stderr"] if words[0] == "compare" else []
    done = python_code(CLOSED, 1, "stdout", *given)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    if words[0] == "compare":
        assert json.loads(done.stderr)["exit_code"] == 0


@pytest.mark.parametrize(("number", "name"), [(0, "stdin"), (2, "stderr")])
def test_a_closed_standard_stream_is_no_file_s(number, name):
    done = python_code(CLOSED, number, name, "list", "suites")
    assert (done.returncode, "quickstart" in done.stdout) == (0, True), done.stdout


def test_a_loop_of_links_is_one_sentence(run, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert_refused(run(FILES["json"], tmp_path / "loop" / "x"), "cannot be written")


def test_an_array_of_one_s_own_is_no_file_of_moments(run, tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.zeros(3), count=3)
    assert_refused(
        run(FILES["moments"], tmp_path / "mine.npz"), "mine.npz is not known to be of an earlier export of moments"
    )


def test_an_empty_card_makes_no_weights_a_card_s(run, tmp_path):
    (tmp_path / "README.md").touch()
    (tmp_path / "generator.safetensors").write_text("mine")
    assert_refused(run(FOLDERS["card"], tmp_path), "generator.safetensors is not known to be of an earlier card")
    assert (tmp_path / "generator.safetensors").read_text() == "mine"


def test_a_link_stays_and_a_pipe_is_written_into(results, run, tmp_path):
    """As root, a command that wrote to /dev/stdout put a file in its place."""
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert run(FILES["json"], tmp_path / "link").returncode == 0
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real").read_text())["exit_code"] == 0
    os.mkfifo(tmp_path / "pipe")
    words = [word.format(results=results) for word in FILES["json"]]
    command = [sys.executable, "-m", "gan_bench", *words, "--out", tmp_path / "pipe"]
    with subprocess.Popen(command) as process, (tmp_path / "pipe").open() as pipe:
        assert json.load(pipe)["exit_code"] == 0
        assert process.wait(HANG) == 0


def test_a_folder_that_is_called_like_a_record_s_is_none(run, tmp_path):
    (tmp_path / "notes--20260101").mkdir()
    assert run(FILES["json"], tmp_path / "out").returncode == 0
