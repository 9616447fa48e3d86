"""Decode one image file, in any format that Pillow reads, to the pixels that a viewer shows.

It is turned upright as its EXIF data say, laid over white where it is transparent, and of several frames the first is
taken. Images of 16 bits keep them, since only a whole dataset shows how many of them are used.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

__all__ = ["Conversions", "Pixels", "decode_image"]

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

_ORIENTATION = 0x112
_TURNS: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
"""What turns pixels [H, W] or [H, W, C] upright, by the orientation of the EXIF standard."""
_ANIMATED = frozenset({"GIF", "PNG", "TIFF", "WEBP"})
"""Formats whose further frames are images of their own; those of a phone's JPEG are previews and depths."""
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Of bytes, in Pillow's raw modes; N is the machine's own."""


_TRANSPARENT, _FRAMES, _METADATA = 1, 2, 4
_WORDS = {
    _TRANSPARENT: "transparent, composited on white",
    _FRAMES: "with several frames, of which the first is used",
    _METADATA: "with unreadable metadata, which is ignored",
}
"""What had to be done to an image that is more than reading it."""


class Conversions:
    """Decodes the images of one split, and remembers of each what had to be done; several threads use it at once."""

    def __init__(self, count: int) -> None:
        self._kinds = np.zeros(count, np.uint8)

    def decode(self, row: int, file: Path | IO[bytes], *, name: str) -> Pixels:
        """Decode an image; see `decode_image`."""
        pixels, kinds = decode_image(file, name=name)
        self._kinds[row] = kinds
        return pixels

    @property
    def counts(self) -> dict[str, int]:
        """How many of the images that were decoded are what, in words."""
        found = {words: int(np.count_nonzero(self._kinds & kind)) for kind, words in _WORDS.items()}
        return {words: count for words, count in found.items() if count}


def decode_image(file: Path | IO[bytes], *, name: str) -> tuple[Pixels, int]:
    """Decode an image file to [C, H, W]: one channel where it is gray, else three.

    Returns:
        uint8, or uint16 where a channel has 16 bits; and what had to be done for it, a sum of bits.

    Raises:
        ValueError: it cannot be decoded; the sentence holds `name`.
    """
    try:
        try:
            return _decoded(file)
        except MemoryError:
            raise
        except Exception:
            # Metadata may stop Pillow, and no pixel depends on them.
            for bare in _without_metadata(_content(file)):
                try:
                    pixels, kinds = _decoded(io.BytesIO(bare))
                    return pixels, kinds | _METADATA
                except Exception:
                    continue
            raise
    except MemoryError:
        raise
    # Pillow's readers raise nearly anything on damaged files: OSError, SyntaxError, struct.error, zlib.error.
    except Exception as error:
        raise ValueError(f"cannot read image {name}: {_reason(error, file)}") from error


def _reason(error: Exception, file: Path | IO[bytes]) -> str:
    if not isinstance(error, UnidentifiedImageError):
        return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
    return "it is in no known image format" if _content(file) else "it is empty"


def _content(file: Path | IO[bytes]) -> bytes:
    if isinstance(file, Path):
        return file.read_bytes()
    file.seek(0)
    return file.read()


def _decoded(file: Path | IO[bytes]) -> tuple[Pixels, int]:
    with Image.open(file) as image:
        raw = _raw_mode(image)
        image.load()
        orientation, kinds = _orientation(image)
        deep = _sixteen_bits(file, image, raw) if ";16" in raw or image.mode[0] in "IF" else None
        pixels: Any
        if deep is not None:
            pixels = deep
        else:
            flat, transparent = _flattened(image)
            pixels = np.asarray(flat)
            kinds |= _TRANSPARENT if transparent else 0
        kinds |= _FRAMES if image.format in _ANIMATED and _has_frames(image) else 0
    if orientation in _TURNS:
        pixels = _TURNS[orientation](pixels)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)), kinds


def _raw_mode(image: Image.Image) -> str:
    """Return how the file holds its pixels, such as ``RGB;16B``, before they are read."""
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _orientation(image: Image.Image) -> tuple[int, int]:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as on damaged pixels, nearly anything
        return 1, _METADATA
    return (found if isinstance(found, int) else 1), 0


def _has_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second frame is none
        return False


def _sixteen_bits(file: Path | IO[bytes], image: Image.Image, raw: str) -> NDArray[np.uint16] | None:
    """Return the 16 bits of each channel: uint16[H, W] of a gray image, else [H, W, 3].

    None where Pillow does not give them, and where something is transparent: that is laid over white in 8 bits.
    """
    if image.mode[0] in "IF":
        return _whole_numbers(image)
    upper = np.asarray(image)
    if raw == "LA;16B":  # four bytes for each pixel, and so of RGBA
        gray, lower_gray, opacity, lower_opacity = np.moveaxis(_read_as(file, "RGBA"), -1, 0)
        opaque = min(opacity.min(), lower_opacity.min()) == 0xFF
        return _joined(gray, lower_gray) if opaque else None
    if not raw.startswith("RGB") or raw[-1] not in _OTHER_ORDER:
        return None
    # Pillow keeps the upper byte of each channel. Told that the bytes come in the other order, it gives the lower one.
    lower = _read_as(file, raw[:-1] + _OTHER_ORDER[raw[-1]])
    if upper.shape[-1] == 4 and min(upper[..., 3].min(), lower[..., 3].min()) != 0xFF:
        return None
    return _joined(upper, lower)[..., :3]


def _read_as(file: Path | IO[bytes], raw: str) -> NDArray[np.uint8]:
    """Read the pixels as if the file held them in another way."""
    if not isinstance(file, Path):
        file.seek(0)
    image: Any
    with Image.open(file) as image:
        arguments = image.tile[0].args
        changed = (raw, *arguments[1:]) if isinstance(arguments, tuple) else raw
        image.tile = [tile._replace(args=changed) for tile in image.tile]
        return np.array(image)


def _joined(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.asarray((upper.astype(np.uint16) << 8) | lower, np.uint16)


def _whole_numbers(image: Image.Image) -> NDArray[np.uint16]:
    """Return a gray image: uint16[H, W]. Pillow's own conversion to 8 bits would clip it."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown scale; save it with 8 or 16 bits")
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise ValueError(f"its values go from {low} to {high}; save it with 8 or 16 bits, starting at 0")
    return values.astype(np.uint16)


