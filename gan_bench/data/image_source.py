"""Folders and zip files of images: what is in them, and the bytes of one file, read within limits."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import odd_path, printable, some_of
from gan_bench.data.file_kinds import ARCHIVES, is_image, is_other_archive, other_kind

ENDINGS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".jpf", ".tga"}
)
SYSTEM = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin", "recycler"),
        *("system volume information", "lost+found", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@__thumb"),
        *("network trash folder", "temporary items", "__pycache__"),
    }
)
"""Names, in small letters, of what operating systems and network storage leave beside people's files."""
_PACKED = frozenset({".zip", *ARCHIVES})
_TO_SAVE = frozenset({".heic", ".heif", ".jxl", ".psd", ".exr", ".svg", ".ico", ".dcm", ".dng"})
UNREAD = frozenset(
    _PACKED
    | _TO_SAVE
    | {".hdr", ".eps", ".dds", ".pcx", ".xcf", ".nii", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw"}
    | {".part", ".crdownload", ".download", ".hif", ".jxr", ".crw", ".nrrd", ".mha", ".fits", ".icloud"}
)
"""Endings of pictures that are not read, and of what may hold some: a folder of nothing else is no folder of notes."""
_REMEDIES = {
    **dict.fromkeys(_PACKED, "unpack {} files and name the folder"),
    **dict.fromkeys(_TO_SAVE, "save {} files as PNG"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "save the frames of {} files as PNG"),
    **dict.fromkeys((".npy", ".npz"), "pass what {} files hold to gb.score in Python, or save it as PNG"),
    **dict.fromkeys(
        (".pt", ".pth"),
        "pass what {} files hold to gb.score in Python, or save it as PNG; of a generator in them, sample images into "
        "a folder",
    ),
    **dict.fromkeys(
        (".pkl", ".pickle", ".ckpt", ".safetensors", ".onnx"),
        "of a generator in {} files, sample images into a folder; of statistics, save mu and sigma as .npz; of images, "
        "export them as PNG",
    ),
    **dict.fromkeys(
        (".parquet", ".arrow", ".tfrecord", ".tfrecords", ".mdb", ".h5", ".hdf5", ".mat"),
        "export the images in {} files as PNG",
    ),
}
"""What to do with files that may hold images, by their ending."""
KINDS = 3
"""Most reasons that are told for a source without images."""
_OF_SUITE = ("plan.json", "suite.yaml")
"""Files that a folder of gan_bench's own records has: its sample grids and plots are no images of the set."""
_OF_RECORD = ("trial.json", "environment.json")
"""Files that each record in such a folder has, wherever it was copied."""
_OF_REPORT = ("answer.md", "files.txt")
"""Files that the folder of a report has."""
_OF_RESULTS = ("report", "mlartifacts")
"""Folders beside such a folder that hold what is made of it."""
MAX_BYTES = 128 * 2**20
"""Most bytes of one image file, in a folder or unpacked from an archive."""
LOOKS = 20
"""Most files without an ending, and most other endings, of a folder without images that are looked into."""
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed: of the others zipfile unpacks a gigabyte at once, whatever size is announced."""
_ENCRYPTED = 1
"""The flag of a zip file's member that needs a password."""


@dataclass(frozen=True)
class ImageSource:
    """An open folder or zip file.

    Attributes:
        names: Names of its images with forward slashes, sorted.
        folders: Names of its folders, as far as they are listed.
        read: Gives the bytes of one; raises DataError.
        left_out: How many files are left out, by reason.
        others: Folders that hold labels or notes, each with the names of these files.
    """

    names: list[str]
    folders: list[str]
    read: Callable[[str], bytes]
    left_out: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, list[str]] = field(default_factory=dict)

    def require_images(self, source: Path) -> None:
        """Refuse a source without images, or with a folder without beside folders with some: a class would be missing.

        A folder of labels or notes is none, unless they turn out to be images that are not named as such.

        Raises:
            DataError: There are none, or there is such a folder.
        """
        if not self.names:
            most = sorted(self.left_out, key=lambda reason: -self.left_out[reason])
            there = some_of([f"{reason} ({self.left_out[reason]:,})" for reason in most], KINDS)
            self._refuse_unnamed(str(source), [note for found in self.others.values() for note in found])
            endings = [reason.rpartition("(")[2].rstrip(")") for reason in most]
            remedy = _remedy(*{source.suffix} - {".zip"}, *endings)
            remedy = remedy or f"name a folder of images ({', '.join(sorted(ENDINGS))})"
            raise DataError(f"{source} holds no images{f', only {there}' if there else ''}; {remedy}")
        for empty in self._empty_folders():
            below = (found for folder, found in self.others.items() if f"{folder}/".startswith(f"{empty}/"))
            notes = [note for found in below for note in found]
            if not notes:
                raise DataError(
                    f"the folder {source}/{empty} holds no images that are read here, though its neighbours do; save "
                    "what it should hold as images, or remove it"
                )
            self._refuse_unnamed(f"the folder {source}/{empty}", notes)

    def _refuse_unnamed(self, where: str, notes: Sequence[str]) -> None:
        """Refuse images that are not named as such among what is left out of a folder.

        Raises:
            DataError: There are some.
        """
        unnamed = next(filter(self._is_image, _possible_images(notes)), None)
        if unnamed is not None:
            raise DataError(
                f"{where} holds images without the ending of one, such as {printable(PurePosixPath(unnamed).name)}; "
                "give their names .png, .jpg or what they are"
            )

    def _is_image(self, name: str) -> bool:
        with contextlib.suppress(DataError):
            return is_image(self.read(name))
        return False

    def _empty_folders(self) -> Iterator[str]:
        filled = {
            "/".join(parts[:i]) for name in self.names for parts in [name.split("/")] for i in range(1, len(parts))
        }
        beside = {folder.rpartition("/")[0] for folder in filled}
        yield from (f for f in self.folders if f not in filled and f.rpartition("/")[0] in beside)


