"""Image files as people have them: every mode and format, odd metadata, 16 bits, transparency, damage."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from vitbench_datasets.decoding import Conversions, decode_image

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
UPRIGHT = PIXELS.transpose(2, 0, 1)


def _encoded(image: Image.Image | np.ndarray, suffix: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, suffix, **options)
    return buffer.getvalue()


def _decode(content: bytes) -> np.ndarray:
    return decode_image(io.BytesIO(content), name="it")[0]


def _said(content: bytes) -> list[str]:
    conversions = Conversions(1)
    conversions.decode(0, io.BytesIO(content), name="it")
    return list(conversions.counts)


MODES = {
    "png": ("RGB", "RGBA", "L", "LA"),
    "jpeg": ("CMYK",),
    "webp": ("RGBA",),
    "bmp": ("RGB",),
    "tiff": ("CMYK", "YCbCr", "LAB"),
    "gif": ("RGB",),
    "ppm": ("L",),
}


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix in MODES for mode in MODES[suffix]])
def test_every_mode_becomes_one_or_three_channels(suffix: str, mode: str) -> None:
    image = Image.fromarray(PIXELS).convert("RGB" if mode == "LAB" else mode)
    if mode == "LAB":
        image = Image.frombytes("LAB", image.size, image.tobytes())
    found = _decode(_encoded(image, suffix))
    assert found.shape == (1 if mode in ("L", "LA") else 3, 5, 7)
    assert found.dtype == np.uint8
    assert np.ptp(found) > 50


def test_lossless_pixels_come_out_unchanged() -> None:
    assert np.array_equal(_decode(_encoded(PIXELS)), UPRIGHT)


def test_bits_become_black_and_white() -> None:
    assert _decode(_encoded(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"))).tolist() == [[[0, 255]]]


# --- transparency


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [
        (None, [[[10, 200]], [[20, 210]], [[30, 220]]]),
        (1, [[[10, 255]], [[20, 255]], [[30, 255]]]),
        (bytes([255, 0]), [[[10, 255]], [[20, 255]], [[30, 255]]]),
        (bytes([255, 255]), [[[10, 200]], [[20, 210]], [[30, 220]]]),
    ],
)
def test_a_palette_gives_its_colours(transparency: int | bytes | None, expected: list[list[list[int]]]) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 210, 220])
    options = {} if transparency is None else {"transparency": transparency}
    content = _encoded(image, **options)
    assert _decode(content).tolist() == expected
    assert _said(content) == (["transparent, composited on white"] if expected[0][0][1] == 255 else [])


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("LA", "tiff")])
def test_a_drawing_in_the_opacity_stands_black_on_white(mode: str, suffix: str) -> None:
    image = Image.new(mode, (3, 1))
    image.putalpha(Image.fromarray(np.array([[0, 255, 51]], np.uint8)))
    assert _decode(_encoded(image, suffix))[0].tolist() == [[255, 0, 204]]


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (7, 7, 7)), ("L", 7), ("1", 0)])
def test_a_colour_may_stand_for_nothing(mode: str, colour: int | tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1), colour)
    image.putpixel((1, 0), (9, 9, 9) if mode == "RGB" else 255)
    found = _decode(_encoded(image, transparency=colour))
    assert found[0].tolist() == [[255, 9 if mode == "RGB" else 255]]


def test_opaque_images_keep_their_pixels_to_the_bit() -> None:
    image = Image.fromarray(PIXELS)
    image.putalpha(255)
    assert np.array_equal(_decode(_encoded(image)), UPRIGHT)
    assert _said(_encoded(image)) == []


# --- 16 bits


def _png16(values: np.ndarray, colour: int) -> bytes:
    """Write uint16[H, W, C] as Pillow does not: with 16 bits for each of several channels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def _tiff16(values: np.ndarray, order: str, compressed: bool) -> bytes:
    """Write uint16[H, W, 3] as TIFF, in either order of bytes."""
    pixels = values.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if compressed else pixels
    bits_at = 8 + 2 + 9 * 12 + 4
    tags = [
        *((256, 3, 1, values.shape[1]), (257, 3, 1, values.shape[0]), (258, 4, 3, bits_at)),
        *((259, 3, 1, 8 if compressed else 1), (262, 3, 1, 2), (273, 4, 1, bits_at + 6), (277, 3, 1, 3)),
        *((278, 3, 1, values.shape[0]), (279, 4, 1, len(pixels))),
    ]
    fields = b"".join(
        struct.pack(f"{order}HHI", tag, 3 if tag == 258 else kind, count)
        + (struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0))
        for tag, kind, count, value in tags
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + fields + struct.pack(f"{order}IHHH", 0, 16, 16, 16) + pixels


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_files_of_16_bits_keep_them(colour: int, channels: int) -> None:
    values = RANDOM.integers(0, 4096, (5, 7, channels)).astype(np.uint16)
    if colour >= 4:
        values[..., -1] = 65535
    found = _decode(_png16(values, colour))
    assert found.dtype == np.uint16
    assert np.array_equal(found.transpose(1, 2, 0), values[..., : 3 if channels > 2 else 1])


@pytest.mark.parametrize(("order", "compressed"), [("<", False), (">", True)])
def test_coloured_tiff_files_of_16_bits_keep_them(order: str, compressed: bool) -> None:
    values = RANDOM.integers(0, 4096, (5, 7, 3)).astype(np.uint16)
    assert np.array_equal(_decode(_tiff16(values, order, compressed)), values.transpose(2, 0, 1))


