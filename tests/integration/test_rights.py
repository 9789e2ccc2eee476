"""Two real users of one results folder, one of whom may not read everything; and users without a name or a home."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.needs import slow
from support.suites import SMALL, train_small
from support.users import STRANGER
from support.warm import SLOW

from gan_bench.records.layout import RecordDirectory
from gan_bench.records.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore")
OTHER = SMALL.replace("suite: small", "suite: other")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("rights"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The folder of another suite's results."""
    folder = tmp_path_factory.mktemp("other")
    train_small(folder, OTHER)
    return folder


@pytest.fixture
def shared(trained):
    """A folder that everybody may enter and write, with the records of this user; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="gan_bench-shared-"))
    shutil.copytree(trained, folder / "results")
    (folder / "small.yaml").write_text(SMALL)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    yield folder
    shutil.rmtree(folder)


def record(shared, seed):
    return RecordDirectory(next(shared.glob(f"results/small/*lr=0.0002*seed={seed}--*")))


def other_suite(shared):
    path = shared / "other.yaml"
    path.write_text(OTHER)
    return path


def save_noise(folder, seed=0):
    """Eight images of their own, which everybody may read."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (8, 28, 28), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run(stranger, shared, *more):
    return stranger(
        *("run", shared / "small.yaml", "--results", shared / "results", "--no-tracking", "--profile", "full"), *more
    )


@pytest.mark.ci
@pytest.mark.parametrize(
    "names", [("record.json", "history.jsonl", "."), *slow(["trial.json", "generator.safetensors"])]
)
def test_what_cannot_be_read_is_skipped_named_and_left_as_it_is(stranger, shared, names):
    *closed, left = (path.parent for path in sorted(shared.glob("results/small/*/record.json")))
    places = [trial / name for trial, name in zip(closed, names, strict=False)]
    for place in places:
        place.chmod(0)
    before = [content(trial) for trial in closed]
    shutil.rmtree(left)  # a trial that is left to run
    planned = run(stranger, shared, "--dry-run").stdout
    rows = re.findall(r"^  (to run|finished|unreadable) +mnist.*, (seeds? \S+)$", planned, re.M)
    assert {("to run", "seed 1"), ("unreadable", "seeds 0-1")} <= set(rows)
    done = run(stranger, shared)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert [content(trial) for trial in closed] == before
    assert not list((shared / "results" / "small").glob(".*aside*"))
    assert not (shared / "results" / "small" / ".damaged").exists()
    assert f"{3 - len(places)} finished, 1 to run, {len(places)} unreadable" in done.stdout
    for place in places:
        assert re.search(
            rf"{re.escape(str(place))}\S* cannot be read \(Permission denied\): it belongs to root; ask root", said
        )
    assert "unreadable, skipped: " in done.stdout
    trained = RecordDirectory(left).record
    assert json.loads(trained.read_text())["status"] == "done"
    assert trained.stat().st_uid == STRANGER


def test_an_interrupted_trial_of_another_user_is_not_taken(stranger, shared):
    mine = record(shared, 0)
    mine.record.unlink()
    mine.path.chmod(0o755)
    before = content(mine.path)
    done = run(stranger, shared)
    assert done.returncode == 1
    assert f"{mine.path} cannot be written (Permission denied): it belongs to root" in done.stdout
    assert content(mine.path) == before


@pytest.mark.ci
def test_fresh_takes_nothing_from_another_user(stranger, shared):
    mine = record(shared, 0)
    mine.path.chmod(0o755)
    before = content(mine.path)
    done = run(stranger, shared, "--fresh", "--only", "*lr=0.0002*")
    assert done.returncode == 1
    assert "unreadable, skipped: " in done.stdout
    assert content(mine.path) == before
    assert record(shared, 1).record.stat().st_uid == STRANGER


@pytest.mark.parametrize("executor", ["inline", *slow("processes")])
def test_a_lock_of_another_user_stops_that_trial_alone(stranger, shared, executor):
    for seed in (0, 1):
        shutil.rmtree(record(shared, seed).path) if seed else record(shared, seed).record.unlink()
    lock = shared / "results" / "small" / ".locks" / f"{record(shared, 0).path.name.rpartition('--')[2]}.lock"
    lock.touch()
    lock.chmod(0o600)
    done = run(stranger, shared, "--executor", executor)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"{lock} cannot be locked (Permission denied): it belongs to root" in said
    assert json.loads(record(shared, 1).record.read_text())["status"] == "done"


