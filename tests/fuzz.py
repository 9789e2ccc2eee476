"""Feed damaged and hostile input to everything that reads a file, and count what is not a clear error.

    python tests/fuzz.py                       a minute, all targets
    python tests/fuzz.py --seconds 3600        an hour
    python tests/fuzz.py --target records --seed 7

Every input is made from the seed and a number, so a finding is repeated with the same seed. Prints one line of JSON:
how many inputs each target took and how many tracebacks came of them. The exit code is 1 when there was any.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

import gan_bench as gb
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.image_folder import Transform
from gan_bench.config.suite import make_plan
from gan_bench.core.errors import UserError
from gan_bench.data.image_folders import prepare_images
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.folders import scan
from gan_bench.records.json_files import SEAL, write_object
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import read_suites
from gan_bench.records.publish import publish
from gan_bench.records.reader import StoredTrial
from gan_bench.records.verify import verify
from gan_bench.report.build import build_report
from gan_bench.report.card.card import write_card
from gan_bench.report.compare.comparison import compare
from gan_bench.report.findings.find_setting import champions
from gan_bench.report.findings.reproduction import article_tables
from gan_bench.report.page.page import Chapter
from gan_bench.report.study.frame import build_frames
from gan_bench.report.study.latex import to_latex
from gan_bench.report.study.studies import studies
from gan_bench.report.study.table import table_markdown, to_csv
from gan_bench.sampling import write_film
from gan_bench.terminal.tables import print_table

SECRET = b"what is in no record"
STRANGER = 54321
TESTS = Path(__file__).parent
RECORDS = TESTS / "golden" / "records-0.1.0.zip"
SUITES = sorted((TESTS.parent / "benchmarks").glob("*.yaml"))
TOKENS = [
    *(
        "null",
        "~",
        "true",
        "!!int ''",
        "!!python/object:os.system",
        "&a",
        "*a",
        "[",
        "]",
        "{",
        "}",
        "- ",
        ": ",
        "1e999",
    ),
    *(
        "9" * 400,
        "-1",
        "0",
        "2e-4",
        "\x00",
        "\ud800",
        "\x1b[2J",
        "..",
        "../..",
        "NaN",
        "trials",
        "sweep",
        "seeds",
        "{}",
    ),
]
VALUES = [
    None,
    True,
    -1,
    0,
    "2026-13-45",
    "'",
    "`<b>",
    10**30,
    1e308,
    1e-308,
    2**53,
    float("nan"),
    "",
    "x" * 300,
    "\x1b[2J",
    "../..",
    [],
    {},
    [[]],
    {"a": None},
]


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Change bytes: flips, cuts, repeats, insertions."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << draw.randrange(8)
            case 1:
                del changed[at : at + draw.choice([1, 4, 40, len(changed)])]
            case 2:
                changed[at:at] = changed[at : at + draw.choice([1, 10, 100])]
            case 3:
                changed[at:at] = draw.choice(TOKENS).encode(errors="surrogatepass")
            case 4:
                changed[at : at + 4] = draw.randbytes(4)
            case _:
                changed[at:at] = draw.randbytes(draw.choice([1, 8, 64]))
    return bytes(changed)


def mutate_json(value: object, draw: random.Random) -> object:
    """Change one value somewhere in a JSON document, or lose it."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        if draw.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutate_json(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        return [*value[:at], mutate_json(value[at], draw), *value[at + 1 :]]
    return draw.choice(VALUES)