def refuse_results(source: Path) -> None:
    """Refuse records of gan_bench, whose images are sample grids.

    Raises:
        DataError: It holds them or lies among them, and not for images that ``gan-bench sample`` wrote there.
    """
    place = Path(os.path.realpath(source))  # what `..` leads to depends on the links before it
    with contextlib.suppress(OSError):  # a name too long for a file, or a closed folder: reading it says so
        is_drawn = any(place.glob("image-*.png"))
        for folder in (place, *([] if is_drawn else place.parents)):
            named = source if folder == place else folder
            ours = f"{named} holds results of gan_bench, whose images are sample grids; name a folder of images"
            if _has_all_files(folder, _OF_RECORD):
                raise DataError(f"{ours}, such as `gan-bench sample {shlex.quote(str(named))} --images N` writes")
            if _has_all_files(folder, _OF_SUITE):
                raise DataError(f"{ours}, or run the suite again: {named / _OF_SUITE[1]}")


def _has_all_files(folder: Path | str, files: Iterable[str]) -> bool:
    return all(os.path.isfile(f"{folder}/{file}") for file in files)  # noqa: PTH113 - see open_source


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[ImageSource]:
    """Open a folder (with its subfolders) or a zip file of images.

    A zip is read member by member and never unpacked, so no member can leave any folder.

    Raises:
        DataError: It is neither, is damaged, or holds names that point outside.
    """
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered
        left_out, others = Counter[str](), dict[str, list[str]]()
        names, folders = image_tree(path, left_out, others)
        images = _without_masks(names, left_out)
        found = ImageSource(images, folders, lambda name: _read_file(path, name), left_out, others)
        yield _without_sheets(found, os.path.realpath(path))
        return
    with _open_archive(path) as archive:
        yield _archived(path, archive)


