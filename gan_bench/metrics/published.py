"""Extractors with published weights: which file, how it is fetched and checked, and the features from it.

Graphs and resizes are those of torch-fidelity (Obukhov et al.), for whose Inception-v3 the literature's FID, KID and IS
are defined (Heusel et al. 2017); DINOv2 is built in ``dinov2``. A file is read only when its SHA-256 is that of the
published one.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import Tensor, nn

from gan_bench.core.errors import DataError
from gan_bench.core.text import at_home
from gan_bench.metrics.features import PART, FrozenNetwork


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A published file of weights.

    Attributes:
        extractor: Name of the extractor that needs it.
        file: Its name.
        url: Where it is fetched from.
        sha256: Its SHA-256, or as many leading digits as its publisher gives.
        megabytes: Its size.
    """

    extractor: str
    file: str
    url: str
    sha256: str
    megabytes: int

    @property
    def variable(self) -> str:
        """The environment variable that names a local file."""
        return f"GAN_BENCH_{self.extractor.upper().replace('-', '_')}"

    def path(self) -> Path | None:
        """Return the path of the file: from the environment variable, else torch's hub cache, else None."""
        given = os.environ.get(self.variable)
        if given:
            return Path(at_home(given))
        cached = self._cached()
        return cached if cached.exists() else None

    def state(self) -> str:
        """Return where the file is, for ``gan-bench doctor``.

        Raises:
            DataError: It is not where it is said to be.
        """
        try:
            found = self.path()
            if found and not found.is_file():
                raise DataError(f"its weights {found} are no file; set ${self.variable} to {self.file}")
        except OSError as error:
            raise DataError(
                f"its weights cannot be read ({error.strerror}); set ${self.variable} to {self.file}"
            ) from None
        return f"weights {found}" if found else f"weights ({self.megabytes} MB) are fetched when it is first named"

    def _cached(self) -> Path:
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file

    def _fetch(self) -> Path:
        """Download the file into torch's hub cache; nothing in it is run.

        Raises:
            DataError: It cannot be had, or is another file.
        """
        path = self._cached()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_seen = sys.stderr is not None and sys.stderr.isatty()  # stderr is None if it is closed
            torch.hub.download_url_to_file(self.url, str(path), hash_prefix=self.sha256, progress=is_seen)
        except (OSError, RuntimeError, HTTPException) as error:
            raise DataError(
                f"the weights of the extractor {self.extractor} cannot be downloaded ({error}); put {self.file} "
                f"somewhere and set ${self.variable} to it, or choose a shipped extractor with --extractor "
                "lenet-mnist-v1 or cifar-v1"
            ) from None
        return path

    def read(self) -> tuple[bytes, str]:
        """Return the file's content and its SHA-256; it is downloaded if it is not here.

        Raises:
            DataError: It cannot be had or read, or is another file.
        """
        path = self.path() or self._fetch()
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"the weights {path} of the extractor {self.extractor} cannot be read ({error.strerror}); set "
                f"${self.variable} to {self.file}"
            ) from None
        digest = hashlib.sha256(data).hexdigest()
        if not digest.startswith(self.sha256):
            raise DataError(
                f"{path} is not {self.file} (its SHA-256 begins with {digest[:8]}, not {self.sha256[:8]}); get it from "
                f"{self.url} and set ${self.variable} to it"
            )
        return data, digest

    def tensors(self) -> tuple[dict[str, Tensor], str]:
        """Return the tensors of the file by key, and its SHA-256; nothing in the file is run.

        Raises:
            DataError: The file cannot be had, is another one, or holds something else.
        """
        data, digest = self.read()
        try:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            content = None
        if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
            raise DataError(
                f"{self.file} of the extractor {self.extractor} does not hold plain tensors; get {self.url}"
            )
        return content, digest


Build = Callable[[WeightsFile], tuple[Callable[[], nn.Module], str]]
"""Reads a file; returns what makes its network, and the file's SHA-256. From (N, 3, H, W) uint8 images the network
makes (N, D) features, or features and (N, classes) logits. What makes it raises RuntimeError or KeyError where tensors
do not fit; packages are imported before."""


