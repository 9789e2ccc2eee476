"""Put the generator of a decided setting into MLflow's model registry."""

from __future__ import annotations

import warnings
from pathlib import Path

from gan_bench.core.errors import UserError
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_saved
from gan_bench.tracking import server
from gan_bench.tracking.mirror import Mirror
from gan_bench.tracking.uri import shown

ALIAS = "champion"


def register(results: Path, uri: str, prefix: str, trial: Path) -> str:
    """Register the generator of a finished trial as ``PREFIX + suite`` with the alias ``champion``.

    Args:
        results: The results folder.
        uri: Tracking URI.
        prefix: Put before the suite's name.
        trial: Its record directory.

    Returns:
        The name and version, as ``models:/NAME/VERSION``.

    Raises:
        UserError: It has no weights, or MLflow refuses.
        RecordError: They are not what was saved.
    """
    directory = RecordDirectory(trial)
    if not directory.weights.is_file() or directory.weights.is_symlink():
        raise UserError(f"{trial} has no {directory.weights.name}, so its generator cannot be registered; run it again")
    name, needed = f"{prefix}{trial.parent.name}", ["gan-bench"]
    stored = read_saved(trial, [directory.weights.name])
    config = stored.trial["config"]
    part = stored.environment.get("parts", {}).get(f"architectures/{config['architecture']}")
    if part and part.get("path"):
        raise UserError(
            f"the architecture {config['architecture']} is of the file {part['path']}, which a model would not find; "
            "offer it as a package to register its generator"
        )
    if part:
        needed.append(f"{part['name']}=={part['version']}")
    try:
        server.configure()
        import mlflow
        from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

        mirror = Mirror(uri, results, prefix)
        mirror.sync(trial)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        signature = mlflow.models.ModelSignature(
            inputs=Schema([ColSpec(DataType.long)]),
            params=ParamSchema([ParamSpec("seed", DataType.long, 0)]),
        )
        run = mirror.client.get_run(mirror.run_id(trial))
        with server.uploading(), warnings.catch_warnings(), mlflow.start_run(run_id=run.info.run_id):
            warnings.simplefilter("ignore")  # mlflow asks for type hints, and would make a signature of them
            info = mlflow.pyfunc.log_model(
                name="generator",
                python_model=str(Path(__file__).with_name("generator_model.py")),
                artifacts={"weights": str(directory.weights), "trial": str(directory.trial)},
                signature=signature,
                registered_model_name=name,
                pip_requirements=needed,
            )
        mirror.client.set_terminated(run.info.run_id, run.info.status, run.info.end_time)  # it did not train until now
        mirror.client.set_registered_model_alias(name, ALIAS, info.registered_model_version)
    except UserError:
        raise
    except Exception as error:
        text = server.describe_error(error, uri)
        raise UserError(f"MLflow at {shown(uri)} did not take the model ({text}){server.hint(error)}") from None
    return f"models:/{name}/{info.registered_model_version}"