@pytest.mark.parametrize("colour", [4, 6])
def test_transparent_images_of_16_bits_are_laid_over_white_too(colour: int) -> None:
    values = np.zeros((1, 1, colour - 2), np.uint16)
    assert _decode(_png16(values, colour))[0].tolist() == [[255]]


@pytest.mark.parametrize(
    ("values", "suffix", "reason"),
    [
        (np.full((2, 2), 0.5, np.float32), "tiff", "floating-point numbers"),
        (np.full((2, 2), -1000, np.int32), "tiff", "from -1000 to -1000"),
        (np.full((2, 2), 70_000, np.int32), "tiff", "from 70000 to 70000"),
    ],
)
def test_numbers_without_a_scale_are_refused(values: np.ndarray, suffix: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"cannot read image it: .*{reason}.*save it with 8 or 16 bits"):
        _decode(_encoded(values, suffix))


# --- metadata


@pytest.mark.parametrize(
    ("suffix", "orientation"), [*(("jpeg", each) for each in range(10)), ("png", 6), ("webp", 6), ("tiff", 6)]
)
def test_an_image_is_turned_upright_as_its_exif_data_say(suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(PIXELS, suffix, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(_decode(content), upright.transpose(2, 0, 1))


def _in_jpeg(marker: int, segment: bytes) -> bytes:
    content = _encoded(PIXELS, "jpeg")
    return content[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(segment) + 2) + segment + content[2:]


def _exif(*fields: bytes) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)


TURNED = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
RESOLUTION_AS_TEXT = struct.pack("<HHI", 0x11A, 2, 3) + b"72\0\0"


def test_a_resolution_as_text_stops_nothing() -> None:
    upright = _decode(_in_jpeg(0xE1, _exif(TURNED, RESOLUTION_AS_TEXT)))
    assert np.array_equal(upright, np.rot90(_decode(_encoded(PIXELS, "jpeg")), -1, (1, 2)))


@pytest.mark.parametrize(
    ("marker", "segment"),
    [
        (0xE1, _exif(struct.pack("<HHI", 0x112, 2, 1) + b"6\0\0\0")),
        (0xE1, _exif(struct.pack("<HHII", 0x112, 5, 1, 0))),
        (0xE1, _exif(TURNED)[:20]),
        (0xE2, b"ICC_PROFILE\0\x05"),
        (0xED, b"Photoshop 3.0\x008BIM\x03\xed" + b"\xff" * 16),
    ],
    ids=["orientation as text", "orientation nowhere", "cut EXIF", "cut ICC profile", "cut Photoshop block"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_metadata_leave_the_pixels(marker: int, segment: bytes) -> None:
    assert np.array_equal(_decode(_in_jpeg(marker, segment)), _decode(_encoded(PIXELS, "jpeg")))


def _text(kind: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if kind == "many texts":
        for number in range(70):
            info.add_text(f"key{number}", "x" * (2**20 - 20))
    else:
        info.add_text("key", "x" * 2**21, zip=True)
    return info


@pytest.mark.parametrize("kind", ["large profile", "large text", "many texts", "wrong checksum"])
def test_large_or_damaged_texts_and_profiles_leave_the_pixels_and_are_counted(kind: str) -> None:
    options = {"icc_profile": bytes(2**20 + 1)} if kind == "large profile" else {}
    if "text" in kind:
        options = {"pnginfo": _text(kind)}
    content = bytearray(_encoded(PIXELS, dpi=(72, 72), **options))
    if kind == "wrong checksum":
        content[content.index(b"pHYs") + 5] ^= 1
    assert np.array_equal(_decode(bytes(content)), UPRIGHT)
    assert _said(bytes(content)) == ["with unreadable metadata, which is ignored"]


def test_orientation_and_transparency_outlive_a_large_profile() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("L", (3, 2), 7)
    found = _decode(_encoded(image, exif=exif, transparency=7, icc_profile=bytes(2**20 + 1)))
    assert found.shape == (1, 3, 2)
    assert found.min() == 255


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_of_several_frames_the_first_is_taken_and_they_are_counted(suffix: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = _encoded(frames[0], suffix, save_all=True, append_images=frames[1:])
    red, _, blue = _decode(content).mean((1, 2))
    assert red > 200 > 50 > blue
    assert _said(content) == ["with several frames, of which the first is used"]


# --- damage


@pytest.mark.parametrize(
    ("damage", "suffix"),
    [
        ("empty", "png"),
        ("text", "png"),
        *(("truncated", suffix) for suffix in ("png", "jpeg", "webp", "bmp", "tiff")),
    ],
)
def test_a_damaged_file_is_named(damage: str, suffix: str, tmp_path: Path) -> None:
    whole = _encoded(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8), suffix)
    content, reason = {
        "empty": (b"", "it is empty"),
        "text": (b"not an image", "it is in no known image format"),
        "truncated": (whole[: len(whole) // 2], ".+"),
    }[damage]
    path = tmp_path / f"image.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read image {path}: {reason}"):
        decode_image(path, name=str(path))


def test_damaged_pixels_are_no_damaged_metadata() -> None:
    content = bytearray(_encoded(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    content[content.index(b"IDAT") + 100] ^= 255
    with pytest.raises(ValueError, match="cannot read image it: "):
        _decode(bytes(content))
