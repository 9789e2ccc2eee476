"""Sample grids of a record that are damaged or hostile: left out and named, never in the way of the others."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from types import SimpleNamespace

import pytest
from PIL import EpsImagePlugin, Image, ImageFile, features

from gan_bench.core.errors import RecordError
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.report.page.samples import _corner, data_uri
from gan_bench.tracking.mirror import Mirror

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def grid_of(side, form="PNG"):
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 50).save(buffer, form)
    return buffer.getvalue()


def png_of(width, height):
    """A grey PNG without pixels whose header says any size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


BAD = {
    "program": EPS,
    "truncated": grid_of(242)[:900],
    "empty": b"",
    "no png": grid_of(242, "BMP"),
    "large": png_of(10_000, 9_000),
    "bomb": png_of(60_000, 60_000),
}


def test_what_a_notebook_set_in_pillow_lets_no_cut_grid_in(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "epoch-0001.png").write_bytes(grid_of(242)[:20_000])
    with pytest.raises(RecordError, match=r"cannot be read .*truncated.*restore or delete it"):
        read_sample_grid(tmp_path / "epoch-0001.png")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_sample_grid_is_left_out_of_the_report_and_the_mirror(tmp_path, data, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / "samples").mkdir()
    bad, good = (tmp_path / "samples" / f"epoch-000{i}.png" for i in (1, 2))
    bad.write_bytes(data)
    good.write_bytes(grid_of(242))
    with pytest.raises(RecordError, match=r"epoch-0001\.png cannot be read .*restore or delete it"):
        read_sample_grid(bad)
    assert _corner(bad) is None
    assert _corner(good) is not None
    assert RecordDirectory(tmp_path).grids == {1: bad, 2: good}
    mirror, folder = Mirror.__new__(Mirror), tmp_path / "staged"
    mirror.unreadable = []
    stored = SimpleNamespace(
        path=tmp_path,
        evaluations=[{"epoch": 1}, {"epoch": 2}],
        trial={"config": {"epochs": 2}},
        environment={"started": "2026-01-01T00:00:00+00:00"},
    )
    done = mirror.stage_samples(folder, stored, frozenset())
    assert done == {1, 2}
    staged = sorted((folder / "images").iterdir())
    assert mirror.stage_samples(folder, stored, frozenset(done)) == set()
    assert [path.suffix for path in staged] == [".webp", ".png"] * 2
    for path in staged:
        with Image.open(path) as image:
            assert image.size == (242, 242)
    assert len(mirror.unreadable) == 1, "told once"


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (9, 9)])
def test_a_sample_grid_too_small_for_its_tiles_is_left_out(tmp_path, size):
    path = tmp_path / "epoch-0001.png"
    Image.new("RGB", size).save(path)
    assert _corner(path) is None


def test_a_pillow_without_webp_makes_pages_too(monkeypatch):
    """The report of a whole run ended with a traceback."""
    image = Image.new("L", (4, 4), 9)
    assert data_uri(image, 80).startswith("data:image/webp;base64,")
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    monkeypatch.setattr(Image, "SAVE", {name: save for name, save in Image.SAVE.items() if name != "WEBP"})
    form, _, packed = data_uri(image, 80).partition(";base64,")
    assert form == "data:image/png"
    assert Image.open(io.BytesIO(base64.b64decode(packed))).getpixel((0, 0)) == 9
