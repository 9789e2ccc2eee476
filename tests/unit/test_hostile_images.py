"""Images, archives and folders that are damaged, enormous or hostile: an array or one sentence, nothing else."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import struct
import tempfile
import threading
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin

from gan_bench.config.image_folder import DataRoot, ImageFolder, Transform
from gan_bench.core.atomic import write_atomically
from gan_bench.core.cache import cache_folder
from gan_bench.core.errors import DataError, UserError
from gan_bench.data import image_files, image_folders, image_source, own_images
from gan_bench.data.arrays import as_uint8
from gan_bench.data.datasets import DATASETS, Dataset, load
from gan_bench.data.file_kinds import formats
from gan_bench.data.image_files import MAX_SIDE, decode, decode_square, more_frames
from gan_bench.data.image_folders import UNDECODED, prepare_images
from gan_bench.data.image_source import open_source
from gan_bench.data.own_images import register_folder
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.workers.job import Job, Site

COLOUR = Transform(size=8, channels=3)
SKIP = Transform(size=8, channels=3, unreadable="skip")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def picture(seed=0, side=8):
    return encode(Image.fromarray(noise(side, side, 3, seed=seed)))


def zipped(path, files, packing=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def folder_of(path, count=4, start=0):
    path.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        (path / f"{i}.png").write_bytes(picture(seed=i))
    return path


def png_of(width, height, pixels=b"", depth=8, kind=0, key=b""):
    """A PNG whose header says any size, depth and colour type, with a transparent colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *([chunk(b"tRNS", key)] if key else []), chunk(b"IDAT", zlib.compress(pixels))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def tiff_of(*entries):
    """A TIFF of (tag, type, count, value) entries, in which bytes are laid behind the directory."""
    at = 8 + 2 + 12 * len(entries) + 4
    head, behind = b"II*\0" + struct.pack("<IH", 8, len(entries)), b""
    for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0]):
        inside = at + len(behind) if isinstance(value, bytes) else value
        head += struct.pack("<HHII", tag, kind, count, inside)
        behind += value if isinstance(value, bytes) else b""
    return head + struct.pack("<I", 0) + behind


SMALL_TIFF = ((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
LA = ((277, 3, 1, 2), (338, 3, 1, 2))


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path / "cache"))


# ---------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("form", ["EPS", "ICO", "PCX", "DDS", "SGI"])
def test_only_raster_formats_are_opened_whatever_the_name_says(form, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program was started"))
    data = EPS if form == "EPS" else encode(Image.fromarray(noise(16, 16, 3)), form)
    with pytest.raises(DataError, match=r"a\.png cannot be decoded \(of no known format\)"):
        decode(data, "a.png", 3)


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"big_tiff": True}, {}])
@pytest.mark.parametrize("rest", [b"", bytes(10_000)])
def test_a_tiff_that_breaks_off_is_called_truncated(options, rest):
    """One that ran into zeros was of a kind that is not read, and one cut short a matter of Python's struct."""
    whole = encode(Image.fromarray(noise(64, 64, 3)), "TIFF", **options)
    kept = len(whole) // 2 if options.get("compression") else 8
    with pytest.raises(DataError, match=r"a\.tif cannot be decoded \(OSError: image file is truncated.*; repair or"):
        decode(whole[:kept] + rest, "a.tif", 3)


