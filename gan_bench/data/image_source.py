"""Folders and zip files of images: what is in them, and the bytes of one file, read within limits."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from gan_bench.core.errors import CLOSED, DataError, brief
from gan_bench.core.text import odd_path, printable, some_of
from gan_bench.data.file_endings import ENDINGS, is_a_file_s, is_note, is_visible, possible_images, remedy, why_not
from gan_bench.data.file_kinds import is_image, is_other_archive, other_kind
from gan_bench.data.own_files import own_folders, own_pictures

KINDS = 3
"""Most reasons that are told for a source without images."""
MAX_BYTES = 128 * 2**20
"""Most bytes of one image file, in a folder or unpacked from an archive."""
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed: of the others zipfile unpacks a gigabyte at once, whatever size is announced."""
_ENCRYPTED = 1
"""The flag of a zip file's member that needs a password."""


LINKS = "links"
"""Why links in a zip are left out: what they lead to may lie anywhere."""
RESULTS = "folders of results of gan_bench"
"""Why what gan_bench wrote among images is left out, which is counted by folders."""
HIDDEN_FOLDERS = "hidden folders and those that systems leave behind"
"""Why such folders are left out, which are counted and not entered: some hold more files than the images are."""
NO_FILES = "pipes, sockets and devices"
"""Why what is called like an image is left out where reading it may wait for ever."""
MASKS_BESIDE = "masks beside their images"
OWN_PICTURES = "grids and animations of `gan-bench sample`"


@dataclass
class ImageSource:
    """An open folder or zip file, listed file by file.

    Attributes:
        read: Gives the bytes of a file; raises DataError.
        archive: The open zip file; None of a folder.
        names: Names of its images with forward slashes, sorted.
        folders: Names of its folders, as far as they are listed.
        left_out: How many files are left out, by reason.
        others: Folders that hold labels or notes, each with the names of these files.
    """

    read: Callable[[str], bytes]
    archive: IO[bytes] | None = None
    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    others: dict[str, list[str]] = field(default_factory=dict)

    def add_file(self, name: str, why_no_image: str, *, is_readable: bool = True) -> None:
        """List a file as an image, or count why it is none and keep a note."""
        if why_no_image:
            self.left_out[why_no_image] += 1
            if is_readable and is_note(name):
                self.others.setdefault(str(PurePosixPath(name).parent), []).append(name)
        elif is_readable:
            self.names.append(name)
        else:
            self.left_out[NO_FILES] += 1

    def leave_out_results(self, folder: str, note: str) -> None:
        """Leave out a folder of results; a note keeps those above, which may hold nothing else, from being classes."""
        self.left_out[RESULTS] += 1
        self.others.setdefault(str(PurePosixPath(folder).parent), []).extend([note] * bool(note))

    def leave_out_made_of_others(self) -> None:
        """Leave out masks beside their images, and what gan_bench drew beside its own; sort what remains."""
        for reason, some in (
            (MASKS_BESIDE, _masks_beside_images(self.names)),
            (OWN_PICTURES, own_pictures(self.names)),
        ):
            self.left_out += Counter({reason: len(some)})
            self.names = sorted(name for name in self.names if name not in some)
        self.folders.sort()

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
            advice = remedy(*{source.suffix} - {".zip"}, *endings)
            advice = advice or f"name a folder of images ({', '.join(sorted(ENDINGS))})"
            raise DataError(f"{source} holds no images{f', only {there}' if there else ''}; {advice}")
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
        unnamed = next(filter(self._is_image, possible_images(notes)), None)
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
        filled = folders_above(self.names) - {"."}
        beside = {PurePosixPath(folder).parent for folder in filled}
        yield from (each for each in self.folders if each not in filled and PurePosixPath(each).parent in beside)


def folders_above(names: Iterable[str]) -> set[str]:
    """Return the folders that files lie in, and those above; the dot is the first."""
    folders = {name.rpartition("/")[0] for name in names}  # of a million names they are few
    return {str(above) for folder in folders for above in PurePosixPath(f"{folder}/x".lstrip("/")).parents}


_MASK = re.compile(
    r"(.+?)(?:(?:[ _.-]+|(?<=\d))(?:mask|segmentation|seg|annotation|groundtruth)s?|(?:[_.-]+|(?<=\d))gts?"
    r"|[_-](?:matte|alpha))"
    r"(?:[ _.-]?\d+)?"
)
"""Names of what is drawn over an image, in small letters, with the name of the image: ``cat_mask``, ``cat_mask_1``."""


