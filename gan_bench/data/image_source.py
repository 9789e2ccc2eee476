"""Folders and zip files of images: their listing, and the bytes of one file, read within limits."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
import stat
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import odd_path, printable, some_of
from gan_bench.data.image_files import shorter_side
from gan_bench.data.splits import split_called

MAX_BYTES = 128 * 2**20
"""Most bytes of one image file, in a folder or unpacked from an archive."""
ENDINGS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".jpf", ".tga"}
)
_NOT_READ = frozenset({".heic", ".heif", ".jxl", ".exr", ".dcm", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw"})
"""Endings of image formats that are not read."""
_SYSTEM = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin", "recycler"),
        *("system volume information", "lost+found", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@__thumb"),
        *("network trash folder", "temporary items", "__pycache__"),
    }
)
"""Lower-case names of files and folders that operating systems and network storage create."""
_OWN = ({"plan.json", "suite.yaml"}, {"trial.json", "environment.json"}, {"answer.md", "files.txt"})
"""Files that mark folders of suites, records and reports of gan_bench, whose images are grids and plots."""
_BESIDE_SUITES = ("report", "mlartifacts")
_SINGLE = re.compile(r"(.*/|)image-\d{5,}\.png")
_DRAWN = ("grid.png", "interpolation.png", "epochs.gif")
"""Names of other files that ``gan-bench sample`` writes beside single images, ``image-00000.png``."""
RESULTS = "images among results of gan_bench"
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods that are read: with others zipfile may unpack far more than the announced size at once."""
_ENCRYPTED = 1
"""The flag of a zip file's member that needs a password."""
_MASK = re.compile(
    r"(.+?)(?:(?:[ _.-]+|(?<=\d))(?:mask|segmentation|seg|annotation|groundtruth)s?|(?:[_.-]+|(?<=\d))gts?"
    r"|[_-](?:matte|alpha))"
    r"(?:[ _.-]?\d+)?"
)
"""Lower-case names of masks, with the name of the image as the first group: ``cat_mask``, ``cat_mask_1``."""