def test_notes_that_end_in_zeros_break_off_no_small_webp():
    """A thumbnail that keeps its camera's notes was truncated."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    notes = b"Exif\0\0MM\0*" + (8).to_bytes(4, "big") + bytes(5000)
    assert decode(encode(image, "WEBP", exif=notes), "a.webp", 3).size == (64, 64)


@pytest.mark.parametrize(("form", "options"), [("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {})])
def test_a_packed_image_that_runs_into_zeros_is_called_truncated(form, options):
    """The zeros were decoded, to a smear."""
    if form not in formats():
        pytest.skip("Pillow is built without it here")
    for side in (32, 192):
        small = Image.fromarray(noise(side // 2, side // 2, 3))
        whole = encode(small.resize((side, side), Image.Resampling.BICUBIC), form, **options)
        decode(whole, "a", 3)
        for part in (2, 5):
            cut = len(whole) // part
            with pytest.raises(DataError, match=r"\(OSError: image file is truncated\); repair or remove it"):
                decode(whole[:-cut] + bytes(cut), "a", 3)
    exif = Image.Exif()
    exif[0xEA1C] = bytes(2060)  # what some programs keep free
    decode(encode(Image.fromarray(noise(32, 32, 3)), form, exif=exif, **options), "a", 3)
    decode(encode(Image.new("RGB", (1024, 1024)), form, **options), "a", 3)


def test_a_whole_webp_may_end_in_zeros():
    """Images whose lower part is plain were truncated."""
    across, down = np.meshgrid(np.arange(256), np.arange(256))
    pixels = np.stack([across, down, (across + down) // 2], -1).astype(np.uint8)
    pixels[128:] = 255
    whole = encode(Image.fromarray(pixels), "WEBP", lossless=True, method=0)
    assert whole.endswith(bytes(len(whole) // 8))
    assert decode(whole, "a", 3).size == (256, 256)


def test_wide_colours_in_planes_are_refused():
    """Pillow reads noise of them without an error."""
    planes = np.arange(3 * 8 * 8, dtype="<u2").tobytes()
    common = ((256, 3, 1, 8), (257, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3), (284, 3, 1, 2))
    at = 8 + 2 + 12 * 10 + 4
    data = tiff_of(
        *common,
        (258, 3, 3, struct.pack("<3H", 16, 16, 16)),
        (273, 4, 3, struct.pack("<3I", *(at + 30 + 128 * i for i in range(3)))),
        (278, 3, 1, 8),
        (279, 4, 3, struct.pack("<3I", 128, 128, 128)),
    )
    assert len(data) == at + 30
    with Image.open(io.BytesIO(data + planes)) as opened:
        assert opened.mode == "RGB", "Pillow opens it"
    with pytest.raises(DataError, match="keeps colours of more than 8 bits in planes, .* as PNG"):
        decode(data + planes, "a.tif", 3)


# ---------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png_of(1, 2_000_000), "1x2,000,000 pixels, more than 64 million or 32,768 to a side"),
        (png_of(10_000, 9_000), "10,000x9,000 pixels, more than"),
        (png_of(60_000, 60_000), "too many pixels, more than"),
        (tiff_of(*SMALL_TIFF, (259, 3, 1, 5), (322, 4, 1, 40_000), (323, 4, 1, 40_000), (324, 4, 1, 8)), "tiles of"),
        (tiff_of(*SMALL_TIFF, (259, 3, 1, 1), (273, 4, 1, 8), (282, 5, 2**21, bytes(2**24))), "2,097,152 values"),
    ],
    ids=["side", "pixels", "bomb", "tiles", "tags"],
)
def test_an_image_too_large_for_memory_is_refused_before_it_is_decoded(data, message, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(DataError, match=message):
        decode(data, "a.png", 3)


def test_a_long_image_that_scaling_would_blow_up_is_refused_before_it_is_decoded():
    long = png_of(1, MAX_SIDE, bytes(2 * MAX_SIDE))
    assert decode(long, "a.png", 1).size == (1, MAX_SIDE)
    assert decode_square(long, "a.png", Transform(size=8, channels=1)).shape == (1, 8, 8)
    with pytest.raises(DataError, match=r"a\.png of 1x32,768 pixels is too long: with its shorter side at 64 it has"):
        decode_square(long, "a.png", Transform(size=64, channels=1))


def test_files_of_folders_and_archives_are_read_within_limits(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "f", 3)
    with (folder / "b.png").open("wb") as file:
        file.truncate(2**40)  # a hole: no disk holds it
    with pytest.raises(DataError, match=r"f/b\.png has more than 128 MiB"):
        prepare_images(folder, None, COLOUR)
    assert prepare_images(folder, None, SKIP).left_out[UNDECODED] == 1
    archive = zipped(tmp_path / "p.zip", {"b.png": bytes(2**27 + 1)})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(DataError, match=r"p\.zip/b\.png has more than 128 MiB"):
        prepare_images(archive, None, COLOUR)


def test_a_zip_that_is_replaced_while_it_is_listed_is_kept_as_what_was_read(tmp_path, monkeypatch):
    """Its images were kept under the digest of the file that took its place, for every later run."""
    first = zipped(tmp_path / "p.zip", {"a.png": picture()})
    second = zipped(tmp_path / "q.zip", {"a.png": picture(seed=1)})
    wanted = prepare_images(second, None, COLOUR).sha256
    real = image_source._listed_archive

    def listed(*given):
        shutil.copy(second, tmp_path / "new.zip")
        (tmp_path / "new.zip").replace(first)
        monkeypatch.setattr(image_source, "_listed_archive", real)
        return real(*given)

    monkeypatch.setattr(image_source, "_listed_archive", listed)
    shutil.rmtree(cache_folder())
    assert prepare_images(first, None, COLOUR).sha256 != wanted
    assert prepare_images(first, None, COLOUR).sha256 == wanted


def test_an_image_that_fails_to_be_read_once_is_there_the_next_time(tmp_path, monkeypatch):
    """A passing fault of a disk left it out for good."""
    folder = folder_of(tmp_path / "f", 4)
    real = Path.open

    def opened(path, *given, **more):
        if path.name == "2.png":
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        found = prepare_images(folder, None, SKIP)
        with pytest.raises(DataError, match=r"2\.png cannot be read \(Input/output error\)"):
            prepare_images(folder, None, COLOUR)
    assert (len(found.images), found.left_out) == (3, {image_folders.UNREAD: 1})
    assert len(prepare_images(folder, None, SKIP).images) == 4


def test_images_that_one_user_may_not_read_are_not_left_out_for_another(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "f", 4)
    whole = prepare_images(folder, None, SKIP)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "2.png")
    monkeypatch.setattr(image_source, "_read_file", closed(image_source._read_file, "2.png"))
    assert prepare_images(folder, None, SKIP).left_out == {UNDECODED: 1}
    monkeypatch.undo()
    assert prepare_images(folder, None, SKIP).sha256 == whole.sha256


def closed(real, name):
    def read(top, each):
        if each == name:
            raise DataError(f"the image {each} cannot be read (Permission denied)")
        return real(top, each)

    return read


def test_a_folder_that_is_renamed_has_no_copies_of_its_former_name(tmp_path):
    """The images of ``nest/nest`` stayed left out when the outer folder was called otherwise."""
    pair = folder_of(tmp_path / "nest" / "nest", 4)
    for image in pair.iterdir():
        shutil.copy(image, pair.parent)
    assert len(prepare_images(pair.parent, None, COLOUR).images) == 4
    pair.parent.rename(tmp_path / "other")
    assert len(prepare_images(tmp_path / "other", None, COLOUR).images) == 8


def test_images_are_decoded_in_pieces_that_memory_holds(tmp_path, monkeypatch):
    source = folder_of(tmp_path / "f", 10)
    monkeypatch.setattr(image_folders, "CHUNK_BYTES", 4 * 3 * 8 * 8)
    monkeypatch.setattr(image_folders, "CHUNK", 3)
    with open_source(source) as opened:
        assert [len(p) for p in image_folders._pieces(opened, opened.names, 3 * 8 * 8)] == [3, 3, 3, 1]
        assert [len(p) for p in image_folders._pieces(opened, opened.names, 9 * 8 * 8)] == [2] * 5
        assert [len(p) for p in image_folders._pieces(opened, opened.names, 99 * 8 * 8)] == [1] * 10
    assert (prepare_images(source, None, COLOUR).images[7].transpose(1, 2, 0) == noise(8, 8, 3, seed=7)).all()


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_unpacks_all_at_once_is_named(tmp_path, packing):
    with pytest.raises(DataError, match=r"packs a\.png in an unusual way; compress it again with deflate"):
        prepare_images(zipped(tmp_path / "p.zip", {"a.png": picture()}, packing), None, COLOUR)


def test_threads_share_a_number_of_pixels():
    budget, inside, most = image_files._PixelBudget(10), [], []

    def work():
        with budget.take(4):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.005)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 12
    assert max(most) <= 2


# ---------------------------------------------------------------------------------------------- damage


def images_of_every_kind():
    colour = Image.fromarray(noise(12, 10, 3))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "somewhere"
    wide = Image.fromarray(noise(12, 10).astype(np.uint16) * 257)
    yield from (encode(colour, form) for form in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF"))
    yield from (encode(colour, form, exif=exif) for form in ("PNG", "JPEG", "WEBP", "TIFF"))
    yield from (encode(colour, "TIFF", compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"))
    yield encode(colour.quantize(16), "PNG", transparency=3)
    yield encode(colour, "GIF", save_all=True, append_images=[colour.rotate(90)])
    yield encode(wide, "PNG")
    yield encode(Image.fromarray(noise(12, 10).astype(np.float32)), "TIFF")


ORIGINALS = tuple(images_of_every_kind())
ARCHIVE = zipped(io.BytesIO(), {"a/1.png": picture(1), "a/é.png": picture(2), "b/3.jpg": ORIGINALS[1]}).getvalue()
WRONG = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 2000), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("add"), st.integers(0, 2000), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("cut"), st.integers(0, 2000), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("end"), st.integers(0, 2000), st.just(b"")),
)


def damaged(data, wrongs):
    for what, at, new in wrongs:
        place = at % (len(data) + 1)
        rest = data[place + (0 if what == "add" else len(new)) :]
        data = data[:place] + (b"" if what in ("cut", "end") else new) + (b"" if what == "end" else rest)
    return data


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ORIGINALS), st.lists(WRONG, min_size=1, max_size=3), st.sampled_from([1, 3]))
def test_a_damaged_image_gives_an_array_or_a_data_error(original, wrongs, channels):
    try:
        array = decode_square(damaged(original, wrongs), "a.png", Transform(size=8, channels=channels))
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert (array.shape, array.dtype) == ((channels, 8, 8), np.uint8)


@settings(max_examples=150, deadline=None)
@given(st.lists(WRONG, min_size=1, max_size=3))
@example([("set", ARCHIVE.index(b"PK\1\2") + 6, b"\xff")])  # a version nobody knows
@example([("set", ARCHIVE.index(b"PK\1\2") + 8, b"\x01")])  # encrypted
@example([("set", ARCHIVE.index(b"PK\1\2") + 10, b"\x63")])  # a packing nobody knows
@example([("set", ARCHIVE.rindex("é".encode()), b"\xff\xff")])  # a name that is not the UTF-8 it says it is
def test_a_damaged_archive_gives_images_or_a_data_error(wrongs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.zip"
        path.write_bytes(damaged(ARCHIVE, wrongs))
        for transform in (COLOUR, SKIP):
            try:
                found = prepare_images(path, None, transform)
            except DataError as error:
                assert "\n" not in str(error)
            else:
                assert found.images.shape[1:] == (3, 8, 8)


@pytest.mark.parametrize("kind", [zlib.error, struct.error, OverflowError, RecursionError, AssertionError, IndexError])
def test_whatever_a_decoder_raises_is_an_unreadable_image(tmp_path, kind, monkeypatch):
    source = zipped(tmp_path / "p.zip", {"a.png": picture(), "b.bmp": encode(Image.fromarray(noise(8, 8)), "BMP")})
    bands = Image.Image.getbands

    def getbands(image):
        if image.format == "BMP":
            raise kind("from the decoder")
        return bands(image)

    monkeypatch.setattr(Image.Image, "getbands", getbands)
    with pytest.raises(DataError, match=r"p\.zip/b\.bmp cannot be decoded \(.*from the decoder\); repair or remove it"):
        prepare_images(source, None, COLOUR)
    assert (prepare_images(source, None, SKIP).left_out[UNDECODED], len(prepare_images(source, None, SKIP).images)) == (
        1,
        1,
    )


def test_an_image_for_which_memory_ran_out_is_never_skipped(tmp_path, monkeypatch):
    """A machine with more memory would read it: to skip it would make another dataset."""
    monkeypatch.setattr(Image.Image, "getexif", lambda _: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(DataError, match="memory ran out while"):
        prepare_images(zipped(tmp_path / "p.zip", {"a.png": picture()}), None, SKIP)


def test_a_member_that_cannot_be_unpacked_is_skipped_or_named(tmp_path):
    source = zipped(tmp_path / "p.zip", {"p/a.png": picture(), "p/b.png": picture(1), "p/p/b.png": picture(1)})
    data = bytearray(source.read_bytes())
    data[data.index(b"p/b.png") + 20] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged at p/b\.png"):
        prepare_images(source, None, COLOUR)
    found = prepare_images(source, None, SKIP)
    assert (found.left_out[UNDECODED], len(found.images)) == (1, 2)


@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"restart_marker_rows": 1})],
    ids=["PNG", "JPEG", "progressive", "restarts"],
)
def test_an_image_whose_end_is_zeros_is_truncated(form, options):
    """A download that broke off, in a file of full size: Pillow reads most of these without an error."""
    exif = Image.Exif()
    exif[0x010E] = b"\xff\xd8\xff\xda\0\x02\xff\xd9".decode("latin1")  # as a thumbnail has them
    smooth = Image.fromarray(noise(6, 6, 3)).resize((64, 64), Image.Resampling.BICUBIC)
    whole = encode(smooth, form, exif=exif, **options)
    wanted = np.asarray(decode(whole, "a", 3))
    for junk in (b"", bytes(500), b"junk", b"junk\0", whole[:300] + bytes(99)):
        assert (np.asarray(decode(whole + junk, "a", 3)) == wanted).all(), junk[:9]
    for kept in (len(whole) // 2, len(whole) * 9 // 10, len(whole) - (9 if form == "PNG" else 2)):
        with pytest.raises(DataError, match=r"image a cannot be decoded \(OSError: image file is truncated"):
            decode(whole[:kept].ljust(len(whole) + 50, b"\0"), "a", 3)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (ImageFile, "LOAD_TRUNCATED_IMAGES", True),
        (Image, "MAX_IMAGE_PIXELS", 10),
        (PngImagePlugin, "MAX_TEXT_CHUNK", 4),
        (PngImagePlugin, "MAX_TEXT_MEMORY", 4),
        (TiffImagePlugin, "READ_LIBTIFF", True),
    ],
)
def test_what_a_notebook_set_in_pillow_changes_no_image(module, name, value, monkeypatch):
    """Broken images came in where it let them, grey from where they broke off, and into the cache of later runs."""
    image = Image.fromarray(noise(64, 48, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = PngImagePlugin.PngInfo()
    turned.add_text("Raw profile type exif", f"\nexif\n  20\n{exif.tobytes().hex()}", zip=True)
    whole = [encode(image, form) for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")]
    given = [*whole, encode(image, pnginfo=turned), *(data[: len(data) // 2] for data in whole)]
    films = [encode(image, form, save_all=True, append_images=[image.rotate(90)]) for form in ("GIF", "PNG", "TIFF")]

    def read(data):
        try:
            return np.asarray(decode(data, "a", 3)).tolist()
        except DataError as error:
            return str(error)

    def as_array(picture):
        try:
            return as_uint8([picture]).tolist()
        except UserError as error:
            return str(error)

    square = image.resize((48, 48))
    cut = [data[: len(data) // 2] for data in (encode(square), encode(square, "JPEG"))]
    first, second = ([Image.open(io.BytesIO(data)) for data in cut] for _ in range(2))
    before = [[*map(read, given)], [*map(more_frames, films)], [*map(as_array, first)]]
    assert all("cannot be decoded" in each for each in before[0][len(whole) + 1 :])
    assert np.shape(before[0][len(whole)]) == (48, 64, 3)
    assert before[1] == [1, 1, 1]
    monkeypatch.setattr(module, name, value)
    assert [[*map(read, given)], [*map(more_frames, films)], [*map(as_array, second)]] == before
    assert getattr(module, name) is value, "it is given back"


def test_damage_beside_the_pixels_of_a_png_is_no_harm():
    data = picture()
    at = data.index(b"IEND") - 4
    for note in (struct.pack(">I", 4) + b"teXtabcd\1\2\3\4", struct.pack(">I", 5) + b"teXtabcd\1\2\3\4"):
        assert decode(data[:at] + note + data[at:], "a.png", 3).size == (8, 8)
    wrong = bytearray(data)
    wrong[data.index(b"IEND") - 5] ^= 1  # the checksum of the pixels
    with pytest.raises(DataError, match="image file is truncated"):
        decode(bytes(wrong), "a.png", 3)


def test_odd_exif_neither_warns_nor_stops():
    """Under this suite's filters a warning is an error."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"  # five entries, one of them there
    data = encode(Image.new("RGB", (4, 2)), "JPEG", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Image.open(io.BytesIO(data)) as opened:
            opened.getexif()
    assert caught, "PIL warns of it"
    before = list(warnings.filters)
    assert decode(data, "a.jpg", 3).size in {(4, 2), (2, 4)}
    assert warnings.filters == before


def test_float_images_are_scaled_by_their_range():
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    expected = np.round(unit * 255).astype(np.uint8)
    assert np.array_equal(np.asarray(decode(encode(Image.fromarray(unit), "TIFF"), "a.tif", 1)), expected)
    data = encode(Image.fromarray(unit * 255), "TIFF")
    assert np.array_equal(np.asarray(decode(data, "a.tif", 1, (0, 255))), expected)
    # a dark one of 0 to 255 was once taken for one of 0 to 1 among others of its folder
    for values in (unit * 255, unit * 600 - 100, np.full((8, 8), -3e38, np.float32), unit * 65_535):
        data = encode(Image.fromarray(values), "TIFF")
        with pytest.raises(DataError, match=r"a\.tif holds numbers from .* write range: \[LOW, HIGH\]"):
            decode(data, "a.tif", 1)
        assert np.asarray(decode(data, "a.tif", 1, (0, 255))).max() in (0, 255), "what lies beyond is clipped"
    unit[3, 3] = np.nan
    with pytest.raises(DataError, match="NaN or infinite pixels"):
        decode(encode(Image.fromarray(unit), "TIFF"), "a.tif", 1)


def test_a_damaged_cache_is_made_again(tmp_path):
    source = folder_of(tmp_path / "f")
    first = prepare_images(source, None, COLOUR).sha256
    (kept,) = (tmp_path / "cache" / "prepared").glob("*.npy")
    whole = kept.read_bytes()
    for content in (b"", b"\x93NUMPY", b"PK\3\4 no zip", whole[:128] + bytes(len(whole) - 128)):
        kept.write_bytes(content)
        found = prepare_images(source, None, COLOUR)
        assert found.sha256 == first
        assert kept.read_bytes() == whole, "what lost blocks of a disk leave is not trained on"


def test_a_cache_is_read_once_by_a_process_to_see_that_it_is_whole(tmp_path, monkeypatch):
    source = folder_of(tmp_path / "f")
    prepare_images(source, None, COLOUR)
    read, digest = [], hashlib.sha256

    def counted(data=b""):
        read.append(isinstance(data, memoryview))
        return digest(data)

    monkeypatch.setattr(image_folders.hashlib, "sha256", counted)
    monkeypatch.setattr(image_folders, "_whole", set())
    for _ in range(3):
        prepare_images(source, None, COLOUR)
    assert sum(read) == 1


# ---------------------------------------------------------------------------------------------- names and folders


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    for label in (b"\xe4", b"b\n"):
        folder_of(folder / os.fsdecode(label), 4, start=label[0])
    (folder / os.fsdecode(b"\xe4") / os.fsdecode(b"bad\xff\n.png")).write_bytes(b"no")
    with pytest.raises(DataError, match=r"bad\\udcff \.png cannot be decoded") as caught:
        prepare_images(folder, None, COLOUR)
    str(caught.value).encode()
    assert "\n" not in str(caught.value)
    assert prepare_images(folder, None, SKIP).classes == {"b\n": 4, os.fsdecode(b"\xe4"): 4}
    assert prepare_images(folder, None, SKIP).left_out[UNDECODED] == 1, "from the cache"
    archive = zipped(tmp_path / os.fsdecode(b"\xff.zip"), {f"{i}.png": picture(i) for i in range(4)})
    assert len(prepare_images(archive, None, COLOUR).images) == 4
    archive.write_bytes(b"no zip")
    with pytest.raises(DataError, match="neither a folder nor an intact zip") as caught:
        prepare_images(archive, None, COLOUR)
    str(caught.value).encode()
    own = ImageFolder(name="not-utf-8", path=folder, transform=SKIP)
    register_folder(own).description.encode()
    site = Site(data=DataRoot(tmp_path, given=True), device="cpu", engine="auto", threads=1, folders=(own,))
    job = Job(trials=(), results=tmp_path, site=site, policy=Policy())
    assert Job.from_json(job.to_json()) == job, "a worker gets it as JSON"


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["int32", "int32 with a range", "float with a range", "16-bit TIFF", "16-bit PNG"])
def test_wide_greys_keep_their_picture(bits, kind):
    """A ramp over all values of so many bits is one from black to white, or is refused with what was found."""
    top = 2**bits - 1
    ramp = np.linspace(0, top, 64).round().reshape(8, 8)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if "with a range" in kind:
        tags[340], tags[341] = 0, top
        tags.tagtype[340] = tags.tagtype[341] = 12 if "float" in kind else 4
    wide = np.int32 if "int32" in kind else np.float32 if "float" in kind else np.uint16
    image = Image.fromarray(ramp.astype(wide))
    if kind == "16-bit PNG":
        data = encode(image, "PNG")
    else:
        out = io.BytesIO()
        image.save(out, "TIFF", tiffinfo=tags)
        data = out.getvalue()
    expected = np.round(ramp / top * 255)
    if kind == "int32":
        with pytest.raises(DataError, match=f"holds numbers from 0 to {top}"):
            decode(data, "a.tif", 1)
        assert np.abs(np.asarray(decode(data, "a.tif", 1, (0, top))) - expected).max() <= 1
    elif "with a range" in kind:
        assert np.abs(np.asarray(decode(data, "a.tif", 1)) - expected).max() <= 1
    else:  # sixteen bits are declared, however few are used
        assert np.abs(np.asarray(decode(data, "a.png", 1)) - ramp / 65_535 * 255).max() <= 1
        assert np.abs(np.asarray(decode(data, "a.png", 1, (0, top))) - expected).max() <= 1


