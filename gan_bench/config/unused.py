"""What a suite declares and no trial uses: a reader would believe that it is trained."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from gan_bench.config.changes import Drawn, Several
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite_file import SuiteFile, TrialEntry
from gan_bench.config.yaml_document import YamlDocument, dotted
from gan_bench.core.errors import SuiteError
from gan_bench.core.text import as_typed


def check_datasets(suite: SuiteFile, changes: Mapping[str, object], document: YamlDocument) -> None:
    """Refuse images of a suite that no trial is trained on: the recipe's own would be, without a word.

    Args:
        suite: The suite, whose recipes are all known.
        changes: Those of the command line, which may name a dataset too.
        document: Its file.

    Raises:
        SuiteError: There are such.
    """
    asked = changes.get("dataset")
    named: list[object] = [*asked] if isinstance(asked, Several) else [asked]
    for entry in suite.trials:
        named += _datasets_of(entry)
    of_recipes = {RECIPES[entry.recipe].values()["dataset"] for entry in suite.trials if not _datasets_of(entry)}
    others = [each for each in named if isinstance(each, str) and each not in suite.datasets]
    said = []
    for name in suite.datasets:
        if name not in named and name not in of_recipes:
            place = ("datasets", name)
            near = difflib.get_close_matches(name, others, 1)
            remedy = (
                f'write {name} in place of "{as_typed(near[0])}"' if near else f"add set: {{dataset: {name}}} to one"
            )
            said.append(
                f"{document.nearest(place, key=True)}: {dotted(place)}: used by no trial; {remedy}, or remove it"
            )
    if said:
        raise SuiteError("\n".join(said))


def _datasets_of(entry: TrialEntry) -> list[object]:
    """Return the datasets that an entry names; random ones may be any of a choice."""
    swept = getattr(entry.sweep, "dataset", None)
    found = (swept.choice or ()) if isinstance(swept, Drawn) else (swept or ())
    return [*found, *([entry.set.dataset] if entry.set.dataset else [])]