def _masks_beside_images(names: Iterable[str]) -> set[str]:
    """Return the masks that lie beside the images that they are of."""
    stems = {name: name.rpartition(".")[0].lower() for name in names}
    known = {*stems.values()}
    return {name for name, stem in stems.items() if (found := _MASK.fullmatch(stem)) and found[1] in known}


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[ImageSource]:
    """Open a folder (with its subfolders) or a zip file of images.

    A zip is read member by member and never unpacked, so no member can leave any folder.

    Raises:
        DataError: It is neither, is damaged, or holds names that point outside.
    """
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered
        found = listed_folder(path)
        found.leave_out_made_of_others()
        yield found
        return
    with _open_archive(path) as archive:
        found, links = _listed_archive(path, archive)
        found.leave_out_made_of_others()
        _refuse_lost_links(path, sorted(links), found.names)
        yield found


def _listed_archive(path: Path, archive: zipfile.ZipFile) -> tuple[ImageSource, set[str]]:
    """List what an open zip file holds, and the links in it."""
    members: dict[str, str] = {}
    found = ImageSource(lambda name: _read_member(path, archive, members[name]), archive.fp)
    for own, name in _plain_names(path, archive):
        if name in members and not name.endswith("/"):
            found.left_out["members of a name that another has"] += 1
        members.setdefault(name, own)
    below = {name.rstrip("/") for name in members if name.endswith("/")} | folders_above(members)
    results = _own_folders_in_archive(below, members)
    for folder, note in results.items():
        found.leave_out_results(folder, note)
    kept = [name for name in members if not name.endswith("/") and not _is_below(name, results)]
    links = {name for name in kept if stat.S_ISLNK(archive.getinfo(members[name]).external_attr >> 16)}
    for name in kept:
        found.add_file(name, LINKS if name in links else why_not(name))
    found.folders = [each for each in below - {"."} if is_visible(each) and not _is_below(f"{each}/x", results)]
    return found, links