@pytest.mark.parametrize("tags", [(280, 281), (340, 341)])
def test_statistics_of_a_tiff_are_no_range(tags):
    """Programs write the least and greatest value of each image: by these a dark one became as bright as others."""
    ramp = np.linspace(900, 6000, 64).round().reshape(8, 8)
    for dtype, kind in ((np.uint16, 3), (np.int32, 4), (np.float32, 12)):
        out, found = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in zip(tags, (900, 6000), strict=True):
            found[tag], found.tagtype[tag] = value, kind
        Image.fromarray(ramp.astype(dtype)).save(out, "TIFF", tiffinfo=found)
        if dtype is np.uint16:
            assert np.abs(np.asarray(decode(out.getvalue(), "a.tif", 1)) - ramp / 257).max() <= 1
        else:
            with pytest.raises(DataError, match=r"numbers from 900 to 6000 and does not say .* range: \[LOW, HIGH\]"):
                decode(out.getvalue(), "a.tif", 1)
        assert np.abs(np.asarray(decode(out.getvalue(), "a.tif", 1, (0, 6000))) - ramp / 6000 * 255).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "I;16", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_colour_that_is_transparent_is_laid_over_white(mode, channels):
    """PNG's tRNS names one colour of files without an alpha channel."""
    key = {"RGB": (0, 0, 0), "L": 0, "1": 0, "I;16": 0, "P": 0}[mode]
    pixels = np.zeros((8, 8), np.uint16 if mode == "I;16" else np.uint8)
    pixels[:, 4:] = {"I;16": 40_000, "1": 255, "P": 1}.get(mode, 150)
    image = Image.fromarray(pixels) if mode == "I;16" else Image.fromarray(pixels, "P" if mode == "P" else "L")
    if mode == "P":
        image.putpalette([0, 0, 0, 150, 150, 150])
    elif mode != "I;16":
        image = image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=key)
    found = np.asarray(decode(out.getvalue(), "a.png", channels)).reshape(8, 8, -1)[..., 0]
    assert (found[:, :4] == 255).all()
    assert abs(int(found[0, 7]) - {"1": 255, "I;16": 155}.get(mode, 150)) <= 1


