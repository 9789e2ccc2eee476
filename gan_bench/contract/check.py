"""Find the parts of a package or file and check them: ``gan-bench check``; tests check every part that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.plugins import load_plugin
from gan_bench.config.suite import known_suites
from gan_bench.contract.parts import (
    Body,
    BrokenContractError,
    architecture_checks,
    dataset_checks,
    extractor_checks,
    loss_checks,
    measure_checks,
    recipe_checks,
)
from gan_bench.core.errors import DataError, UserError, brief, is_stop
from gan_bench.core.registry import REGISTRIES, did_you_mean
from gan_bench.core.sources import distribution_of
from gan_bench.core.text import as_typed
from gan_bench.records.layout import check_name

_CHECKS: dict[str, Callable[[Any, str, DataRoot], Iterable[tuple[str, Body]]]] = {
    "architectures": architecture_checks,
    "losses": loss_checks,
    "datasets": dataset_checks,
    "extractors": extractor_checks,
    "measures": measure_checks,
    "recipes": recipe_checks,
}


@dataclass(frozen=True)
class Check:
    """The result of one check of a part.

    Attributes:
        part: Kind and name of the part.
        what: What was checked.
        fault: How the contract is broken, or None.
        skipped: Why it could not be checked, or None.
    """

    part: str
    what: str
    fault: str | None = None
    skipped: str | None = None


def parts_of(target: str) -> list[tuple[str, str]]:
    """Find the parts of a package or a local file, which is run.

    Args:
        target: Name of a distribution or of its package, or path of a Python file.

    Returns:
        Plurals of registries and names in them.

    Raises:
        UserError: There are none, or the file fails.
    """
    if target.endswith(".py"):
        place = str(load_plugin(Path(target)).path)
        found = [(plural, name) for plural, registry in REGISTRIES.items() for name in registry.of_file(place)]
        if not found:
            raise UserError(f"{target} registers no part; it needs a line such as ARCHITECTURES.register(NAME, ...)")
        return found
    owners: dict[str, list[tuple[str, str]]] = {}
    for plural, registry in REGISTRIES.items():
        for name, points in registry.points().items():
            for point in points:
                for owner in {_normal(distribution_of(point)[0]), _normal(point.module.partition(".")[0])}:
                    owners.setdefault(owner, []).append((plural, name))
    if _normal(target) not in owners:
        near = did_you_mean(_normal(target), [*owners, *known_suites()])
        hint = near if owners or near.startswith("did") else "none offers any"
        raise UserError(
            f'no installed package "{as_typed(target)}" offers parts ({hint}); a suite, or a path to a '
            "Python file, works too"
        )
    return owners[_normal(target)]


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def check_part(plural: str, name: str, data: DataRoot) -> Iterator[Check]:
    """Check one part against the contract of its kind.

    Args:
        plural: Its registry.
        name: Its name.
        data: Where datasets look for their files.

    Yields:
        What every check came to; after a part that cannot be loaded there are no more.
    """
    registry = REGISTRIES[plural]
    part = f"{registry.kind} {name}"

    def load() -> None:
        if not registry.in_scores:  # these registries check names themselves
            check_name(name, registry.kind)
        registry[name]  # raises for an entry of another class

    def carry_out(what: str, check: Body) -> Check:
        try:
            check()
        except DataError as error:
            return Check(part, what, skipped=str(error))
        except BrokenContractError as error:
            return Check(part, what, fault=str(error))
        except BaseException as error:  # third-party code may raise anything
            if is_stop(error):
                raise
            return Check(part, what, fault=brief(error))
        return Check(part, what)

    loaded = carry_out("loads", load)
    yield loaded
    if loaded.fault is None:
        for what, check in _CHECKS[plural](registry[name], name, data):
            yield carry_out(what, check)