def _plain_names(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield the names of a zip file's members: as zipfile has them, and plainly; those of folders end in a slash.

    Raises:
        DataError: A name points outside.
    """
    for own, name in _member_names(archive):
        if ".." in PurePosixPath(name).parts:
            raise DataError(f"{path} holds {own!r}, a name that leaves its folder; do not use this file")
        if plain := "/".join(part for part in name.split("/") if part not in ("", ".")):
            yield own, plain + "/" * name.endswith("/")


def _own_folders_in_archive(folders: Iterable[str], members: Collection[str]) -> dict[str, str]:
    """Return the outermost folders in an archive that gan_bench wrote, each with a file of it; the dot is all of it."""
    beside: dict[PurePosixPath, list[str]] = {}
    for folder in folders:
        beside.setdefault(PurePosixPath(folder).parent, []).append(folder)
    found: dict[str, str] = {}
    for near in beside.values():
        found.update(own_folders(near, lambda file: file.removeprefix("./") in members))
    return {each: note.removeprefix("./") for each, note in found.items() if not _is_below(each, found)}


def _is_below(name: str, folders: Collection[str]) -> bool:
    return any(str(above) in folders for above in PurePosixPath(name).parents) if folders else False


def _refuse_lost_links(path: Path, links: Iterable[str], images: Iterable[str]) -> None:
    """Refuse links in a zip without which all images of a folder would be missing.

    Raises:
        DataError: By its name one may lead to a folder, or it is of an image and its folder holds none beside links.
    """
    filled = {parent for name in images for parent in PurePosixPath(name).parents}
    for name in links:
        if not is_a_file_s(name) or not (why_not(name) or PurePosixPath(name).parent in filled):
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


@dataclass(frozen=True)
class _Folder:
    """A folder to be listed: its name, the real paths of those it lies in, and whether a link led to one of them."""

    name: str
    above: frozenset[str]
    is_linked: bool

    def below(self, name: str, entry: os.DirEntry[str]) -> _Folder:
        """Return a folder that lies in it."""
        return _Folder(name, self.above | {os.path.realpath(entry.path)}, self.is_linked or entry.is_symlink())


def listed_folder(top: Path) -> ImageSource:
    """List what a folder holds, without what is hidden, gan_bench's own and what systems leave behind.

    Raises:
        DataError: A folder cannot be read, or is a link to one that is not there or to itself.
    """
    found, seen = ImageSource(lambda name: _read_file(top, name)), {os.path.realpath(top)}
    left = [_Folder("", frozenset(seen), is_linked=False)]
    while left:
        folder = left.pop()
        entries = {f"{folder.name}/{entry.name}".lstrip("/"): entry for entry in _sorted_entries(top / folder.name)}
        may_be_ours = [name for name, entry in entries.items() if not entry.is_file(follow_symlinks=False)]
        ours = own_folders(may_be_ours, lambda file: os.path.isfile(f"{top}/{file}"))  # noqa: PTH113 - see open_source
        for name, entry in entries.items():
            if name in ours:
                found.leave_out_results(name, ours[name])
            elif not os.path.isdir(entry.path):  # noqa: PTH112 - see open_source
                found.add_file(name, _why_no_image(entry), is_readable=_is_readable_kind(entry))
            elif reason := _why_not_entered(entry, folder, seen):
                found.left_out[reason] += 1
            else:
                found.folders.append(name)
                left.append(folder.below(name, entry))
                seen |= left[-1].above
    return found


def _why_not_entered(entry: os.DirEntry[str], folder: _Folder, seen: Collection[str]) -> str:
    """Return why a folder is left out, or nothing.

    Links are followed, unless they lead back to where they stand below; those found behind a link, only to folders
    that were not seen: folders that are linked with each other have paths without number.
    """
    real = os.path.realpath(entry.path)
    if not is_visible(entry.name):
        return HIDDEN_FOLDERS
    if any(Path(each).is_relative_to(real) for each in folder.above):  # it would be found again and again
        return "links that lead back to their own folder"
    is_seen = entry.is_symlink() and folder.is_linked and real in seen
    return "links to folders that are there already" if is_seen else ""


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        if not os.access(folder, os.X_OK):  # it may be listed, and nothing in it can be told from a file
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        right = " (chmod +rx)" if error.errno in CLOSED else ""
        raise DataError(
            f"the folder {printable(str(folder))} cannot be read ({error.strerror}); make it readable{right} or remove "
            "it"
        ) from None
    return found


def _why_no_image(entry: os.DirEntry[str]) -> str:
    """Return why what is no folder is no image, or nothing.

    Raises:
        DataError: It is a link that leads to no folder under the name of one: a class or a split may be missing.
    """
    reason = why_not(entry.name)
    if reason and not is_a_file_s(entry.name):
        refuse_broken_link(Path(entry.path))
    return reason


def refuse_broken_link(path: Path) -> None:
    """Refuse a link that leads to nothing; anything else, also what is not there, is well.

    Raises:
        DataError: It is such a link.
    """
    if not os.path.islink(path):  # noqa: PTH114 - see open_source
        return
    try:
        path.stat()
    except FileNotFoundError:
        raise DataError(
            f"{printable(str(path))} is a link to a folder or file that is not there; bring that back or remove the "
            "link"
        ) from None
    except OSError as error:
        why = "leads round to itself" if error.errno == errno.ELOOP else f"cannot be followed ({error.strerror})"
        raise DataError(f"{printable(str(path))} is a link that {why}; lead it to its folder or remove it") from None


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
        kind = DataError if isinstance(error, PermissionError | FileNotFoundError) else ReadError
        raise kind(
            f"the image {printable(f'{top}/{name}')} cannot be read ({error.strerror}); make it readable or remove it"
        ) from None
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
    except PermissionError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it and the folders above readable") from None
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
    return "" if last == ".zip" else f"is neither a folder nor a zip file; {remedy(last) or 'name one of images'}"


class ReadError(DataError):
    """The system failed to read a file; another time it may not."""


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
    except OSError as error:
        raise ReadError(f"{path} cannot be read at {printable(name)} ({brief(error)})") from None
    except Exception as error:  # damaged, of an unknown version: zipfile and its decoders raise many kinds
        cause = error if isinstance(error, MemoryError) else None
        raise DataError(f"{path} is damaged at {printable(name)} ({brief(error)}); get it again") from cause


def _too_large(path: Path, name: str) -> DataError:
    return DataError(
        f"the image {printable(f'{path}/{name}')} has more than {MAX_BYTES // 2**20} MiB; scale it down or remove it"
    )