@pytest.mark.parametrize(
    ("depth", "kind", "row", "key", "wanted"),
    [
        (2, 0, b"\x1b", b"\x00\x01", [0, 255, 170, 255]),  # samples 0 1 2 3, of which 1 is clear
        (4, 0, b"\x07\xf2", b"\x00\x07", [0, 255, 255, 34]),
        (16, 2, struct.pack(">6H", 0x8000, 0x8000, 0x8000, 0, 0, 0), struct.pack(">3H", *[0x8000] * 3), [255, 0]),
        (16, 2, struct.pack(">6H", 0x8000, 0x8000, 0x8000, 0, 0, 0), struct.pack(">3H", 0, 0, 0), [128, 255]),
        (16, 2, struct.pack(">6H", 0, 0, 255, 0, 0, 0), struct.pack(">3H", 0, 0, 0), [0, 255]),  # one high byte
    ],
)
def test_the_transparent_colour_of_a_png_is_of_its_own_depth(depth, kind, row, key, wanted):
    """Pillow spreads samples to 8 bits, and not the key: another colour, or none, was laid over white."""
    data = png_of(len(wanted), 1, b"\0" + row, depth, kind, key)
    assert np.asarray(decode(data, "a.png", 3))[0, :, 0].tolist() == wanted


@pytest.mark.parametrize("limits", [(0, 255), (0, 4095), (0, 65_535)])
@pytest.mark.parametrize("key", [None, (0, 0, 0)])
@pytest.mark.parametrize("blue", [0, 4000])
def test_a_range_is_not_passed_over_for_colours(limits, key, blue):
    """Colours of 12 bits in files of 16 stayed dark: Pillow keeps the first eight, and the range was taken for none."""
    row = b"\0" + struct.pack(">6H", 4000, 4000, blue, 9, 9, 9)
    data = png_of(2, 1, row, 16, 2, struct.pack(">3H", *key) if key else b"")
    with pytest.raises(DataError, match="has colours or transparency, and range: is of greys; make it grey, or leave"):
        decode(data, "a.png", 3, limits)
    with pytest.raises(DataError, match="has colours or transparency"):
        decode(encode(Image.new("RGB", (2, 2), (4, 4, 200))), "a.png", 3, limits)