class Suites:
    """Suite files, made from the shipped ones."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "fuzzed.yaml"
        self.seeds = [path.read_bytes() for path in SUITES]

    def __call__(self, draw: random.Random) -> None:
        self.path.write_bytes(mutate(draw.choice(self.seeds), draw))
        make_plan(self.path, PlanOptions(profile=draw.choice(["full", "quick"])))


class Records:
    """Results folders with one damaged file: read, verified, compared, and made into tables."""

    def __init__(self, folder: Path) -> None:
        with zipfile.ZipFile(RECORDS) as archive:
            archive.extractall(folder)
        self.whole, self.damaged = folder / "results", folder / "damaged"
        files = [path for path in self.whole.rglob("*.*") if path.is_file() and path.suffix not in (".pt", ".previous")]
        self.files = sorted(path.relative_to(self.whole) for path in files)
        self.texts = [path for path in self.files if path.suffix in (".json", ".jsonl")]

    def __call__(self, draw: random.Random) -> None:
        shutil.rmtree(self.damaged, ignore_errors=True)
        shutil.copytree(self.whole, self.damaged)
        path = self.damaged / draw.choice(self.texts if draw.random() < 0.8 else self.files)
        content = path.read_bytes()
        if path.suffix == ".json" and draw.random() < 0.5:
            self._reshape(path, json.loads(content), draw)
        elif path.suffix == ".jsonl" and draw.random() < 0.5:
            lines = content.splitlines()
            at = draw.randrange(len(lines))
            lines[at] = json.dumps(mutate_json(json.loads(lines[at]), draw)).encode()
            path.write_bytes(b"\n".join(lines) + b"\n")
        elif draw.random() < 0.1:
            path.unlink()
            draw.choice([path.mkdir, lambda: path.symlink_to(path.name), lambda: None])()
        else:
            path.write_bytes(mutate(content, draw))
        if draw.random() < 0.5:
            list(verify(self.damaged))
        stored = [item for item in scan(self.damaged, steps=draw.random() < 0.5) if isinstance(item, StoredTrial)]
        frames = build_frames(stored)
        for table in (
            *(table for study in studies(frames, read_suites(self.damaged)) for table in Chapter(study).tables),
            *article_tables(frames),
        ):
            if draw.random() < 0.1:
                to_csv(table), table_markdown(table), to_latex(table)
                print_table(table, QUIET)
        if draw.random() < 0.1:
            compare(self.whole, self.damaged)

    def _reshape(self, path: Path, content: dict[str, object], draw: random.Random) -> None:
        """Write valid JSON of another shape, with a digest that fits."""
        content.pop(SEAL, None)
        changed = mutate_json(content, draw)
        if isinstance(changed, dict) and draw.random() < 0.7:
            try:
                write_object(path, changed)
            except ValueError:  # not a JSON value
                path.write_text(json.dumps(changed))
        else:
            path.write_text(json.dumps(changed))


class Commands(Records):
    """The same, of records that name another's files, hold odd values or are closed, through every reading command.

    Beside what every target checks: nothing is deleted or changed, and no byte of a file outside goes into an output.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.secret = folder / "secret"
        self.secret.write_bytes(SECRET)
        (folder / "out").mkdir()
        shutil.copytree(self.whole, self.damaged)
        for command in self._commands(random.Random(0), html=True):  # what loads late must be there for another user
            with contextlib.suppress(UserError):
                command()
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def __call__(self, draw: random.Random) -> None:
        shutil.rmtree(self.damaged, ignore_errors=True)
        shutil.copytree(self.whole, self.damaged)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        (self.folder / "out").chmod(0o777)
        draw.choice([self._odd, self._linked, self._closed, self._swapped])(draw)
        before = snapshot(self.damaged)
        try:
            with acting_as(STRANGER if self.closed else None):
                draw.choice(self._commands(draw, html=draw.random() < 0.05))()
        finally:
            self.closed = False
            assert snapshot(self.damaged) == before, "a reading command changed what it read"
            assert self.secret.read_bytes() == SECRET
            for path in (self.folder / "out").rglob("*"):
                assert not path.is_symlink(), f"{path} is a link"
                assert not path.is_file() or SECRET not in path.read_bytes(), f"{path} holds what is not the record's"

    closed = False

    def _odd(self, draw: random.Random) -> None:
        """Values that are of their type and that nobody would write, with digests that fit."""
        path = self.damaged / draw.choice([path for path in self.texts if path.suffix == ".json"])
        self._reshape(path, json.loads(path.read_text()), draw)
        for record in self.damaged.glob("*/*/record.json"):
            if draw.random() < 0.7:
                with contextlib.suppress(UserError, ValueError, TypeError):
                    directory = RecordDirectory(record.parent)
                    if found := Earlier(directory).record:
                        writer.finish(directory, found)

    def _linked(self, draw: random.Random) -> None:
        """A link to a file or a folder outside, in the place of any file or folder, or beside them."""
        every = [path for path in self.damaged.rglob("*") if self.damaged.joinpath() != path]
        path = draw.choice(every)
        path = path.parent / "extra" if draw.random() < 0.3 and path.parent != self.damaged else path
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(draw.choice([self.secret, self.folder / "nowhere", self.folder]))

    def _closed(self, draw: random.Random) -> None:
        """A file or folder that another user may not read."""
        path = draw.choice(list(self.damaged.rglob("*")))
        path.chmod(0)
        self.closed = hasattr(os, "seteuid") and os.geteuid() == 0

    def _swapped(self, draw: random.Random) -> None:
        """The files of one trial in the place of another's, or a record twice."""
        first, second = draw.sample(sorted(self.damaged.glob("*/*--*")), k=2)
        if draw.random() < 0.5:
            shutil.copytree(first, first.with_name(f"copy--{first.name[-8:]}"), dirs_exist_ok=True)
        else:
            shutil.copytree(first, second, dirs_exist_ok=True)

    def _commands(self, draw: random.Random, *, html: bool) -> list[Callable[[], object]]:
        out, trial = self.folder / "out", draw.choice(sorted(self.whole.glob("*/*--*")))
        trial = self.damaged / trial.relative_to(self.whole)
        return [
            lambda: list(verify(self.damaged)),
            lambda: build_report(self.damaged, out / "report", html=html),
            lambda: compare(self.whole, self.damaged),
            lambda: compare(self.damaged, self.whole),
            lambda: write_card(self.damaged, draw.choice(["best", "*", "mlp"]), out / "card"),
            lambda: list(champions(self.damaged)),
            lambda: publish(self.damaged, out / "published", draw.choice([(), ("mnist",)])),
            lambda: gb.load(self.damaged),
            lambda: gb.generator(trial).images(2),
            lambda: write_film(trial, out / "film.gif"),
        ]


