"""Feed damaged and hostile input to everything that reads a file, and count what is not a clear error.

    python tests/fuzz.py                       a minute, all targets
    python tests/fuzz.py --seconds 3600        an hour
    python tests/fuzz.py --target records --seed 7

Every input is made from the seed and a number, so a finding is repeated with the same seed. Prints one line of JSON:
how many inputs each target took and how many tracebacks came of them. The exit code is 1 when there was any.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.image_folder import Transform
from gan_bench.config.suite import make_plan
from gan_bench.core.errors import UserError
from gan_bench.data.image_folders import prepare
from gan_bench.records.json_files import SEAL, write_object
from gan_bench.records.reader import StoredTrial, scan
from gan_bench.records.shared import read_baselines
from gan_bench.records.verify import verify
from gan_bench.report.build import ReportTables
from gan_bench.report.compare import compare
from gan_bench.report.frame import build_frames
from gan_bench.report.latex import to_latex
from gan_bench.report.render import print_table, to_csv, to_markdown

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
VALUES = [None, True, -1, 0, 10**30, 1e308, float("nan"), "", "x" * 300, "\x1b[2J", "../..", [], {}, [[]], {"a": None}]


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
        for table in ReportTables.of(build_frames(stored), read_baselines(self.damaged)).all:
            if draw.random() < 0.1:
                to_csv(table), to_markdown(table), to_latex(table)
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
        prepare(source, None, Transform(size=16, channels=draw.choice([1, 3]), unreadable=rule))


def quiet() -> object:
    """Return a console that shows nothing."""
    from rich.console import Console

    return Console(file=io.StringIO(), width=100)


QUIET = quiet()
TARGETS: dict[str, Callable[[Path], Callable[[random.Random], None]]] = {
    "suites": Suites,
    "records": Records,
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