@pytest.mark.parametrize("alpha", [0, 128])
def test_a_tga_without_bits_of_alpha_is_opaque(alpha):
    data = bytearray(encode(Image.new("RGBA", (4, 4), (200, 100, 50, alpha)), "TGA"))
    data[17] &= 0xF0
    assert np.asarray(decode(bytes(data), "a.tga", 3))[0, 0].tolist() == [200, 100, 50]


def test_a_bitmap_of_which_nothing_would_be_seen_is_opaque():
    """Many programs write its fourth byte as 0."""
    data = encode(Image.new("RGBA", (4, 4), (200, 100, 50, 0)), "TGA")
    assert np.asarray(decode(data, "a.tga", 3))[0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("ending", [b"Exif\0\0II*\0\x08\0\0", b"Exif\0\0MM", b"Exif\0\0"])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_orientation_that_cannot_be_read_is_none(form, ending):
    flat = Image.new("RGB", (8, 8), (90, 90, 90))
    data = encode(flat, form, exif=ending)
    assert np.abs(np.asarray(decode(data, "a", 3)).astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    ("values", "limits", "wanted"),
    [
        (np.array([[-100, -1, 0, 99]], np.int8), (-128, 127), [28, 127, 128, 227]),
        (np.array([[0, 2**31, 4_000_000_000]], np.uint32), (0, 2**32 - 1), [0, 128, 237]),
    ],
)
def test_signed_bytes_and_unsigned_words_of_a_tiff_are_what_they_say(values, limits, wanted):
    bits, sign = values.itemsize * 8, 2 if values.dtype.kind == "i" else 1
    data = tiff_of(
        (256, 4, 1, values.shape[1]), (257, 4, 1, 1), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, values.nbytes), (339, 3, 1, sign),
    )  # fmt: skip
    data = data.ljust(200, b"\0") + values.tobytes()
    assert np.asarray(decode(data, "a.tif", 1, limits))[0].tolist() == wanted
    with pytest.raises(DataError, match=f"holds numbers from {values.min():g} to"):
        decode(data, "a.tif", 1)


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000", "TGA", "DIB"])
def test_further_formats_are_read(form):
    if form not in Image.OPEN:
        pytest.skip(f"this build of Pillow reads no {form}")
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    found = np.asarray(decode(encode(flat, form), "a.bin", 3)).reshape(-1, 3)
    assert np.abs(found.astype(int) - (200, 100, 50)).max() <= 6


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
def test_every_colour_space_has_a_grey(mode):
    tiff, half = io.BytesIO(), (128, 128, 128)
    (Image.new("LAB", (8, 8), half) if mode == "LAB" else Image.new("RGB", (8, 8), half).convert(mode)).save(
        tiff, "TIFF"
    )
    assert 90 <= np.asarray(decode(tiff.getvalue(), "a.tif", 1)).mean() <= 160


