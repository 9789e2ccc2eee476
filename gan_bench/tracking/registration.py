"""Registers a decided setting's generator in MLflow's model registry."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import UserError
from gan_bench.core.program_code import PROGRAM
from gan_bench.records.folders import suite_of
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_saved
from gan_bench.tracking import server
from gan_bench.tracking.mirror import Mirror
from gan_bench.tracking.server import shown

if TYPE_CHECKING:
    from mlflow.entities import Run

ALIAS = "champion"
WEIGHTS_TAG = "gan_bench.weights_sha256"
"""Tag of a version with the digest of its generator's weights."""


def model_name(suite: str, prefix: str = "", apart: Sequence[str] = ()) -> str:
    """Return the registry's name of a suite's model, without characters that are not allowed."""
    parts = [f"{prefix}{suite}", *apart]
    return re.sub(r"[/:?'\"\x00-\x1f\x7f-\x9f]", "-", "~".join(parts))  # no suite has ~ in its name


def register(results: Path, uri: str, prefix: str, trial: Path, apart: Sequence[str] = ()) -> str:
    """Register the generator of a finished trial as ``PREFIX + suite`` with the alias ``champion``.

    Args:
        results: The results folder.
        uri: Tracking URI.
        prefix: Put before the suite's name.
        trial: Its record directory.
        apart: What follows the suite's name, as of a suite with several champions.

    Returns:
        The name and version, an existing one where that has the same weights and its files, as
        ``models:/NAME/VERSION``.

    Raises:
        UserError: It has no weights, or MLflow refuses.
        RecordError: They are not what was saved.
    """
    directory = RecordDirectory(trial)
    if not directory.weights.is_file() or directory.weights.is_symlink():
        raise UserError(f"{trial} has no {directory.weights.name}, so its generator cannot be registered; run it again")
    name, needed = model_name(suite_of(trial.parent), prefix, apart), ["gan-bench"]
    stored = read_saved(trial, [directory.weights.name])
    config = stored.trial["config"]
    part = stored.environment.get("parts", {}).get(f"architectures/{config['architecture']}")
    if part and part.get("path"):
        raise UserError(
            f"the architecture {config['architecture']} is of the file {part['path']}, which a model would not find; "
            "offer it as a package to register its generator"
        )
    if part and part["name"] == PROGRAM:
        raise UserError(
            f"the architecture {config['architecture']} was registered by the program that trained it, and a model "
            "would not find it; offer it as a package to register its generator"
        )
    if part:
        needed.append(f"{part['name']}=={part['version']}")
    try:
        mirror = Mirror(uri, results, prefix)
        mirrored = mirror.sync(trial)
        if mirrored is None:
            raise UserError(f"{trial} has no {directory.environment.name}, so it has no run in MLflow; run it again")
        _open(mirror, name)
        run = mirror.store.client.get_run(mirrored.run_id)
        weights = hashlib.sha256(directory.weights.read_bytes()).hexdigest()
        version = _version_of(mirror, name, weights)
        if version is None:
            version = _upload(mirror, run, directory, name, needed, {WEIGHTS_TAG: weights})
        mirror.store.client.set_registered_model_alias(name, ALIAS, version)
    except UserError:
        raise
    except Exception as error:
        text = server.describe_error(error, uri)
        raise UserError(f"MLflow at {shown(uri)} did not take the model ({text}){server.hint(error)}") from None
    return f"models:/{name}/{version}"


def earlier_champion(uri: str, prefix: str, suite: str, apart: Sequence[str] = ()) -> str:
    """Return the champion version of a suite's model and its setting; empty if there is none.

    Args:
        uri: Tracking URI.
        prefix: Put before the suite's name.
        suite: The suite.
        apart: What follows its name.
    """
    from mlflow import MlflowClient

    client, name = MlflowClient(tracking_uri=uri), model_name(suite, prefix, apart)
    try:
        version = client.get_model_version_by_alias(name, ALIAS)
        setting = client.get_run(version.run_id).data.tags["setting"]
    except Exception:  # the enclosing sentence is about something else
        return ""
    return f'"{ALIAS}" of the model {name} stays on version {version.version}, of {setting}'


def registry_elsewhere(uri: str) -> str:
    """Return the location of MLflow's registry, empty if it is the tracking URI."""
    place = os.environ.get("MLFLOW_REGISTRY_URI", "")
    return "" if place == uri else place


def _open(mirror: Mirror, name: str) -> None:
    """Create a model's registry entry if needed, so that a missing permission shows before files are sent.

    Raises:
        UserError: Its champion is of another results folder, or a user's own.
    """
    from mlflow.exceptions import MlflowException

    client = mirror.store.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    champion = client.get_registered_model(name).aliases.get(ALIAS)
    if champion is None:
        return
    try:
        version = client.get_model_version(name, champion)
        if WEIGHTS_TAG not in version.tags or not mirror.store.is_mine(client.get_run(str(version.run_id))):
            whose = "another results folder" if WEIGHTS_TAG in version.tags else "another program"
            raise UserError(
                f'"{ALIAS}" of the model {name} is version {champion}, of {whose}; '
                "name one of your own with --experiment-prefix, or take the alias away first"
            )
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # then it is gone for good, and its name is free
            raise


def _version_of(mirror: Mirror, name: str, weights: str) -> str | None:
    """Return the newest version of a model with these weights and existing files, or None."""
    from mlflow.artifacts import list_artifacts

    client = mirror.store.client
    found = client.search_model_versions(f"name='{name}'")
    same = [int(each.version) for each in found if each.tags.get(WEIGHTS_TAG) == weights and each.status == "READY"]
    for version in map(str, sorted(same, reverse=True)):
        with _at(mirror.store.uri):
            if list_artifacts(client.get_model_version_download_uri(name, version)):
                return version
    return None


@contextmanager
def _at(uri: str) -> Iterator[None]:
    """Direct MLflow's functions without a location argument to one; they also store it in the environment."""
    import mlflow

    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ[name] for name in names if name in os.environ}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # else an empty location would count as this one
        mlflow.set_registry_uri(None)
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def _upload(
    mirror: Mirror, run: Run, directory: RecordDirectory, name: str, needed: list[str], tags: dict[str, str]
) -> str:
    """Create a version of a model with these tags, and return its number.

    The run of the trial is none that MLflow counts as active: that would change its status and its end, also where
    the upload fails.
    """
    import mlflow
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    signature = mlflow.models.ModelSignature(
        inputs=Schema([ColSpec(DataType.long)]), params=ParamSchema([ParamSpec("seed", DataType.long, 0)])
    )
    model = mirror.store.client.create_logged_model(
        run.info.experiment_id, name="generator", source_run_id=run.info.run_id, params=run.data.params
    )
    with _at(mirror.store.uri), server.uploading(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow asks for type hints, and would make a signature of them
        mlflow.models.Model.log(
            artifact_path=None,
            name="generator",
            flavor=mlflow.pyfunc,
            model_id=model.model_id,
            run_id=run.info.run_id,
            python_model=str(Path(__file__).with_name("generator_model.py")),
            artifacts={"weights": str(directory.weights), "trial": str(directory.trial)},
            signature=signature,
            pip_requirements=needed,
        )
        with server.sent_once():  # retries could make two versions; the next sync finds one whose answer was lost
            made = mirror.store.client.create_model_version(
                name, f"models:/{model.model_id}", run_id=run.info.run_id, tags=tags, model_id=model.model_id
            )
    return str(made.version)
