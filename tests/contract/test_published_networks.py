"""Networks with published weights: only the published file is read, and features are those of their publishers."""

from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.commands import gan_bench, measuring
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import MEASURES
from gan_bench.core.errors import DataError
from gan_bench.metrics.dinov2 import DinoV2, positions
from gan_bench.metrics.evaluator import Evaluator
from gan_bench.metrics.extractors import EXTRACTORS, ExtractorEntry, resolve
from gan_bench.metrics.features import Features
from gan_bench.metrics.published import INCEPTION, NETWORKS
from gan_bench.metrics.reference import compute, reference

CPU = torch.device("cpu")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BY_NAME = {network.weights.extractor: network for network in NETWORKS}


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=2, channels=3, size=224, seed=0):
    return torch.randint(0, 256, (count, channels, size, size), generator=source(seed), dtype=torch.uint8)


def published(network, path, monkeypatch):
    """The network as if its publisher had published this file, which its environment variable names."""
    monkeypatch.setenv(network.weights.variable, str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(network, weights=replace(network.weights, sha256=digest))


def striped(shape, seed, scale):
    """Random weights of a shape in few bytes: every row is the last one moved by one."""
    rows, columns = shape[0], torch.Size(shape[1:]).numel()
    row = torch.randn(rows + columns, generator=source(seed)) * scale
    return row.as_strided((rows, columns), (1, 1)).unflatten(1, shape[1:]) if len(shape) > 1 else row[:rows]


def test_every_variable_is_the_name_of_its_extractor():
    found = {name: network.weights.variable for name, network in BY_NAME.items()}
    assert found == {
        "inception": "GAN_BENCH_INCEPTION",
        "vgg16": "GAN_BENCH_VGG16",
        "clip-vit-b-32": "GAN_BENCH_CLIP_VIT_B_32",
        "dinov2-vit-s-14": "GAN_BENCH_DINOV2_VIT_S_14",
        "dinov2-vit-b-14": "GAN_BENCH_DINOV2_VIT_B_14",
        "dinov2-vit-l-14": "GAN_BENCH_DINOV2_VIT_L_14",
    }
    assert all(variable in EXTRACTORS[name].description for name, variable in found.items())


# ------------------------------------------------------------------------------------------- Inception


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """A file with Inception's 566 keys and random values."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    build = FeatureExtractorInceptionV3.__init__.__globals__
    original, build["load_state_dict_from_url"] = build["load_state_dict_from_url"], lambda *_, **__: {}
    plain_load = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])
    finally:
        build["load_state_dict_from_url"] = original
        FeatureExtractorInceptionV3.load_state_dict = plain_load
    state = network.state_dict()
    assert len(state) == 566
    path = tmp_path_factory.mktemp("weights") / INCEPTION.weights.file
    torch.save(state, path)
    return path


def test_inception_equals_torch_fidelity(inception_file, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = published(INCEPTION, inception_file, monkeypatch)
    extractor = network.load(CPU)
    assert extractor.sha256 == network.weights.sha256
    grey = pictures(2, 1, 28)
    seen = extractor(grey)
    theirs = FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], str(inception_file))
    features, logits = theirs(grey.expand(-1, 3, -1, -1))
    assert seen.features.shape == (2, 2048)
    assert seen.logits.shape == (2, 1008)
    assert torch.equal(seen.features, features)
    assert torch.equal(seen.logits, logits)


def test_auto_takes_inception_only_with_weights_and_a_gpu(monkeypatch, inception_file):
    monkeypatch.setenv(INCEPTION.weights.variable, str(inception_file))
    assert resolve(("auto",), 1, CPU) == ("lenet-mnist-v1",)
    assert resolve(("auto",), 1, torch.device("cuda")) == ("lenet-mnist-v1", "inception")
    monkeypatch.delenv(INCEPTION.weights.variable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nonexistent")
    assert resolve(("auto",), 3, torch.device("cuda")) == ("cifar-v1",)


# ------------------------------------------------------------------------------------------- VGG16 and CLIP


@pytest.fixture(scope="module")
def vgg16_file(tmp_path_factory):
    from torchvision.models import vgg16

    with torch.device("meta"):
        shapes = {key: value.shape for key, value in vgg16().state_dict().items()}
    state = {
        key: striped(shape, place, (2 / torch.Size(shape[1:]).numel()) ** 0.5)
        for place, (key, shape) in enumerate(shapes.items())
    }
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_vgg16_equals_torchvision_with_the_resize_of_torch_fidelity(vgg16_file, monkeypatch):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    from torchvision.models import vgg16

    before = torch.random.get_rng_state()
    extractor = published(BY_NAME["vgg16"], vgg16_file, monkeypatch).load(CPU)
    assert torch.equal(before, torch.random.get_rng_state())
    images = pictures(2, 3, 40)
    seen = extractor(images)
    with torch.device("meta"):
        theirs = vgg16()
    theirs.load_state_dict(torch.load(vgg16_file), assign=True)
    theirs.eval()
    wide = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(224, 224), align_corners=False)
    ready = normalize(wide / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        pooled = theirs.avgpool(theirs.features(ready)).flatten(1)
        wanted = theirs.classifier[:5](pooled)
    assert seen.logits.shape == (2, 0)
    assert (wanted > 0).any()
    torch.testing.assert_close(seen.features, wanted, rtol=1e-4, atol=1e-5 * float(wanted.max()))


class Nest(nn.Module):
    """Holds tensors under dotted names, as a TorchScript file does."""

    def __init__(self, tensors):
        super().__init__()
        inner = {}
        for key, value in tensors.items():
            head, _, rest = key.partition(".")
            if rest:
                inner.setdefault(head, {})[rest] = value
            else:
                self.register_parameter(head, nn.Parameter(value))
        for head, found in inner.items():
            self.add_module(head, Nest(found))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def clip_model():
    """The image half of CLIP ViT-B/32 with random weights, by its publishers' keys."""
    from torch_fidelity.feature_extractor_clip import CLIPVisual

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CLIPVisual(512, 224, 12, 768, 32).eval()


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory, clip_model):
    import warnings

    state = {**clip_model.state_dict(), "text_projection": torch.zeros(512, 512), "logit_scale": torch.zeros(())}
    path = tmp_path_factory.mktemp("weights") / "clip.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Nest(state)), str(path))
    return path