def _archived(path: Path, archive: zipfile.ZipFile) -> ImageSource:
    """List what an open zip file holds.

    Raises:
        DataError: A name points outside, or a link hides a folder.
    """
    others: dict[str, list[str]] = {}
    members: dict[str, str] = {}
    again = 0
    for own, name in _member_names(archive):
        if ".." in PurePosixPath(name).parts:
            raise DataError(f"{path} holds {own!r}, a name that leaves its folder; do not use this file")
        plain = "/".join(part for part in name.split("/") if part not in ("", "."))
        is_folder = name.endswith("/")
        again += bool(plain) and not is_folder and plain in members
        if plain:
            members.setdefault(plain + "/" * is_folder, own)
    below = {name.rstrip("/") for name in members if name.endswith("/")}
    for name in members:  # not every archive lists its folders
        below.update(map(str, PurePosixPath(name).parents))
    results = _own_folders_in_archive(members, below)
    reasons = {
        name: LINKS if stat.S_ISLNK(archive.getinfo(own).external_attr >> 16) else _why_not(name)
        for name, own in members.items()
        if not name.endswith("/") and not _is_below(name, results)
    }
    left_out = Counter(filter(None, reasons.values()))
    for folder in results:
        left_out[RESULTS] += 1
        notes = (f"{folder}/{files[0]}" for files in (_OF_SUITE, _OF_RECORD, _OF_REPORT))
        # Of nothing else, the folders above it would be empty classes.
        others.setdefault(str(PurePosixPath(folder).parent), []).extend(note for note in notes if note in members)
    if again:
        left_out["members of a name that another has"] = again
    for name, reason in reasons.items():
        if reason and _is_note(name):
            others.setdefault(str(PurePosixPath(name).parent), []).append(name)
    names = sorted(name for name, reason in reasons.items() if not reason)
    folders = sorted(
        folder for folder in below - {"."} if _is_visible(folder) and not _is_below(f"{folder}/x", results)
    )
    images = _without_masks(names, left_out)
    found = ImageSource(images, folders, lambda name: _read_member(path, archive, members[name]), left_out, others)
    found = _without_sheets(found, path.stem)
    _refuse_lost_links(path, [name for name, reason in reasons.items() if reason == LINKS], found.names)
    return found


LINKS = "links"
"""Why links in a zip are left out: what they lead to may lie anywhere."""


def _refuse_lost_links(path: Path, links: Iterable[str], images: Iterable[str]) -> None:
    """Refuse links in a zip without which all images of a folder would be missing.

    Raises:
        DataError: By its name one may lead to a folder, or it is of an image and its folder holds none beside links.
    """
    filled = {parent for name in images for parent in PurePosixPath(name).parents}
    for name in links:
        if not _is_a_file_s(name) or not (_why_not(name) or PurePosixPath(name).parent in filled):
            raise DataError(
                f"{path} holds {printable(name)}, a link, which is not followed; pack what it leads to in its place "
                "(zip does without -y)"
            )


_UTF8 = 0x800
"""The flag of a zip file's member whose name is UTF-8; without it, Python reads the code page of DOS."""