def test_links_that_lead_round_are_passed_by(tmp_path):
    folder = folder_of(tmp_path / "f" / "a").parent
    (folder / "a" / "up").symlink_to(folder)
    (folder / "here").symlink_to(".")
    (folder / "a" / "4.png").symlink_to("0.png")
    assert len(prepare_images(folder, None, COLOUR).images) == 5
    folder_of(tmp_path / "class")
    (folder / "b").symlink_to(tmp_path / "class")
    (tmp_path / "class" / "back").symlink_to(folder)  # two that lead to each other
    found = prepare_images(folder, None, COLOUR)
    assert (len(found.images), found.classes) == (9, {"a": 5, "b": 4})
    assert found.left_out["hidden folders, and links to folders that are there already"] == 3


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_link_that_leads_round_to_itself_is_no_class(tmp_path, name):
    folder = folder_of(tmp_path / "f" / "a").parent
    (folder / name).symlink_to("d" if name == "c" else name)
    if name == "c":
        (folder / "d").symlink_to("c")
    with pytest.raises(DataError, match=rf"f/{name} is a link to what is not there; bring that back"):
        prepare_images(folder, None, COLOUR)


def test_folders_that_are_linked_with_each_other_are_listed(tmp_path):
    """Paths through twelve of them are half a billion."""
    names = [f"c{i}" for i in range(12)]
    for name in names:
        folder_of(tmp_path / "f" / name, 1)
        for other in names:
            if other != name:
                (tmp_path / "f" / name / f"to-{other}").symlink_to(f"../{other}")

    with open_source(tmp_path / "f") as found:
        assert len(found.names) == 12 + 12 * 11, "each folder, and what each link in it leads to"


