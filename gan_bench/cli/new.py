"""``new``: a template for a part or a suite, which passes ``check`` and runs as it is."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import gan_bench as gb
from gan_bench.config.suite import suites_folder
from gan_bench.config.trial import RESERVED_NAMES
from gan_bench.config.yaml_document import scalar
from gan_bench.core.atomic import write_new
from gan_bench.core.errors import UserError, writing
from gan_bench.core.registry import Registry
from gan_bench.core.text import as_typed, with_article

_SUITE = """\
suite: NAME
version: 1
plugins: [./FILE]
trials:
  - recipe: mnist-mlp-z100
    set: {SET, betas: [0.5, 0.999], lr: 1.0e-3, batch_size: 64, epochs: 100}
evaluate: {EVALUATE}
"""
"""The values are quickstart's: at the article's few small images would need several times as many epochs."""
_USED = {
    "architecture": "architecture: NAME, dataset: digits",
    "loss": "loss: NAME, dataset: digits",
    "dataset": "dataset: NAME",
    "measure": "dataset: digits",
    "extractor": "dataset: digits",
}
"""How a suite uses a part of each kind."""


def _fault_of(kind: str, name: str) -> str | None:
    """Return why a part or a suite cannot have a name, or None; a part's suite is named after it."""
    if name in RESERVED_NAMES:
        return f"results folders use the names {', '.join(sorted(RESERVED_NAMES))} themselves"
    if kind == "suite":
        return f'gan_bench ships a suite "{name}"' if (suites_folder() / f"{name}.yaml").exists() else None
    registry: Registry[Any] = getattr(gb, "LOSSES" if kind == "loss" else f"{kind.upper()}S")
    if name in registry:
        owner = "gan_bench ships" if registry.is_shipped(name) else "an installed package offers"
        return f'{owner} {with_article(kind)} "{name}"'
    return registry.fault_of_name(name)


def skeleton(kind: str, name: str) -> str:
    """Return the template of a part or a suite.

    Args:
        kind: architecture, loss, dataset, measure, extractor or suite.
        name: What it will be called.
    """
    text = (resources.files("gan_bench.cli") / "skeletons" / f"{kind}.txt").read_text(encoding="utf-8")
    return text.replace("NAME", scalar(name) if kind == "suite" else name)


def suite_for(kind: str, name: str, file: str) -> str:
    """Return a suite that trains with a part."""
    samples = "epochs: [25, 100], samples: 1000"
    evaluate = f"{samples}, extractors: [NAME]" if kind == "extractor" else samples
    text = _SUITE.replace("SET", _USED.get(kind, "")).replace("EVALUATE", evaluate)
    return text.replace("NAME", scalar(name)).replace("FILE", file)


def write_part(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the template of a part and a suite that trains with it, or that of a suite alone.

    Returns:
        The files.

    Raises:
        UserError: The name is none, or a file is there.
    """
    name = name.replace("-", "_") if kind == "measure" else name
    pattern = r"[a-z][a-z0-9_]*" if kind == "measure" else r"[a-z][a-z0-9_-]*"
    pattern = r"[a-z0-9][a-z0-9_-]*" if kind == "suite" else pattern  # as suite files may be called
    if not re.fullmatch(pattern, name) or len(name) > 64:
        may = "letters, digits and _" if kind == "measure" else "letters, digits, - and _"
        hint = f"begin with a small letter{' or a digit' * (kind == 'suite')}, and use small {may}"
        if Path(name).suffix in (".yaml", ".yml", ".py") and re.fullmatch(pattern, stem := Path(name).stem):
            hint = f'give the name alone, "{stem}"; the file is called after it'
        raise UserError(f'"{as_typed(name)}" cannot name {with_article(kind)}; {hint}')
    if fault := _fault_of(kind, name):
        raise UserError(f"{fault}; choose another name")
    file = folder / f"{name.replace('-', '_')}.py"
    suite = folder / f"{name}.yaml"
    if kind == "suite":
        texts = {suite: skeleton(kind, name)}
    else:
        texts = {file: skeleton(kind, name), suite: suite_for(kind, name, file.name)}
    there = [path for path in texts if path.exists()]
    if there:
        raise UserError(f"{there[0]} is there already, and stays as it is; choose another name")
    with writing(folder, "another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        write_new(texts)
    return list(texts)
