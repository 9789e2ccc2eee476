"""A trained generator as an MLflow model. MLflow runs this file to load it; nothing is unpickled.

``mlflow.pyfunc.load_model("models:/NAME@champion").predict(16)`` gives sixteen images, (16, H, W, C) uint8.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings(record=True):  # MLflow asks for types of `predict`, past all filters

    class GeneratorModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types
        """Makes images with a trial's generator in eval mode."""

        def load_context(self, context: Any) -> None:  # noqa: ANN401 - mlflow's
            """Read the trial and its weights."""
            from safetensors.torch import load_file

            from gan_bench.config.trial import TrialConfig
            from gan_bench.models.architectures import ARCHITECTURES

            trial = json.loads(Path(context.artifacts["trial"]).read_text(encoding="utf-8"))
            self.config = TrialConfig.from_json(trial["config"])
            self.network = ARCHITECTURES[self.config.architecture].generator(self.config.latent_dim)
            self.network.load_state_dict(load_file(context.artifacts["weights"]))

        # Without types: mlflow would make a signature of them.
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
            """Return as many images as the given number, 0 or more, of noise seeded by the parameter ``seed``."""
            from gan_bench.metrics.evaluator import generated_chunks

            count = int(np.asarray(model_input).reshape(-1)[0])
            if count < 0:
                raise ValueError(f"the number of images must be 0 or more, not {count}")
            purpose = f"model/{(params or {}).get('seed', 0)}"
            made = [chunk.cpu().numpy() for chunk in generated_chunks(self.network, self.config, count or 1, purpose)]
            images: NDArray[np.uint8] = np.concatenate(made)[:count].transpose(0, 2, 3, 1)
            return images


mlflow.models.set_model(GeneratorModel())