@dataclass
class ImageSource:
    """An open folder or zip file, listed file by file.

    Attributes:
        read: Gives the bytes of a file; raises DataError.
        archive: The open zip file; None of a folder.
        names: Names of its images with forward slashes, sorted.
        folders: Its visible folders, with or without images.
        others: Names of its visible files that are no images.
        left_out: How many files are left out, by reason.
        own: Folders with files that are called as those of gan_bench, and the names of these.
    """

    read: Callable[[str], bytes]
    archive: IO[bytes] | None = None
    names: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    own: dict[PurePosixPath, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add_file(self, name: str, *, is_file: bool = True) -> None:
        """List a file as an image, or count why it is none."""
        path = PurePosixPath(name)
        ending = path.suffix.lower()
        if any(path.name in files for files in _OWN):
            self.own[path.parent].add(path.name)
        if not is_file:
            self.left_out["links, pipes and devices"] += 1
        elif not is_visible(name):
            self.left_out["hidden files and what systems leave behind"] += 1
        elif ending in ENDINGS:
            self.names.append(name)
        else:
            self.others.append(name)
            self.left_out[f"files of other kinds ({ending or 'without an ending'})"] += 1

    def leave_out_made_of_others(self) -> None:
        """Omit masks beside their images and files of gan_bench, and sort the others."""
        suites = [folder for folder, files in self.own.items() if _OWN[0] <= files]
        own = {folder for folder, files in self.own.items() if any(each <= files for each in _OWN)}
        own |= {folder.parent / name for folder in suites for name in _BESIDE_SUITES}
        stems = {name: name.rpartition(".")[0].lower() for name in self.names}
        known = {*stems.values()}
        drawn = {found[1] + name for found in map(_SINGLE.fullmatch, stems) if found for name in _DRAWN}
        made = {
            RESULTS: {name for name in stems if own and not own.isdisjoint(PurePosixPath(name).parents)},
            "masks beside their images": {
                name for name, stem in stems.items() if (found := _MASK.fullmatch(stem)) and found[1] in known
            },
            "grids and animations of `gan-bench sample`": drawn & stems.keys(),
        }
        self.left_out += Counter({reason: len(names) for reason, names in made.items()})
        self.names = sorted(stems.keys() - set().union(*made.values()))
        self.folders = {each for each in self.folders if own.isdisjoint(PurePosixPath(f"{each}/x").parents)}

    def require_images(self, source: Path) -> None:
        """Refuse a source without images, and one where a class or a split would be missing.

        That is a folder without images beside folders with some, if it is empty, holds images that are not read, or is
        called as a held-out split is beside ``train``. One of annotations is none.

        Raises:
            DataError: There are none, or there is such a folder.
        """
        if not self.names:
            there = some_of([f"{reason} ({count:,})" for reason, count in self.left_out.most_common()], 3)
            raise DataError(
                f"{source} holds no images{there and f', only {there}'}; name a folder of images "
                f"({', '.join(sorted(ENDINGS))}), or save them as PNG"
            )
        filled = folders_above(self.names)
        beside = dict[str, list[str]]()
        for each in filled - {"."}:
            beside.setdefault(str(PurePosixPath(each).parent), []).append(PurePosixPath(each).name)
        for folder in sorted(self.folders - filled):
            neighbours = beside.get(str(PurePosixPath(folder).parent), [])
            is_split = split_called(PurePosixPath(folder).name) and any(split_called(n) == "train" for n in neighbours)
            if neighbours and (is_split or self._may_be_class(folder)):
                raise DataError(
                    f"the folder {printable(f'{source}/{folder}')} holds no images that are read here, though its "
                    "neighbours do; save what it should hold as PNG, or remove it"
                )

    def _may_be_class(self, folder: str) -> bool:
        """True if a folder without images is empty or holds images that are not read, not only annotations and such."""
        below = [PurePosixPath(name) for name in self.others if name.startswith(f"{folder}/")]
        unnamed = next((each for each in below if not each.suffix), None)
        is_image = False
        with contextlib.suppress(DataError):
            is_image = unnamed is not None and shorter_side(self.read(str(unnamed))) > 0
        return not below or is_image or any(each.suffix.lower() in _NOT_READ for each in below)


def folders_above(names: Iterable[str]) -> set[str]:
    """Return all folders above files, as names relative to the source; the source itself is a dot."""
    return {str(above) for name in names for above in PurePosixPath(name).parents}


def is_visible(name: str) -> bool:
    """True for files that are neither hidden nor created by operating systems."""
    return not any(part.startswith(".") or part.lower() in _SYSTEM for part in PurePosixPath(name).parts)


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[ImageSource]:
    """Open a folder (with its subfolders) or a zip file of images.

    A zip is read member by member and never unpacked, so no member can leave any folder.

    Raises:
        DataError: It is neither, is damaged, or holds names that point outside.
    """
    with contextlib.ExitStack() as stack:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered
            _refuse_results(path)
            found = ImageSource(lambda name: _read_file(path, name))
            _list_folder(found, path)
        else:
            found = _listed_archive(path, stack.enter_context(_open_archive(path)))
        found.leave_out_made_of_others()
        yield found


def _refuse_results(path: Path) -> None:
    """Refuse folders of gan_bench, whose images are grids and plots, except single images drawn into them.

    Raises:
        DataError: It is such a folder, or lies in one.
    """
    place = Path(os.path.realpath(path))  # what `..` leads to depends on the links before it
    is_drawn = os.access(place, os.R_OK) and any(place.glob("image-*.png"))
    folders = [place, *([] if is_drawn else place.parents)]
    if any(all(os.path.isfile(f"{each}/{file}") for file in own) for each in folders for own in _OWN):  # noqa: PTH113
        raise DataError(
            f"{path} is of results of gan_bench, whose images are sample grids; name a folder of images, such as "
            "`gan-bench sample` writes"
        )


def refuse_broken_link(path: Path) -> None:
    """Refuse a link that leads to nothing or cannot be followed.

    Raises:
        DataError: It is such a link.
    """
    if os.path.islink(path) and not os.path.exists(path):  # noqa: PTH110, PTH114 - see open_source
        raise DataError(f"{printable(str(path))} is a link to what is not there; bring that back or remove the link")


def _list_folder(found: ImageSource, top: Path) -> None:
    """List what a folder holds, without what is hidden or left by systems.

    Links to folders are followed, unless they lead to a folder above themselves. Behind a link, links are followed only
    to folders that were not seen: folders that are linked with each other have paths without number.

    Raises:
        DataError: A folder cannot be read, or is a link to one that is not there.
    """
    seen = {os.path.realpath(top)}
    folders = [("", frozenset(seen), False)]
    for folder, above, is_linked in folders:  # it grows: what lies higher is seen first
        for entry in _sorted_entries(top / folder):
            name = f"{folder}/{entry.name}".lstrip("/")
            if not os.path.isdir(entry.path):  # noqa: PTH112 - see open_source
                if not PurePosixPath(name).suffix and is_visible(name):  # a class or a split may be missing
                    refuse_broken_link(Path(entry.path))
                is_broken = entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - reading it says so
                found.add_file(name, is_file=is_broken or entry.is_file())
                continue
            real, is_link = os.path.realpath(entry.path), entry.is_symlink()
            leads_back = any(each == real or each.startswith(f"{real.rstrip('/')}/") for each in above)
            if not is_visible(name) or leads_back or (is_link and is_linked and real in seen):
                found.left_out["hidden folders, and links to folders that are there already"] += 1
            else:
                found.folders.add(name)
                folders.append((name, above | {real}, is_link or is_linked))
                seen.add(real)


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        if not os.access(folder, os.X_OK):  # it may be listed, and nothing in it can be told from a file
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise DataError(
            f"the folder {printable(str(folder))} cannot be read ({error.strerror}); make it readable (chmod +rx) or "
            "remove it"
        ) from None
    return listed


def _listed_archive(path: Path, archive: zipfile.ZipFile) -> ImageSource:
    """List what an open zip file holds; archives made on Windows may have backslashes.

    Raises:
        DataError: A name points outside.
    """
    listed: list[str] = []
    members: dict[str, zipfile.ZipInfo] = {}
    links = set[str]()
    found = ImageSource(lambda name: _read_member(path, archive, members[name]), archive.fp)
    for plain, member in _member_names(archive):
        parts = [each for each in plain.split("/") if each not in ("", ".")]
        if ".." in parts:
            raise DataError(f"{path} holds {member.filename!r}, a name that leaves its folder; do not use this file")
        name, is_link = "/".join(parts), stat.S_ISLNK(member.external_attr >> 16)
        listed.append(f"{name}/x" if plain.endswith("/") else name)
        if plain.endswith("/"):
            continue
        if is_link and is_visible(name):
            links.add(name)
        if name in members:
            found.left_out["members of a name that another has"] += 1
        else:
            found.add_file(name, is_file=not is_link)
        members[name] = member  # as unpacking the file would: a later member replaces an earlier one
    found.folders = set(filter(is_visible, folders_above(listed)))
    for name in sorted(links):
        is_class = False
        with contextlib.suppress(DataError):  # a damaged one
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), os.fsdecode(found.read(name))))
            is_class = target in found.folders and target != "." and not name.startswith(f"{target}/")
        if is_class or split_called(PurePosixPath(name).name):
            raise DataError(
                f"{path} holds {printable(name)}, a link, which is not followed; pack what it leads to in its place "
                "(zip does without -y)"
            )
    return found