def _flattened(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return a gray or an RGB image, and whether anything of it was transparent and is laid over white."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image, False
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode == "LAB":
        return _from_lab(image), False
    if not image.has_transparency_data:
        return image.convert(mode), False
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        return image.convert(mode), False
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return (white.getchannel("R") if mode == "L" else white.convert("RGB")), True


@cache
def _lab_to_rgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, _lab_to_rgb())
    assert converted is not None
    return converted


# --- files without their metadata ------------------------------------------------------------------------------------


def _without_metadata(content: bytes) -> Iterator[bytes]:
    """Yield a PNG or JPEG file without metadata: with its orientation, then without that; of other formats nothing."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        for kept in ({b"tRNS", b"eXIf"}, {b"tRNS"}):
            yield content[:8] + b"".join(
                chunk for kind, chunk in _png_chunks(content) if kind[:1].isupper() or kind in kept
            )
    elif content.startswith(b"\xff\xd8"):
        # APP0 and APP14 say how colours are stored; EXIF data stand in APP1.
        for segments in ({0xE0, 0xEE, 0xE1}, {0xE0, 0xEE}):
            yield content[:2] + b"".join(
                part for marker, part in _jpeg_parts(content) if not _is_metadata(marker) or marker in segments
            )


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at : at + 12 + length]
        at += 12 + length


def _jpeg_parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the segments before the first scan, then all the rest as one."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        if content[at + 1] == 0xFF:  # padding
            at += 1
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        yield content[at + 1], content[at : at + 2 + length]
        at += 2 + length
    yield 0xDA, content[at:]


def _is_metadata(marker: int) -> bool:
    return 0xE0 <= marker <= 0xEF or marker == 0xFE