def test_clip_is_read_only_with_its_digest_and_equals_its_graph(clip_file, clip_model, monkeypatch):
    from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

    network = BY_NAME["clip-vit-b-32"]
    assert len(network.weights.sha256) == 64, "TorchScript is code: its whole digest is asked for"
    monkeypatch.setenv(network.weights.variable, str(clip_file))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(DataError, match="its SHA-256 begins with"):
        network.load(CPU)
    monkeypatch.undo()
    extractor = published(network, clip_file, monkeypatch).load(CPU)
    images = pictures()
    seen = extractor(images)
    ready = normalize(images / 255, CLIP_MEAN, CLIP_STD)
    with torch.no_grad():
        wanted = clip_model.visual(ready)
    assert seen.features.shape == (2, 512)
    assert seen.logits.shape == (2, 0)
    # the graph keeps weights in half precision while it is built, as the published file does
    torch.testing.assert_close(seen.features, wanted, rtol=0, atol=2e-2 * float(wanted.abs().max()))
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of versions of torch
        theirs = FeatureExtractorCLIP("clip-vit-b-32", ["clip"], str(clip_file))
    torch.testing.assert_close(seen.features, theirs(images)[0], rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------------------- DINOv2


def dinov2_weights(side=37):
    """Random weights of ViT-S/14 by its publishers' keys."""
    width, give = 384, source()
    rand = lambda *shape, by=0.05: torch.randn(*shape, generator=give) * by  # noqa: E731
    found = {
        "cls_token": rand(1, 1, width),
        "pos_embed": rand(1, 1 + side * side, width),
        "mask_token": rand(1, width),
        "patch_embed.proj.weight": rand(width, 3, 14, 14),
        "patch_embed.proj.bias": rand(width),
        "norm.weight": 1 + rand(width),
        "norm.bias": rand(width),
    }
    for block in range(12):
        layers = {
            "norm1": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "norm2": (width,), "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }  # fmt: skip
        for name, shape in layers.items():
            found[f"blocks.{block}.{name}.weight"] = rand(*shape) + (1 if len(shape) == 1 else 0)
            found[f"blocks.{block}.{name}.bias"] = rand(shape[0])
        for name in ("ls1", "ls2"):
            found[f"blocks.{block}.{name}.gamma"] = 1 + rand(width)
    return found


class Written(nn.Module):
    """ViT-S/14 as its paper describes it, from nothing but its weights, in float64."""

    def __init__(self, weights):
        super().__init__()
        self.w = {key: value.double() for key, value in weights.items()}

    def forward(self, x):
        w, heads = self.w, 6
        x = F.conv2d(x.double(), w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=14)
        x = torch.cat((w["cls_token"].expand(len(x), -1, -1), x.flatten(2).mT), 1)
        table = w["pos_embed"][:, 1:].unflatten(1, (37, 37)).permute(0, 3, 1, 2)
        moved = F.interpolate(table, scale_factor=16.1 / 37, mode="bicubic").flatten(2).mT
        x = x + torch.cat((w["pos_embed"][:, :1], moved), 1)

        def norm(x, name):
            centred = x - x.mean(-1, keepdim=True)
            scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
            return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

        def linear(x, name):
            return x @ w[f"{name}.weight"].mT + w[f"{name}.bias"]

        for block in range(12):
            at = f"blocks.{block}"
            q, k, v = (
                part.unflatten(-1, (heads, -1)).transpose(1, 2)
                for part in linear(norm(x, f"{at}.norm1"), f"{at}.attn.qkv").chunk(3, -1)
            )
            seen = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
            x = x + w[f"{at}.ls1.gamma"] * linear(seen.transpose(1, 2).flatten(2), f"{at}.attn.proj")
            inner = linear(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1")
            inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2
            x = x + w[f"{at}.ls2.gamma"] * linear(inner, f"{at}.mlp.fc2")
        return norm(x, "norm")[:, 0]


@pytest.fixture(scope="module")
def dinov2_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "dinov2.pth"
    torch.save(dinov2_weights(), path)
    return path


@pytest.fixture
def dinov2(dinov2_file, monkeypatch):
    return published(BY_NAME["dinov2-vit-s-14"], dinov2_file, monkeypatch).load(CPU)


def test_dinov2_equals_its_paper_in_the_class_of_torch_fidelity(dinov2, monkeypatch):
    """Where images need no resize, both preprocessings must give the same features of the same random weights."""
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    monkeypatch.setenv("XFORMERS_DISABLED", "1")
    monkeypatch.setattr(torch.hub, "load", lambda *_: Written(dinov2_weights()))
    theirs = FeatureExtractorDinoV2("dinov2-vit-s-14", ["dinov2"])
    images = pictures()
    (wanted,) = theirs(images)
    seen = dinov2(images)
    assert seen.features.shape == (2, 384)
    assert seen.logits.shape == (2, 0)
    assert float(wanted.std()) > 0.1
    torch.testing.assert_close(seen.features, wanted, rtol=1e-4, atol=1e-5)
    exact = dinov2._network.double()(images)[0]
    ready = normalize(images.double() / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.testing.assert_close(exact, Written(dinov2_weights())(ready), rtol=0, atol=1e-6 * float(wanted.abs().max()))


@pytest.mark.parametrize("size", [32, 300])
def test_dinov2_resizes_as_the_authors_of_fd_dinov2_do(dinov2, size):
    import numpy as np
    from PIL import Image

    images = pictures(2, 3, size)
    planes = [
        np.asarray(Image.fromarray(plane, "F").resize((224, 224), Image.Resampling.BICUBIC)).clip(0, 255)
        for plane in images.flatten(0, 1).float().numpy()
    ]
    wide = torch.from_numpy(np.stack(planes)).unflatten(0, (2, 3)) / 255
    wanted = Written(dinov2_weights())(normalize(wide, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(dinov2(images).features, wanted.float(), rtol=1e-3, atol=1e-4)


def test_positions_of_as_many_patches_stay_as_they_are():
    table = torch.randn(1, 1 + 16 * 16, 8, generator=source())
    assert torch.equal(positions(table, 16), table)


@pytest.mark.parametrize("name", ["dinov2-vit-s-14", "dinov2-vit-b-14", "dinov2-vit-l-14"])
def test_every_dinov2_has_the_graph_and_the_width_that_it_announces(name):
    import timm

    graph = {"s": "small", "b": "base", "l": "large"}[name.split("-")[2]]
    with torch.device("meta"):
        shapes = timm.create_model(f"vit_{graph}_patch14_dinov2", num_classes=0).state_dict()
    assert shapes["pos_embed"].shape == (1, 1370, BY_NAME[name].feature_dim)
    weights = {key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()}
    assert DinoV2(name, weights).network.num_features == BY_NAME[name].feature_dim


def test_without_timm_its_remedy_is_named_and_nothing_fetched(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(DataError, match=r'pip install "gan_bench\[dinov2\]"'):
        BY_NAME["dinov2-vit-l-14"].load(CPU)


def test_an_image_has_the_features_that_it_has_among_others(dinov2, monkeypatch):
    images = pictures(3, 1, 28)
    whole = dinov2(images).features
    torch.testing.assert_close(dinov2(images[2:]).features, whole[2:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dinov2(images.expand(-1, 3, -1, -1)).features, whole)
    monkeypatch.setattr(dinov2, "_part", 2)
    torch.testing.assert_close(dinov2(images).features, whole, rtol=1e-4, atol=1e-5)


def test_its_reference_is_read_from_the_cache_again(dinov2, tmp_path, monkeypatch):
    from gan_bench.data.datasets import load

    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path))
    digits = load("digits", DataRoot(Path("data"), given=False), "test", 28)
    few = replace(digits, images=digits.images[:8], sha256="0" * 64)
    first = reference(few, None, "test", dinov2)
    monkeypatch.setattr(type(dinov2), "__call__", lambda *_: pytest.fail("it was computed again"))
    again = reference(few, None, "test", dinov2)
    assert torch.equal(first.moments.mean, again.moments.mean)


class Projection:
    """Knows no classes, as DINOv2, and takes no time."""

    name, sha256, feature_dim, classes, device = "dinov2-tiny", "0" * 64, 8, 0, CPU

    def __init__(self, device):
        self._weights = torch.randn(784, 8, generator=source())

    def __call__(self, images):
        return Features((images.flatten(1) / 255) @ self._weights, torch.zeros(len(images), 0))


def test_a_network_without_classes_has_every_score_but_those_of_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path))
    network, images = Projection(CPU), pictures(24, 1, 28)
    known = compute(images[:12], images[12:18], "train", network)
    assert known.classes is not None
    assert known.classes.shape == (0,)
    scores = Evaluator([network], {network.name: known}, network.name).score([images[18:]], 6)
    names = {score.metric for score in scores}
    assert {"is", "clip_mmd"}.isdisjoint(names)
    assert {"fid", "fd_dinov2", "kid", "precision", "density", "copies", "sw2"} <= names
    by_name = {score.metric: score.value for score in scores}
    assert by_name["fid"] == by_name["fd_dinov2"]


def test_settings_are_trained_ranked_and_tabled_by_a_network_without_classes(registries, tmp_path):
    import gan_bench as gb
    from gan_bench.report.build import build_report

    tiny = ExtractorEntry(description="a projection", channels=1, load=Projection)
    registries(EXTRACTORS, **{"dinov2-tiny": tiny})
    suite = {
        "suite": "seen", "version": 1, "trials": [{"recipe": "mnist-mlp-z100", "set": {"dataset": "digits"}}],
        "seeds": [0, 1], "evaluate": {"samples": 16, "extractors": ["dinov2-tiny"]},
    }  # fmt: skip
    run = gb.run(suite, results=tmp_path, epochs=1, train_limit=64, executor="inline", no_estimate=True)
    assert run.statuses() == {"done": 2}
    scores = run.load().scores
    assert set(scores.extractor) == {"dinov2-tiny"}
    assert {"fid", "fd_dinov2", "kid"} <= set(scores.metric)
    assert {"is", "classes"}.isdisjoint(scores.metric)
    build_report(tmp_path, tmp_path / "report")
    (table,) = (tmp_path / "report" / "tables").glob("*-settings-dinov2-tiny-*.md")
    assert "FD-DINOv2" in table.read_text()


# ------------------------------------------------------------------------------------------- files


def test_another_file_is_refused(inception_file, monkeypatch):
    monkeypatch.setenv(INCEPTION.weights.variable, str(inception_file))
    with pytest.raises(DataError, match="is not weights-inception.*its SHA-256 begins with"):
        EXTRACTORS["inception"].load(CPU)


@pytest.mark.parametrize("name", ["inception", "vgg16", "dinov2-vit-s-14"])
def test_a_file_never_runs_code(name, monkeypatch, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="does not hold plain tensors"):
        published(BY_NAME[name], tmp_path / "w.pth", monkeypatch).load(CPU)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_damaged_file_and_one_with_other_keys_are_named(name, monkeypatch, tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=f"does not fit the extractor {name} "):
        published(BY_NAME[name], path, monkeypatch).load(CPU)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="does not hold plain tensors|does not fit"):
        published(BY_NAME[name], path, monkeypatch).load(CPU)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_file_that_is_not_at_hand_is_fetched_once_and_checked(name, monkeypatch, tmp_path):
    network, there = BY_NAME[name], tmp_path / "there.pth"
    torch.save({"a": torch.zeros(1)}, there)
    monkeypatch.delenv(network.weights.variable, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    other = replace(network.weights, url=there.as_uri())
    with pytest.raises(DataError, match=r"cannot be downloaded \(invalid hash value.*--extractor lenet-mnist-v1"):
        other.read()
    assert not (tmp_path / "hub" / "checkpoints" / other.file).exists()
    assert "are fetched when it is first named" in other.state()
    right = replace(other, sha256=hashlib.sha256(there.read_bytes()).hexdigest())
    monkeypatch.setattr(sys, "stderr", None)  # as a program has it whose standard error is closed
    assert right.read()[0] == there.read_bytes()
    there.unlink()
    assert right.read()[1] == right.sha256, "it lies in the cache"
    assert str(tmp_path) in right.state()


def test_a_file_that_cannot_be_had_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv(INCEPTION.weights.variable, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    gone = replace(INCEPTION.weights, url=(tmp_path / "none").as_uri())
    with pytest.raises(DataError, match=r"put weights-inception.* somewhere and set \$GAN_BENCH_INCEPTION"):
        gone.read()
    monkeypatch.setenv(INCEPTION.weights.variable, str(tmp_path / "none.pth"))
    with pytest.raises(DataError, match="cannot be read"):
        gone.read()
    with pytest.raises(DataError, match=r"are no file; set \$GAN_BENCH_INCEPTION"):
        gone.state()
    monkeypatch.setenv(INCEPTION.weights.variable, "x" * 5000)
    with pytest.raises(DataError, match="cannot be read"):
        gone.state()


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx"])
def test_a_server_that_answers_nonsense_is_an_error_of_the_download(answer, monkeypatch, tmp_path):
    import socket
    import threading

    monkeypatch.delenv(INCEPTION.weights.variable, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        other = replace(INCEPTION.weights, url=f"http://127.0.0.1:{server.getsockname()[1]}/w")
        with pytest.raises(DataError, match="cannot be downloaded"):
            other.read()
        thread.join()


def test_an_estimate_fetches_no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    words = ["--extractor", "vgg16", "--dry-run", "--results", tmp_path / "r"]
    done = gan_bench("run", "digits", *words, env=measuring())
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "the 528 MB of weights of vgg16 are not here yet; the run fetches them" in said


def test_measures_of_one_network_are_given_under_no_other():
    assert MEASURES["fd_dinov2"].is_for("dinov2-vit-l-14")
    assert not MEASURES["fd_dinov2"].is_for("inception")
    assert MEASURES["fid"].is_for("inception")
    assert "extractors" not in MEASURES["fid"].to_json()


def test_a_package_that_cannot_be_imported_is_no_fault_of_weights(monkeypatch):
    """They were to be fetched again, hundreds of megabytes."""

    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("gan_bench.metrics.published.resolve_name", broken)
    with pytest.raises(RuntimeError, match="nms does not exist"):
        INCEPTION.load(torch.device("cpu"))
