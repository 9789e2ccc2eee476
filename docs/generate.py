"""Write those pages and tables of the documentation that the code knows: ``python docs/generate.py [--check]``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer.main
from pydantic import TypeAdapter

from gan_bench.cli.app import app
from gan_bench.cli.new import skeleton
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.measures import MEASURES
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite import make_plan
from gan_bench.metrics.extractors import EXTRACTORS, extractor_card
from gan_bench.models.losses import LOSSES
from gan_bench.records import schema

sys.path.insert(0, str(Path(__file__).parent))
from looks import picture
from rooms import drawing

DOCS = Path(__file__).parent
ROOT = DOCS.parent
FILES: dict[str, tuple[type, ...]] = {
    "trial.json": (schema.TrialFile,),
    "environment.json": (schema.EnvironmentFile,),
    "history.jsonl": (schema.StepLine, schema.EpochLine, schema.Statistics),
    "evaluations.jsonl": (schema.EvaluationLine, schema.ScoreLine),
    "record.json": (schema.RecordFile, schema.Best),
    "plan.json": (schema.PlanFile, schema.PlannedTrial, schema.PlannedDesign, schema.PlannedMeasure),
    "anchors.json": (schema.Baselines, schema.Baseline),
    "added.json": (schema.AddedFile, schema.AddedScores),
    "left-out.json": (schema.LeftOut,),
    "audit.json": (schema.AuditFile, schema.Audit, schema.AuditMachine, schema.AuditFinding),
}
"""The files of a results folder, with the forms of their objects."""


def table(titles: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table."""
    safe = [[" ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [titles, [":--"] * len(titles), *safe]) + "\n"


# ------------------------------------------------------------------------------------------- whole pages


def records_page() -> str:
    """Return the reference of every file and key of a results folder."""
    parts = [
        "# Records",
        "A trial's directory, `results/SUITE/TRIAL--ID/`, holds its record. The record is the truth; MLflow and the "
        "report are made from it. `plan.json` and `anchors.json` lie in the suite's folder, and so does "
        "`left-out.json` of a published one. JSON files carry the digest of their content, `record.json` those of all "
        "other files. Values marked *[timing]* differ between two runs of one trial; all others are the same bits.",
        "Beside these files: `samples/epoch-NNNN.png` (64 images from fixed latent noise), `checkpoint.pt` while the "
        "trial is not finished, `generator.safetensors` when it is, and `generator-ema.safetensors` where it keeps a "
        "moving average.",
    ]
    for file, forms in FILES.items():
        parts.append(f"## `{file}`")
        for form in forms:
            parts += [
                " ".join((form.__doc__ or "").replace("``", "`").split()),
                table(["key", "type", "meaning"], list(_keys(form))),
            ]
    return "\n\n".join(parts)


def _keys(form: type) -> Iterator[list[str]]:
    for key, found in TypeAdapter(form).json_schema()["properties"].items():
        optional = "" if key in form.__required_keys__ else " (newer records)"  # type: ignore[attr-defined]
        yield [f"`{key}`", _json_type(found), found.get("description", "") + optional]


def _json_type(found: dict[str, Any]) -> str:
    """Return what JSON has for a type."""
    if "anyOf" in found:
        return " or ".join(dict.fromkeys(_json_type(each) for each in found["anyOf"]))
    if "enum" in found or "const" in found:
        values = found.get("enum", [found.get("const")])
        return " or ".join(f"`{value}`" if value else "empty string" if value == "" else str(value) for value in values)
    names = {"integer": "whole number", "boolean": "true or false", "array": "list", "null": "null"}
    return names.get(found.get("type", "object"), found.get("type", "object"))


def measures_page() -> str:
    """Return the reference of measures, extractors and losses."""
    measures = [
        [
            f"`{name}`",
            m.title,
            m.description,
            "lower" if m.lower_is_better else "higher",
            _bounds(m.bounds),
            ", ".join(sorted(m.roles)),
        ]
        for name, m in MEASURES.items()
        if MEASURES.is_shipped(name)
    ]
    extractors = []
    for name in EXTRACTORS.shipped():
        known = extractor_card(name)
        reached = f"{known['test_accuracy']:.2%} on the test images; {known['trained_on']}" if known else ""
        extractors.append([f"`{name}`", EXTRACTORS[name].description, reached])
    losses = [
        [f"`{name}`", LOSSES[name].description, LOSSES[name].source, LOSSES[name].output] for name in LOSSES.shipped()
    ]
    return "\n\n".join(
        [
            "# Measures, extractors, losses",
            "## Measures",
            "A score is named with its protocol: `fid[lenet-mnist-v1,train,10000]` is FID under that extractor, "
            "against that split, from so many generated images. Measures are torchmetrics metrics with float64 states.",
            table(["name", "title", "what it is", "better", "range", "shown"], measures),
            _roles(),
            *(
                f"**{m.title}** (`{name}`). {m.explanation}"
                for name, m in MEASURES.items()
                if MEASURES.is_shipped(name)
            ),
            "## Extractors",
            table(["name", "what it is", "trained"], extractors),
            "`gan-bench show NAME` prints the card of a shipped classifier: layers, data, accuracy, digest.",
            "## Losses",
            table(["name", "what it is", "source", "D's output"], losses),
        ]
    )


def _roles() -> str:
    """Return what the roles are, as the code says it where they are defined."""
    source = (ROOT / "gan_bench" / "config" / "measures.py").read_text(encoding="utf-8")
    text = source.split('"""Where a measure is shown.', 1)[1].split('"""', 1)[0]
    return "Where a measure is shown: " + " ".join(text.replace("``", "`").split()).replace(". `", "; `")


def _bounds(bounds: tuple[float | None, float | None]) -> str:
    low, high = bounds
    if low is None and high is not None:
        return f"up to {high:g}"
    if low is None and high is None:
        return ""
    return f"{low:g} to {high:g}" if high is not None and low is not None else f"from {low:g}"


def commands_page() -> str:
    """Return the reference of the command line."""
    parts = [
        "# Commands",
        "`gan-bench` is also `python -m gan_bench`. Exit codes: 0 all is well; 1 some trial failed or "
        "diverged, or a check failed; 2 bad usage, data or suite; 3 `compare` cannot "
        "judge something; 130 interrupted.",
    ]
    parts += _command(typer.main.get_command(app), "gan-bench")
    return "\n\n".join(parts)


def _command(command: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - of the click that typer brings
    if hasattr(command, "commands"):
        for sub, each in command.commands.items():
            yield from _command(each, f"{name} {sub}")
        return
    yield f"## `{name}`"
    yield (command.help or "").strip()
    rows, known = [], _choices(command.callback)
    for option in command.params:
        if option.name == "help":
            continue
        is_option = option.param_type_name == "option"
        names = ", ".join(f"`{each}`" for each in option.opts) if is_option else f"`{str(option.name).upper()}`"
        text = (getattr(option, "help", "") or "").replace("\\[", "[")
        choices = None if "KIND" in (option.metavar or "") else known.get(str(option.name))  # the text has them
        values = " One of " + ", ".join(f"`{each}`" for each in choices) + "." if choices else ""
        default = getattr(option, "default", None)
        plain = is_option and "[default:" not in text and type(default) in (int, float, str)
        shown = (plain and not values) or isinstance(default, Path)
        rows.append([names, text + values + (f" [default: {default}]" if shown and str(default) else "")])
    if rows:
        yield table(["argument or option", "meaning"], rows)


def _choices(callback: Any) -> dict[str, list[str]]:  # noqa: ANN401 - a command
    """Return the values of options that take one of several."""
    found: dict[str, list[str]] = {}
    for name, parameter in inspect.signature(inspect.unwrap(callback), eval_str=True).parameters.items():
        kind = get_args(parameter.annotation)[0] if get_origin(parameter.annotation) is Annotated else None
        if get_origin(kind) is Literal:
            found[name] = list(get_args(kind))
    return found


# --------------------------------------------------------------------------------- tables inside of pages


def article_list() -> str:
    """Return the five articles with what each trains."""
    rows = []
    for name, recipe in RECIPES.items():
        if RECIPES.is_shipped(name):
            values = recipe.values()
            a = recipe.article
            link = f"[{a.key}]({a.key.lower()}.md)"
            trains = f"{values['architecture']} on {values['dataset']}, {values['epochs']} epochs"
            rows.append([link, a.title, a.outlet, trains, f"`{name}`"])
    return table(["", "article", "outlet", "trains", "recipe"], rows)


def recipe_table(name: str) -> str:
    """Return the values of a recipe with their provenance."""
    facts = RECIPES[name].facts()
    return table(
        ["value", "", "provenance", "note"],
        [[f"`{field}`", str(fact.value), fact.provenance, fact.note] for field, fact in facts.items()],
    )


def suite_list() -> str:
    """Return the suites that come with gan_bench."""
    rows = []
    for path in sorted((ROOT / "benchmarks").glob("*.yaml")):
        full, quick = make_plan(path, PlanOptions()), make_plan(path, PlanOptions(profile="quick"))
        count = f"{len(full.trials)} ({len(quick.trials) if quick.has_quick else 'no quick profile'})"
        rows.append([f"`{path.stem}`", count, full.description.strip()])
    return table(["suite", "trials (quick)", "what it asks"], rows)


def skeleton_block(kind: str) -> str:
    """Return what ``gan-bench new`` writes for a part of a kind."""
    return f'```python title="my_{kind}.py"\n{skeleton(kind, f"my_{kind}")}```\n'


def used_in(recipe: str) -> str:
    """Return the recipe of an article with the suites that train it."""
    suites = [
        f"`{path.stem}`"
        for path in sorted((ROOT / "benchmarks").glob("*.yaml"))
        if any(trial.config.recipe == recipe for trial in make_plan(path, PlanOptions()).trials)
    ]
    return f"Recipe `{recipe}`, in the suites {', '.join(suites)}.\n"


PAGES = {
    "reference/records.md": records_page,
    "reference/measures.md": measures_page,
    "reference/commands.md": commands_page,
}
_PART = re.compile(r"(<!-- generated: ([a-z]+)(?: ([\w-]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
_PARTS = {
    "skeleton": skeleton_block,
    "articles": article_list,
    "recipe": recipe_table,
    "suites": suite_list,
    "used": used_in,
}


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every page that has generated text, as it should be."""
    for name, make in PAGES.items():
        text = make().rstrip().replace("\n\n\n", "\n\n")
        yield DOCS / name, f"<!-- made by docs/generate.py -->\n\n{text}\n"
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _PART.search(text):
            yield path, _PART.sub(lambda m: f"{m[1]}\n{_PARTS[m[2]](*filter(None, [m[3]]))}\n{m[4]}", text)
    yield DOCS / "rooms.svg", drawing()
    yield DOCS / "looks.svg", picture()


def main() -> int:
    """Write the pages, or say which are out of date."""
    stale = [path for path, text in generated() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date; run make docs")
        return 1 if stale else 0
    for path, text in list(generated()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
