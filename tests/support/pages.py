"""The pages of the documentation: their code blocks, and a shell in which their commands run on little data."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support import warm
from support.commands import HANG

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_MAKE_S = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
"""Variables that `make test` hands on, of which the commands of a page know nothing."""
_PIP = """\
import sys
from importlib.metadata import metadata, version
from packaging.requirements import Requirement

assert sys.argv[1] == "install", sys.argv
wanted = sys.argv[2].rpartition("/")[2]
if wanted.endswith(".whl"):  # what `make dist` makes, which has tests of its own
    assert wanted == f"gan_bench-{version('gan_bench')}-py3-none-any.whl", wanted
    sys.exit()
wanted = Requirement(wanted)
if wanted.name == "ray":
    sys.exit()
assert wanted.name == "gan-bench", wanted
assert wanted.extras <= set(metadata("gan_bench").get_all("Provides-Extra")), wanted
"""


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: ``sh``, ``python``, ``yaml``, ``text``, …
        title: The file it is, or nothing.
        text: What is in it.
    """

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page."""
    return [Block(language, title, text) for language, title, text in _FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(text: str) -> list[list[str]]:
    """Return the command lines of ``gan-bench`` in a block that is only shown."""
    return [line.partition("  #")[0].split() for line in text.splitlines() if line.startswith("gan-bench ")]


class Shell:
    """Runs what a page says in a folder of its own.

    ``gan-bench run`` trains one epoch of the smaller networks on few images; ``make`` uses the repository's Makefile
    with an environment that is there, and only expands targets that are the continuous integration itself; ``pip``
    checks what it is asked for.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "page"
        self.folder.mkdir()
        environment = folder / "environment"
        bin_ = environment / "bin"
        bin_.mkdir(parents=True)
        python, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
        for name in (".installed", ".installed-dev"):
            (environment / name).touch()
        for name in ("pyproject.toml", "constraints.txt"):
            target = self.folder / name
            target.write_bytes((ROOT / name).read_bytes())
            os.utime(target, (0, 0))
        self._program(bin_ / "gan-bench", f'exec {shlex.join(warm.command("support.page_command"))} "$@"\n')
        (bin_ / "pip.py").write_text(_PIP)
        self._program(bin_ / "pip", f'exec {python} {shlex.quote(str(bin_ / "pip.py"))} "$@"\n')
        forked = shlex.join(warm.command("")[:-1])
        self._program(bin_ / "python", f'if [ "$1" = -m ]; then shift; exec {forked} "$@"; fi; exec {python} "$@"\n')
        make = 'case "$1" in bench|report) set -- "$@";; *) set -- -n "$@";; esac\n'
        make += f"PATH={shlex.quote(os.environ['PATH'])} exec make -f {root}/Makefile VENV=../{environment.name} "
        self._program(bin_ / "make", f'{make}"$@"\n')  # names of make's targets hold no blanks
        self._program(bin_ / "podman", f'[ "$1" != build ] || [ -f {root}/Containerfile ]\n')
        self._program(bin_ / "sbatch", f'cd {root} && bash -n "$1"\n')
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in _MAKE_S},
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *words: str, **variables: str) -> str:
        """Run a program, and return what it printed.

        Raises:
            AssertionError: It failed.
        """
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG,
        )
        assert done.returncode == 0, f"{words[-1]}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def follow(self, block: Block) -> None:
        """Do what a block says: write its file, or run it."""
        text = block.text.replace("/shared/", "")  # a folder of a cluster
        if block.title:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif block.language == "sh":
            self.run("bash", "-euo", "pipefail", "-c", text)
        elif block.language == "python":
            self.run(*warm.command("support.page_code"), text)