def test_folders_of_a_zip_are_its_classes_however_their_names_are_written(tmp_path):
    names = {f"{start}a{slash}{i}.png": i for i, (start, slash) in enumerate([("", "/"), ("", "//"), ("./", "/./")])}
    files = {name: picture(i) for name, i in names.items()} | {"b/": b"", "b//9.png": picture(9)}
    found = prepare_images(zipped(tmp_path / "z.zip", files), None, COLOUR)
    assert found.classes == {"a": 3, "b": 1}


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_a_slash_before_the_names_of_a_zip_is_left_out(tmp_path, slash):
    """Nothing is unpacked, and unzip leaves it out too."""
    files = {f"{slash}data{slash}{name}{slash}0.png": picture(i) for i, name in enumerate("ab")}
    assert prepare_images(zipped(tmp_path / "z.zip", files), "train", COLOUR).classes == {"a": 1, "b": 1}


def test_an_encrypted_zip_is_not_called_damaged(tmp_path):
    path = zipped(tmp_path / "z.zip", {"a.png": picture()})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="z.zip is encrypted; pack it again without a password"):
        prepare_images(path, None, COLOUR)


def test_images_beside_folders_are_named(tmp_path):
    folder_of(folder_of(tmp_path / "f", 3) / "a", 2, start=3)
    assert next(prepare_images(tmp_path / "f", None, COLOUR).contents()).endswith(": beside the folders 3, a 2")


