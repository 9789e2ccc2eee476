"""The TensorFlow-compatible Inception-v3 of torch-fidelity, with its weights checked before use.

FID, KID and IS of the literature use this network: 2,048 pool features and logits without bias (Heusel et al. 2017;
Obukhov et al., torch-fidelity). The graph and the resize come from torch-fidelity; the weights file is published with
it, and the first eight hex digits of its SHA-256 are part of its name.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_bench.core.errors import DataError
from gan_bench.core.text import at_home
from gan_bench.metrics.features import Features

WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS_FILE}"
SHA256_HEAD = "6726825d"
VARIABLE = "GAN_BENCH_INCEPTION"


def weights_path() -> Path | None:
    """Return where the weights lie: ``$GAN_BENCH_INCEPTION``, else torch's hub cache, else None."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(at_home(given))
    cached = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE
    return cached if cached.exists() else None


def read_weights(path: Path, sha256_head: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Check and read a weights file; nothing in it is run.

    Args:
        path: The file.
        sha256_head: What its SHA-256 must begin with; that of the published file when None.

    Returns:
        The tensors by key, and the file's SHA-256.

    Raises:
        DataError: The file is missing, is another one, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the Inception weights {path} cannot be read ({error.strerror}); set ${VARIABLE} to {WEIGHTS_FILE}"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if not digest.startswith(sha256_head or SHA256_HEAD):
        raise DataError(
            f"{path} is not {WEIGHTS_FILE} (its SHA-256 begins with {digest[:8]}); "
            f"delete it and get it from {WEIGHTS_URL}"
        )
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
        content = None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DataError(f"{path} does not hold plain tensors; get it again from {WEIGHTS_URL}")
    return content, digest


def _download() -> Path:
    """Fetch the published weights into torch's hub cache.

    Raises:
        DataError: They cannot be had.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(WEIGHTS_URL, str(path), hash_prefix=SHA256_HEAD, progress=False)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"the Inception weights cannot be downloaded ({error}); put {WEIGHTS_FILE} somewhere and set ${VARIABLE} "
            "to it, or choose the shipped extractor with --extractor lenet-mnist-v1 or cifar-v1"
        ) from None
    return path


class Inception:
    """Inception-v3 as a feature extractor, in float32.

    Args:
        device: Where it runs.
        sha256_head: What the weights' SHA-256 must begin with; that of the published file when None.

    Raises:
        DataError: The weights cannot be had or are not the right ones.
    """

    name = "inception"
    feature_dim = 2048
    classes = 1008

    def __init__(self, device: torch.device, sha256_head: str | None = None) -> None:
        path = weights_path() or _download()
        weights, self.sha256 = read_weights(path, sha256_head)
        self.device = device
        self._network = _network(weights, path).to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images of any size, grey or colour; resized as the TensorFlow original does."""
        colour = images.to(self.device)
        if colour.shape[1] == 1:
            colour = colour.expand(-1, 3, -1, -1)
        features, logits = self._network(colour)
        return Features(features, logits)


def _network(weights: dict[str, Tensor], path: Path) -> torch.nn.Module:
    """Build the graph. It insists on reading a file, so it gets our own copy of the checked tensors."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    copy = io.BytesIO()
    torch.save(weights, copy)
    copy.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # its constructor draws weights before it reads the file
            network: Any = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], copy)
    except RuntimeError as error:
        problem = str(error).splitlines()[0]
        raise DataError(f"{path} does not fit Inception-v3 ({problem}); get it again from {WEIGHTS_URL}") from None
    module: torch.nn.Module = network
    return module