@dataclass(frozen=True, kw_only=True)
class PublishedNetwork:
    """A network with published weights.

    Attributes:
        description: One line for people.
        weights: Its file.
        feature_dim: Length of a feature.
        classes: Number of classes of its logits, 0 where it gives none.
        part: Images in one pass, or None for as many as come.
        build: Makes it.
        extra: The extra of gan_bench that it needs, or None.
    """

    description: str
    weights: WeightsFile
    feature_dim: int
    classes: int = 0
    part: int | None = PART
    build: Build
    extra: str | None = None

    def load(self, device: torch.device) -> FrozenNetwork:
        """Load it onto a device.

        Raises:
            DataError: Its weights cannot be had or are not the right ones, or a package that it needs is missing.
        """
        name, file, url = self.weights.extractor, self.weights.file, self.weights.url
        make, sha256 = self.build(self.weights)
        try:
            with torch.random.fork_rng(devices=[]):  # torch-fidelity's graphs draw weights before they read the file
                made = make()
        except (RuntimeError, KeyError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
            raise DataError(f"{file} does not fit the extractor {name} ({why}); get it again from {url}") from None
        return FrozenNetwork(
            name, sha256, made, device, feature_dim=self.feature_dim, classes=self.classes, part=self.part
        )


def _fidelity(graph: str, features: list[str], weights: WeightsFile) -> tuple[Callable[[], nn.Module], str]:
    """Build a graph of torch-fidelity, which reads files only: it gets a copy of the checked tensors."""
    graph_class = resolve_name(f"torch_fidelity.{graph}")
    tensors, digest = weights.tensors()
    copy = io.BytesIO()
    torch.save(tensors, copy)
    copy.seek(0)
    return partial(graph_class, weights.extractor, features, copy), digest


def _clip(weights: WeightsFile) -> tuple[Callable[[], nn.Module], str]:
    """Build CLIP's image encoder. Its file is TorchScript, which is code: only the published digest is read."""
    from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

    data, digest = weights.read()

    def make() -> nn.Module:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.load", category=FutureWarning)
            graph: nn.Module = FeatureExtractorCLIP(weights.extractor, ["clip"], io.BytesIO(data))
        return graph

    return make, digest


def _dinov2(weights: WeightsFile) -> tuple[Callable[[], nn.Module], str]:
    from gan_bench.metrics.dinov2 import DinoV2

    try:  # before weights are fetched
        import timm  # noqa: F401
    except ModuleNotFoundError:
        raise DataError(f'the extractor {weights.extractor} needs timm; pip install "gan_bench[dinov2]"') from None
    tensors, digest = weights.tensors()
    return partial(DinoV2, weights.extractor, tensors), digest


def _dinov2_network(size: str, feature_dim: int, sha256: str, megabytes: int) -> PublishedNetwork:
    file = f"dinov2_vit{size}14_pretrain.pth"
    return PublishedNetwork(
        description=f"DINOv2 ViT-{size.upper()}/14, {feature_dim} features, gan_bench[dinov2]",
        weights=WeightsFile(
            extractor=f"dinov2-vit-{size}-14",
            file=file,
            url=f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{size}14/{file}",
            sha256=sha256,
            megabytes=megabytes,
        ),
        feature_dim=feature_dim,
        build=_dinov2,
        extra="dinov2",
    )


_CLIP_SHA256 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"

INCEPTION = PublishedNetwork(
    description="TensorFlow-compatible Inception-v3, 2048 features",
    weights=WeightsFile(
        extractor="inception",
        file="weights-inception-2015-12-05-6726825d.pth",
        url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        sha256="6726825d",
        megabytes=95,
    ),
    feature_dim=2048,
    classes=1008,
    part=None,  # whole chunks, as in the first version: smaller parts may change last bits
    build=partial(_fidelity, "feature_extractor_inceptionv3:FeatureExtractorInceptionV3", ["2048", "logits_unbiased"]),
)
NETWORKS = (
    INCEPTION,
    PublishedNetwork(
        description="VGG16 of ImageNet, 4096 features",
        weights=WeightsFile(
            extractor="vgg16",
            file="vgg16-397923af.pth",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            sha256="397923af",
            megabytes=528,
        ),
        feature_dim=4096,
        build=partial(_fidelity, "feature_extractor_vgg16:FeatureExtractorVGG16", ["fc2_relu"]),
    ),
    PublishedNetwork(
        description="CLIP ViT-B/32, 512 features",
        weights=WeightsFile(
            extractor="clip-vit-b-32",
            file=f"clip-vit-b-32-{_CLIP_SHA256}.pt",
            url=f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SHA256}/ViT-B-32.pt",
            sha256=_CLIP_SHA256,
            megabytes=338,
        ),
        feature_dim=512,
        build=_clip,
    ),
    _dinov2_network("s", 384, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9", 84),
    _dinov2_network("b", 768, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73", 330),
    _dinov2_network("l", 1024, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428", 1161),
)
"""Networks with published weights. DINOv2's digests are those that users of the files report: its authors publish
none."""