@pytest.mark.parametrize(
    "closed", ["results/small", *slow("results/small/*lr=0.0002*seed=0--*", "results/small/plan.json")]
)
def test_one_closed_folder_stops_no_command(stranger, shared, other, closed):
    other = shutil.copytree(other / "results" / "other", shared / "results" / "other")
    for path in (other, *other.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (place,) = shared.glob(closed)
    place.chmod(0)
    report = stranger("report", shared / "results", "--no-html")
    assert report.returncode == 0, report.stderr
    assert f"{place} cannot be read (Permission denied): it belongs to root" in report.stdout
    checked = stranger("verify", shared / "results")
    assert checked.returncode == 1
    assert str(place) in checked.stdout
    compared = stranger("compare", shared / "results", shared / "results")
    assert compared.returncode == 3, compared.stdout + compared.stderr
    assert f"left out, unreadable: {place}" in compared.stdout
    synced = stranger("sync", shared / "results")
    assert synced.returncode == (0 if place.name == "plan.json" else 1), synced.stdout + synced.stderr
    assert "up to date in MLflow" in synced.stdout
    for done in (report, checked, compared, synced):
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_class_that_may_not_be_read_is_said_with_its_rights(stranger, shared, mode):
    """Of one that may be listed and not entered it was said that its images are damaged, and are to be got again."""
    for seed, name in enumerate("ab"):
        save_noise(shared / "pictures" / name, seed=seed)
    (shared / "pictures" / "b").chmod(mode)
    done = stranger("try", shared / "pictures", "--look", "--out", shared / "new.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    remedy = "make it readable (chmod +rx) or remove it"
    assert done.stderr == f"error: the folder {shared}/pictures/b cannot be read (Permission denied); {remedy}\n"


def test_a_closed_folder_is_said_by_score_as_what_it_is(stranger, shared):
    """A file trial.json in it could not be used, where there is none."""
    for name in ("closed", "open"):
        save_noise(shared / name / "below")
    (shared / "closed").chmod(0)
    below = f"{shared}/closed/below cannot be read (Permission denied); make it and the folders above readable"
    closed = f"the folder {shared}/closed cannot be read (Permission denied); make it readable (chmod +rx) or remove it"
    for first, second, said in (
        (shared / "closed", "digits", closed),
        (shared / "open", shared / "closed" / "below", below),
    ):
        done = stranger("score", first, second)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"error: {said}")


def test_an_image_that_may_not_be_read_is_counted_and_named_where_all_are_needed(stranger, shared):
    save_noise(shared / "pictures")
    (shared / "pictures" / "3.png").chmod(0)
    done = stranger("try", shared / "pictures", "--look", "--out", shared / "new.yaml")
    assert "training: 1 left out: images that cannot be read or decoded" in done.stdout
    made = (shared / "new.yaml").read_text()
    (shared / "new.yaml").write_text(made.replace("    unreadable: skip\n", ""))
    shown = stranger("show", shared / "new.yaml")
    assert "3.png cannot be read (Permission denied); make it readable or remove it" in shown.stdout + shown.stderr


def test_what_may_not_be_looked_into_makes_no_results_folder_of_what_it_is_in(stranger, shared):
    """Of a home with a closed folder two levels down it was said that it holds a results folder."""
    home = shared / "home"
    (home / "misc" / "secret").mkdir(parents=True)
    (home / "misc" / "secret").chmod(0)
    done = stranger("report", home)
    assert (done.returncode, "results folder" in done.stderr) == (2, False), done.stderr
    assert "holds no trial records" in done.stderr


@pytest.mark.slow
def test_a_user_without_a_name_and_a_home(stranger, shared):
    """As in a container that is started with a number for a user."""
    shutil.rmtree(record(shared, 0).path)
    trained = stranger("run", shared / "small.yaml", "--results", shared / "results", "--profile", "full")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "MLflow lacks" not in trained.stdout
    assert trained.stderr == ""
    assert (shared / "results" / "mlflow.db").stat().st_uid == STRANGER
    for arguments in (
        ("list",),
        ("doctor", "--results", shared),
        ("report", shared / "results"),
        ("sync", shared / "results"),
    ):
        done = stranger(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    nowhere = stranger("report", shared / "results", environment={"HOME": "/"})
    assert (nowhere.returncode, nowhere.stderr) == (0, "")
    assert not [verdict for verdict in verify(shared / "results") if verdict.faults]


@pytest.mark.ci
@pytest.mark.parametrize("encoding", ["ascii", *slow("latin-1", "cp1252", "utf-16")])
def test_output_that_is_not_utf_8(trained, encoding):
    from support.commands import gan_bench

    commands = ("report", trained, "--tables", "all", "--no-html"), ("show", "fid"), ("list",), ("list", "recipes")
    for arguments in commands if SLOW else commands[:2]:
        there = {**os.environ, "PYTHONIOENCODING": encoding}
        done = gan_bench(*arguments, env=there, text=False)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        said = done.stdout.decode(encoding)
        if encoding == "ascii" and arguments[0] == "report":
            assert "FID (lower)" in said
            assert "+-" in said or " to " in said


@pytest.mark.parametrize("name", ["small/plan.json", "small/suite.yaml", ".gan_bench-results"])
def test_a_file_of_the_folder_that_is_another_s_is_not_replaced(stranger, shared, name):
    """A run wrote a new plan, and a sync a new identity, over what it could not read."""
    file = shared / "results" / name
    if not file.exists():
        file.write_text(f"{uuid.uuid4()}\n")
    before = file.read_bytes()
    file.chmod(0o600)
    done = run(stranger, shared) if name.startswith("small/") else stranger("sync", shared / "results")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{file} cannot be read (Permission denied): it belongs to root" in done.stderr
    assert file.read_bytes() == before


@pytest.mark.ci
@pytest.mark.parametrize("mode", [0o000, *slow(0o111, 0o444)])
def test_a_suite_s_folder_that_is_closed_stops_no_other(stranger, shared, other, mode):
    """One that may be listed and not entered used to end the command."""
    other_suite(shared)
    shutil.copytree(other / "results" / "other", shared / "results" / "other")
    shutil.chown(shared / "results", STRANGER)
    (shared / "results" / "small").chmod(mode)
    for path in (shared / "results" / "other").rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (shared / "results" / "other").chmod(0o777)
    for command in ("verify", "report", "sync"):
        done = stranger(command, shared / "results")
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert "results/small" in said, said
        assert done.returncode in (0, 1), said
    assert "4 runs up to date" in done.stdout
