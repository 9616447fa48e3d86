"""Published archives, fetched by torchvision's addresses and checksums and unpacked nowhere but in their folder.

The folder appears atomically, so that a broken download leaves nothing behind.
"""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .downloading import download_file

__all__ = ["PUBLISHED", "Archive", "fetch", "unpack"]


class Archive(NamedTuple):
    """A file of a dataset: a tar or zip archive, which is unpacked, or any other, which is kept as it is."""

    url: str
    md5: str


_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_EUROSAT = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd"
PUBLISHED: Mapping[str, tuple[Archive, ...]] = {
    "dtd": (Archive(f"{_VGG}/dtd/download/dtd-r1.0.1.tar.gz", "fff73e5086ae6bdbea199a49dfb8a4c1"),),
    "flowers102": (
        Archive(f"{_VGG}/flowers/102/102flowers.tgz", "52808999861908f626f3c1f4e79d11fa"),
        Archive(f"{_VGG}/flowers/102/imagelabels.mat", "e0620be6f572b9609742df49c70aed4d"),
        Archive(f"{_VGG}/flowers/102/setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c"),
    ),
    "pets": (
        Archive(f"{_VGG}/pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        Archive(f"{_VGG}/pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    ),
    "svhn": (
        Archive("http://ufldl.stanford.edu/housenumbers/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        Archive("http://ufldl.stanford.edu/housenumbers/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    ),
    "eurosat": (Archive(f"{_EUROSAT}/EuroSAT.zip", "c8fa014336c82ac7804f0398fcb19387"),),
}
"""The files of datasets that torchvision fetches, with its checksums, by the names of the whole datasets."""


def fetch(name: str, root: Path) -> None:
    """Make the folder of a published dataset.

    Args:
        name: a key of `PUBLISHED`.
        root: its folder, which is not there yet.

    Raises:
        OSError: no address can be reached, or what came has another checksum.
        ValueError: an archive is damaged, or holds files that would be extracted outside the folder.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".download-") as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        for archive in PUBLISHED[name]:
            file = Path(temporary, PurePosixPath(archive.url).name)
            download_file([archive.url], file, md5=archive.md5)
            if file.name.endswith((".tar.gz", ".tgz", ".tar", ".zip")):
                unpack(file, made)
                file.unlink()
            else:
                file.replace(made / file.name)
        try:
            made.replace(root)
        except OSError:  # another process has put it there meanwhile
            if not root.is_dir():
                raise


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder; links and names that lead out of it are refused, and nothing of them is written.

    Raises:
        ValueError: it holds such a name, or is damaged.
    """
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                for name in zipped.namelist():
                    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                        raise ValueError(f"{name} would be extracted outside the folder")
                zipped.extractall(folder)
            return
        with tarfile.open(archive) as tarred:
            members = tarred.getmembers()
            for member in members:
                tarfile.data_filter(member, str(folder))
            tarred.extractall(folder, members, filter="data")
    except tarfile.FilterError as error:
        raise ValueError(f"{archive.name} is refused and was not unpacked: {error}") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{archive.name} is damaged: {error}") from error
    except ValueError as error:
        raise ValueError(f"{archive.name} is refused and was not unpacked: {error}") from error