def snapshot(folder: Path) -> dict[str, object]:
    """What a folder holds: bytes of files, and where links lead."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or (path.is_file() and not path.name.endswith((".lock", ".owner")))
    }


@contextlib.contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """Act for another user, as far as rights to files go."""
    if user is None:
        yield
        return
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Images:
    """Folders and zip files of images."""

    FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "images"
        self.folder.mkdir()
        grey = (np.arange(64 * 64).reshape(64, 64) % 256).astype(np.uint8)
        self.seeds = []
        for name in self.FORMATS:
            out = io.BytesIO()
            Image.fromarray(grey).save(out, format=name)
            self.seeds.append((name.lower(), out.getvalue()))

    def __call__(self, draw: random.Random) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        ending, content = draw.choice(self.seeds)
        data = {f"{i}.{ending}": mutate(content, draw) for i in range(2)}
        source = self.folder / "archive.zip" if draw.random() < 0.3 else self.folder
        if source is self.folder:
            for name, value in data.items():
                (self.folder / name).write_bytes(value)
        else:
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
                for name, value in data.items():
                    archive.writestr(name, value)
            source.write_bytes(mutate(out.getvalue(), draw))
        rule = draw.choice(["stop", "skip"])
        prepare_images(source, None, Transform(size=16, channels=draw.choice([1, 3]), unreadable=rule))


def quiet() -> object:
    """Return a console that shows nothing."""
    from rich.console import Console

    return Console(file=io.StringIO(), width=100)


QUIET = quiet()
"\0".encode("unicode_escape")  # what is loaded at its first use must be there before another user acts
import_module("importlib.readers")
TARGETS: dict[str, Callable[[Path], Callable[[random.Random], None]]] = {
    "suites": Suites,
    "records": Records,
    "commands": Commands,
    "images": Images,
}


def fuzz(name: str, seconds: float, seed: int, most: int | None = None) -> tuple[int, int]:
    """Run one target until its time is over, or, where a number of inputs is given, until it has taken so many.

    Returns:
        Inputs, and how many of them gave anything but a result or a ``UserError``.
    """
    until, count, found = time.monotonic() + seconds, 0, 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        target = TARGETS[name](Path(folder))
        while time.monotonic() < until if most is None else count < most:
            count += 1
            try:
                target(random.Random(f"{seed}/{name}/{count}"))
            except UserError as error:
                str(error).encode()
            except Exception:
                found += 1
                sys.stderr.write(f"--- {name}, seed {seed}, input {count}\n{traceback.format_exc()}\n")
    return count, found


def main() -> None:
    """Run the targets and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="time for all targets together")
    parser.add_argument("--inputs", type=int, help="inputs of each target, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    asked = parser.parse_args()
    targets = asked.target or list(TARGETS)
    results = {name: fuzz(name, asked.seconds / len(targets), asked.seed, asked.inputs) for name in targets}
    summary = {name: {"inputs": count, "tracebacks": found} for name, (count, found) in results.items()}
    sys.stdout.write(json.dumps(summary) + "\n")
    sys.exit(1 if any(found for _, found in results.values()) else 0)


if __name__ == "__main__":
    main()
