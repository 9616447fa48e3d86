"""Fetch a published file by torchvision's means, so that a silent or missing network is told within seconds."""

from __future__ import annotations

import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

__all__ = ["download_file", "reach"]

_CONNECT_SECONDS = 10.0


def reach(url: str) -> None:
    """Ask for an address without its content: torchvision waits for a silent network without end. Raises OSError."""
    request = urllib.request.Request(url, method="HEAD")
    urllib.request.urlopen(request, timeout=_CONNECT_SECONDS).close()


def download_file(urls: Sequence[str], path: Path, *, md5: str) -> None:
    """Put a file at `path`, atomically, from the first address that has it.

    Raises:
        OSError: no address has it, or what came has another checksum; the sentence has each address and its reason.
    """
    from torchvision.datasets.utils import download_url

    reasons = []
    for url in urls:
        try:
            reach(url)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as temporary:
                download_url(url, temporary, filename=path.name, md5=md5)
                Path(temporary, path.name).replace(path)
            return
        except (OSError, RuntimeError) as error:  # RuntimeError: the checksum of what came is wrong
            reasons.append(f"{url}: {error}")
    raise OSError("; ".join(reasons))