def test_a_dangling_link_is_an_unreadable_image(tmp_path):
    folder = folder_of(tmp_path / "f")
    (folder / "4.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"f/4\.png cannot be read \(No such file"):
        prepare_images(folder, None, COLOUR)
    assert prepare_images(folder, None, SKIP).left_out[UNDECODED] == 1


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "f" / "a").parent
    (folder / "secret").mkdir()
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", guarded)
        with pytest.raises(DataError, match=r"the folder .*f/secret cannot be read \(Permission denied\)"):
            prepare_images(folder, None, COLOUR)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
def test_pipes_are_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.zip")
    with pytest.raises(DataError, match="neither a folder nor a file"):
        prepare_images(tmp_path / "p.zip", None, COLOUR)
    os.mkfifo(folder_of(tmp_path / "f") / "x.png")
    found = prepare_images(tmp_path / "f", None, COLOUR)
    assert (len(found.images), found.left_out) == (4, {"links, pipes and devices": 1})


def test_new_files_have_the_mode_of_the_process_without_touching_it(tmp_path, monkeypatch):
    mask = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask belongs to all threads"))
        prepare_images(folder_of(tmp_path / "f"), None, COLOUR)
        write_atomically(tmp_path / "text", "text")
    finally:
        monkeypatch.undo()
        os.umask(mask)
    kept = [path for path in (tmp_path / "cache" / "prepared").iterdir() if path.suffix in (".npy", ".json")]
    assert len(kept) == 2
    for path in [*kept, tmp_path / "text"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o640, path


# ---------------------------------------------------------------------------------------------- datasets


@pytest.mark.parametrize("split", ["train", "test"])
def test_fewer_than_four_distinct_images_are_refused(tmp_path, split):
    folder_of(tmp_path / "f" / ("test" if split == "train" else "train"))
    folder = folder_of(tmp_path / "f" / split, 3)
    Image.open(folder / "2.png").save(folder / "3.bmp")  # another file of the same pixels
    mine = ImageFolder(name="few", path=tmp_path / "f", transform=COLOUR)
    message = f"few has only 3 distinct {split} images in .*; scores need 4, so add more"
    with pytest.raises(DataError, match=message):
        register_folder(mine)
    folder_of(folder, 1, start=9)
    assert register_folder(mine).counts == {"train": 5 if split == "train" else 4, "test": 5 if split == "test" else 4}


def test_a_name_stands_for_one_folder_and_one_transform(tmp_path, monkeypatch):
    folder_of(tmp_path / "f")
    mine = ImageFolder(name="own", path=tmp_path / "f", transform=COLOUR)
    dataset = register_folder(mine)
    monkeypatch.chdir(tmp_path)
    assert register_folder(ImageFolder(name="own", path=Path("f"), transform=COLOUR)) is dataset
    monkeypatch.setattr(own_images, "prepare_images", lambda *_: pytest.fail("prepared"))
    changes = [{"size": 16}, {"channels": 1}, {"crop": "none"}, {"unreadable": "skip"}]
    for changed in [Transform(**{**vars(COLOUR), **change}) for change in changes]:
        with pytest.raises(UserError, match='the dataset name "own" is taken'):
            register_folder(ImageFolder(name="own", path=tmp_path / "f", transform=changed))
    for shipped in ("mnist", "digits", "cifar10", "cats"):
        with pytest.raises(UserError, match=f'the dataset name "{shipped}" is taken'):
            register_folder(ImageFolder(name=shipped, path=tmp_path / "f", transform=COLOUR))


def test_a_dataset_is_read_once_and_fetched_only_when_it_is_not_there(tmp_path):
    import torch

    calls = []

    def read(folder, split):
        calls.append(split)
        if not (folder / "there").exists():
            raise DataError("it is not there")
        return torch.zeros(5, 1, 8, 8, dtype=torch.uint8), None

    entry = Dataset(
        name="remote", description="", channels=1, size=8, counts={"train": 5, "test": 5}, classes=0, read=read,
        fetch=lambda folder: (folder / "there").touch(),
    )  # fmt: skip
    DATASETS.register("remote", entry)
    with pytest.raises(DataError, match="it is not there"):
        load("remote", DataRoot(tmp_path, given=True), "train", 8)
    assert calls == ["train"]
    calls.clear()
    load("remote", DataRoot(tmp_path, given=False), "train", 8)
    assert calls == ["train", "train", "test", "train"], "tried, fetched, verified, read"
    calls.clear()
    load("remote", DataRoot(tmp_path, given=False), "test", 8)
    assert calls == ["test"]