def _member_names(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield the names of a zip file's members: as zipfile has them, and with slashes between folders.

    Archives made on Windows may have backslashes, and then all of them. In the code pages of Japan and China the same
    byte ends some letters, and some programs write UTF-8 without its flag.
    """
    unsaid = [m.filename for m in archive.infolist() if not m.flag_bits & _UTF8 and not m.filename.isascii()]
    files = [name for name in archive.namelist() if not name.endswith(("/", "\\"))]
    are_folders = all("\\" in name and "/" not in name for name in files)
    asian = ("cp932", "gbk") if not are_folders and any("\\" in name for name in unsaid) else ()
    found = next((each for each in ("utf-8", *asian) if all(_decoded(name, each) for name in unsaid)), "cp437")
    known = {name: _decoded(name, found) or name for name in unsaid}
    for name in archive.namelist():
        yield name, known.get(name, name).replace("\\", "/")


def _decoded(name: str, encoding: str) -> str:
    """Return a name that was read in the code page of DOS as another one has it, or nothing."""
    try:
        return name.encode("cp437").decode(encoding)
    except UnicodeError:
        return ""


_MASK = re.compile(
    r"(.+?)(?:(?:[ _.-]+|(?<=\d))(?:mask|segmentation|seg|annotation|groundtruth)s?|(?:[_.-]+|(?<=\d))gts?"
    r"|[_-](?:matte|alpha))"
    r"(?:[ _.-]?\d+)?"
)
"""Names of what is drawn over an image, in small letters, with the name of the image: ``cat_mask``, ``cat_mask_1``."""


def _without_masks(names: list[str], left_out: Counter[str]) -> list[str]:
    """Leave out masks that lie beside the images that they are of, and count them."""
    stems = {name.rpartition(".")[0].lower() for name in names}

    def is_mask(name: str) -> bool:
        found = _MASK.fullmatch(name.rpartition(".")[0].lower())
        return found is not None and found[1] in stems

    images = [name for name in names if not is_mask(name)]
    if len(images) < len(names):
        left_out["masks beside their images"] += len(names) - len(images)
    return images


_DRAWN = {"grid.png", "interpolation.png", "epochs.gif"}
"""Names of what ``gan-bench sample`` writes, also beside single images, ``image-00000.png``."""
_IN_CARD = "samples.png"
"""The name of the one picture that ``gan-bench card`` writes."""
_OF_CARD = {"README.md", "generator.safetensors", "architecture.py"}
"""Names of what lies beside it."""


def _without_sheets(source: ImageSource, top: str) -> ImageSource:
    """Leave out grids and animations that ``gan-bench sample`` or ``card`` wrote, and count them.

    They lie beside single images of ``sample``; or beside no image but each other, in a folder that has the name that
    ``sample`` gives one, two of them, or with a file of a card. One alone may be somebody's own. Folders of nothing
    else go, too: they are no empty classes.

    Args:
        source: A folder or archive.
        top: What it is called.
    """
    inside: dict[str, set[str]] = {}
    for name in source.names:
        inside.setdefault(name.rpartition("/")[0], set()).add(name.rpartition("/")[2])
    notes = {note for found in source.others.values() for note in found}
    ours = set[str]()
    for folder, files in inside.items():
        place = f"{folder}/" if folder else ""
        is_sampled = f"{top}/{folder}".rstrip("/").endswith("-samples") or len(files & _DRAWN) > 1
        known = _DRAWN if is_sampled else set[str]()
        if any(place + note in notes for note in _OF_CARD):
            known = known | {_IN_CARD}
        if any(re.fullmatch(r"image-\d{5,}\.png", file) for file in files):
            known = _DRAWN | {_IN_CARD}
        elif not files <= known:
            continue
        ours |= {place + file for file in files & known}
    if not ours:
        return source
    images = [name for name in source.names if name not in ours]
    filled = {str(folder) for name in images for folder in PurePosixPath(name).parents}
    emptied = {str(folder) for name in ours for folder in PurePosixPath(name).parents} - filled
    folders = [folder for folder in source.folders if folder not in emptied]
    left_out = {**source.left_out, "grids and animations of `gan-bench sample` or `card`": len(ours)}
    return replace(source, names=images, folders=folders, left_out=left_out)


RESULTS = "folders of results of gan_bench"
"""Why what gan_bench wrote among images is left out, which is counted by folders."""


def _own_folders(folders: Mapping[str, str], is_file: Callable[[str], bool]) -> set[str]:
    """Return those of the folders beside each other that gan_bench wrote: suites and what is beside, records, reports.

    Args:
        folders: Their names, each with its path.
        is_file: Tells whether there is a file of a path.
    """
    suites, *others = (
        {name for name, path in folders.items() if all(is_file(f"{path}/{file}") for file in files)}
        for files in (_OF_SUITE, _OF_RECORD, _OF_REPORT)
    )
    return suites.union(*others, folders.keys() & {*_OF_RESULTS} if suites else ())


def _own_folders_in_archive(members: Collection[str], folders: Iterable[str]) -> set[str]:
    """Return the outermost folders in an archive that gan_bench wrote; the dot is all of it."""
    beside: dict[str, dict[str, str]] = {}
    for folder in folders:
        path = PurePosixPath(folder)
        beside.setdefault(str(path.parent), {})[path.name] = folder
    found = {
        near[name]
        for near in beside.values()
        for name in _own_folders(near, lambda file: file.removeprefix("./") in members)
    }
    return {each for each in found if not _is_below(each, found)}


def _is_below(name: str, folders: Collection[str]) -> bool:
    return any(str(above) in folders for above in PurePosixPath(name).parents) if folders else False


HIDDEN_FOLDERS = "hidden folders and those that systems leave behind"
"""Why such folders are left out, which are counted and not entered: some hold more files than the images are."""


def image_tree(top: Path, left_out: Counter[str], others: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """List the images and folders below a folder, without hidden ones, gan_bench's own and what systems leave behind.

    Links to folders are followed, unless they lead back to where they stand below; those found behind a link, only to
    folders that were not seen: folders that are linked with each other have paths without number.

    Args:
        top: The folder.
        left_out: Counts files that are left out, by reason.
        others: Takes the folders that hold labels or notes, each with the names of these.

    Returns:
        Names of images and of folders, relative with forward slashes, sorted. An image may be a dangling link.

    Raises:
        DataError: A folder cannot be read, or is a link to one that is not there or to itself.
    """
    images: list[str] = []
    folders: list[str] = []
    left = [("", frozenset({os.path.realpath(top)}), False)]
    seen = {os.path.realpath(top)}
    while left:
        folder, above, is_linked = left.pop()
        listed = _sorted_entries(top / folder)
        may_be_folders = {entry.name: entry.path for entry in listed if not entry.is_file(follow_symlinks=False)}
        ours = _own_folders(may_be_folders, os.path.isfile)
        if ours and folder:  # of nothing else, it and those above it would be empty classes
            folders.remove(folder)
            others[folder] = [f"{folder}/{name}" for name in sorted(ours)]
        for entry in listed:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name in ours:
                left_out[RESULTS] += 1
            elif not os.path.isdir(entry.path):  # noqa: PTH112 - see open_source
                if reason := _why_no_image(entry):
                    left_out[reason] += 1
                    # To look into a pipe would wait for ever.
                    others.setdefault(folder, []).extend([name] * (_is_note(name) and _is_readable_kind(entry)))
                else:
                    images += [name] * _is_readable_kind(entry)
            elif not _is_visible(entry.name):
                left_out[HIDDEN_FOLDERS] += 1
            else:
                real = os.path.realpath(entry.path)
                is_link = os.path.islink(entry.path)  # noqa: PTH114 - see open_source
                if any(Path(each).is_relative_to(real) for each in above):  # it would be found again and again
                    left_out["links that lead back to their own folder"] += 1
                elif is_link and is_linked and real in seen:
                    left_out["links to folders that are there already"] += 1
                else:
                    seen.add(real)
                    left.append((name, above | {real}, is_linked or is_link))
                    folders.append(name)
    return sorted(images), sorted(folders)


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"the folder {printable(str(folder))} cannot be read ({error.strerror}); make it readable or remove it"
        ) from None


def _why_no_image(entry: os.DirEntry[str]) -> str:
    """Return why what is no folder is no image, or nothing.

    Raises:
        DataError: It is a link that leads to no folder under the name of one: a class or a split may be missing.
    """
    reason = _why_not(entry.name)
    if reason and not _is_a_file_s(entry.name) and entry.is_symlink():
        try:
            entry.stat()
        except FileNotFoundError:
            raise DataError(
                f"{printable(entry.path)} is a link to a folder or file that is not there; bring that back or remove "
                "the link"
            ) from None
        except OSError as error:
            why = "leads round to itself" if error.errno == errno.ELOOP else f"cannot be followed ({error.strerror})"
            raise DataError(
                f"{printable(entry.path)} is a link that {why}; lead it to its folder or remove it"
            ) from None
    return reason


def _is_readable_kind(entry: os.DirEntry[str]) -> bool:
    """Leave out pipes, sockets and devices, and keep dangling links: reading those says what is wrong."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def _read_file(top: Path, name: str) -> bytes:
    try:
        with (top / name).open("rb") as file:
            within = os.fstat(file.fileno()).st_size <= MAX_BYTES
            data = file.read(MAX_BYTES + 1) if within else b""
    except OSError as error:
        raise DataError(f"the image {printable(f'{top}/{name}')} cannot be read ({error.strerror})") from None
    if not within or len(data) > MAX_BYTES:
        raise _too_large(top, name)
    return data


@contextlib.contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe waits for ever
            raise DataError(f"{path} is neither a folder nor a file; name a folder or zip file of images")
        archive = zipfile.ZipFile(path)
    except DataError:
        raise
    except FileNotFoundError:
        remedy = odd_path(str(path)) or "name a folder or zip file of images"
        raise DataError(f"{path} does not exist; {remedy}") from None
    except Exception as error:  # zipfile raises many kinds on damaged files, such as struct.error and UnicodeError
        why = "is neither a folder nor an intact zip file"
        raise DataError(f"{path} {_other_kind(path) or f'{why} ({brief(error)}); get it again'}") from None
    with archive:
        yield archive


def _other_kind(path: Path) -> str:
    """Return what a file is that is no zip, and what to do with it; nothing where it should be one."""
    endings = {ending.lower() for ending in path.suffixes[-2:]}
    last = path.suffix.lower()
    start = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(512)
    if is_other_archive(start, endings):
        return "is an archive of another kind than zip; unpack it and name its folder"
    if ".zip" in endings and last[1:].isdigit():
        return "is a part of an archive; join the parts, or unpack them and name the folder"
    if last in (".npy", ".npz"):
        return "holds arrays; pass them to gb.score in Python, or save the images as files"
    if last in ENDINGS or is_image(start):
        return "is one image; name the folder that it lies in"
    if start[:2] != b"PK" and (kind := other_kind(start)):
        return f"is {kind}"
    return "" if last == ".zip" else f"is neither a folder nor a zip file; {_remedy(last) or 'name one of images'}"


def _remedy(*endings: str) -> str:
    """Return what to do with files of the first of some endings that may be of images; nothing where none is."""
    known = (each.lower() for each in endings)
    return next((_REMEDIES[each].format(each) for each in known if each in _REMEDIES), "")


class ArchiveError(DataError):
    """A zip file as a whole is packed in a way that is not read: no single image of it can be skipped."""


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > MAX_BYTES:
        raise _too_large(path, name)
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{path} is encrypted; pack it again without a password")
    if member.compress_type not in _PACKINGS:
        raise ArchiveError(f"{path} packs {printable(name)} in an unusual way; compress it again with deflate")
    try:
        with archive.open(member) as file:
            return file.read(member.file_size + 1)  # more than is announced is unpacked no further
    except Exception as error:  # damaged, of an unknown version: zipfile and its decoders raise many kinds
        cause = error if isinstance(error, MemoryError) else None
        raise DataError(f"{path} is damaged at {printable(name)} ({brief(error)}); get it again") from cause


def _too_large(path: Path, name: str) -> DataError:
    return DataError(
        f"the image {printable(f'{path}/{name}')} has more than {MAX_BYTES // 2**20} MiB; scale it down or remove it"
    )


def _is_a_file_s(name: str) -> bool:
    """True if a name is hidden or that of a file, and not of a folder that may be a class or a split."""
    path = PurePosixPath(name)
    return bool(path.suffix) or not _is_visible(name) or path.name.upper() in ("README", "LICENSE", "COPYING", "NOTICE")


IN_ICLOUD = "images that are in iCloud and not on this disk (download them)"
"""Why ``.cat.jpg.icloud`` is left out: it stands for ``cat.jpg``."""


def _why_not(name: str) -> str:
    """Return why a file is no image of the set, or nothing."""
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    if ending == ".icloud" and PurePosixPath(path.stem).suffix.lower() in ENDINGS:
        return IN_ICLOUD
    if not _is_visible(name):
        return "hidden files and what systems leave behind"
    return "" if ending in ENDINGS else f"files of other kinds ({ending or 'without an ending'})"


def _is_note(name: str) -> bool:
    """True for a visible file that is left out and is no picture of another kind: labels, notes, programs."""
    return _is_visible(name) and PurePosixPath(name).suffix.lower() not in UNREAD


def _possible_images(notes: Sequence[str]) -> list[str]:
    """Return those of a folder's notes that may be images: some without an ending, then one of each other ending."""
    plain = [note for note in notes if not PurePosixPath(note).suffix]
    one_of_each = {PurePosixPath(note).suffix: note for note in notes}
    return [*plain[:LOOKS], *list(one_of_each.values())[:LOOKS]]


def _is_visible(name: str) -> bool:
    """True for what is neither hidden nor left by systems in folders and archives."""
    return not any(part.startswith(".") or part.lower() in SYSTEM for part in PurePosixPath(name).parts)