_UTF8 = 0x800
"""The flag of a zip file's member whose name is UTF-8; without it, Python reads the code page of DOS."""


def _member_names(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield the names of a zip file's members with slashes between folders, and after that of a folder.

    Archives made on Windows may have backslashes, and then all of them. In the code pages of Japan and China the same
    byte ends some letters, and some programs write UTF-8 without its flag. Names from further fields of a member, which
    newer versions of Python read, are no DOS names and stay.
    """
    members = archive.infolist()
    unsaid = [
        each.filename
        for each in members
        if not each.flag_bits & _UTF8 and not each.filename.isascii() and _decoded(each.filename, "cp437")
    ]
    files = [m.filename for m in members if not m.filename.endswith(("/", "\\"))]
    are_folders = all("\\" in name and "/" not in name for name in files)
    asian = ("cp932", "gbk") if not are_folders and any("\\" in name for name in unsaid) else ()
    coding = next((each for each in ("utf-8", *asian) if all(_decoded(name, each) for name in unsaid)), "cp437")
    for member in members:
        name = member.filename if member.flag_bits & _UTF8 else _decoded(member.filename, coding) or member.filename
        yield name.replace("\\", "/"), member


def _decoded(name: str, encoding: str) -> str:
    """Return a name that was decoded as cp437 in another encoding, or an empty text."""
    try:
        return name.encode("cp437").decode(encoding)
    except UnicodeError:
        return ""


def _read_file(top: Path, name: str) -> bytes:
    try:
        with (top / name).open("rb") as file:
            within = os.fstat(file.fileno()).st_size <= MAX_BYTES
            data = file.read(MAX_BYTES + 1) if within else b""
    except OSError as error:
        kind = DataError if isinstance(error, PermissionError | FileNotFoundError) else ReadError
        raise kind(
            f"the image {printable(f'{top}/{name}')} cannot be read ({error.strerror}); make it readable or remove it"
        ) from None
    if not within or len(data) > MAX_BYTES:
        raise _too_large(top, name)
    return data


@contextlib.contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    remedy = "arrays go to gb.score in Python" if path.suffix in (".npy", ".npz") else "name a folder or zip of images"
    try:
        if path.exists() and not path.is_file():  # to open a pipe waits for ever
            raise DataError(f"{path} is neither a folder nor a file; {remedy}")
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; {odd_path(str(path)) or remedy}") from None
    except PermissionError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it and the folders above readable") from None
    except DataError:
        raise
    except Exception as error:  # zipfile raises many kinds on damaged files, such as struct.error and UnicodeError
        raise DataError(f"{path} is neither a folder nor an intact zip file ({brief(error)}); {remedy}") from None
    with archive:
        yield archive


class ReadError(DataError):
    """The system failed to read a file; a retry may succeed."""


class ArchiveError(DataError):
    """A whole zip file cannot be read: skipping single images does not help."""


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    name = member.filename
    if member.file_size > MAX_BYTES:
        raise _too_large(path, name)
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{path} is encrypted; pack it again without a password")
    if member.compress_type not in _PACKINGS:
        raise ArchiveError(f"{path} packs {printable(name)} in an unusual way; compress it again with deflate")
    try:
        with archive.open(member) as file:
            return file.read(member.file_size + 1)  # more than is announced is unpacked no further
    except OSError as error:
        raise ReadError(f"{path} cannot be read at {printable(name)} ({brief(error)})") from None
    except Exception as error:  # damaged, of an unknown version: zipfile and its decoders raise many kinds
        cause = error if isinstance(error, MemoryError) else None
        raise DataError(f"{path} is damaged at {printable(name)} ({brief(error)}); get it again") from cause


def _too_large(path: Path, name: str) -> DataError:
    return DataError(
        f"the image {printable(f'{path}/{name}')} has more than {MAX_BYTES // 2**20} MiB; scale it down or remove it"
    )
