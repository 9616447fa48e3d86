"""Numbers as colours: exact at the ends, in order of lightness, and the same over an image as on the page."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest

from vitbench.figures import Scale
from vitbench.report.figures.colours import CONTRAST, OPACITY, coloured, dark, gradient, nearest, overlaid, softened

UNIT = Scale(label="v", low=0.0, high=1.0)
SIGNED = Scale(label="v", low=-2.0, high=2.0, diverging=True)


def lightness(colours: np.ndarray) -> np.ndarray:
    """Return CIE 1976 L* of sRGB colours, uint8[..., 3]."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_a_scale_ends_in_its_end_colours_and_values_beyond_it_have_them() -> None:
    found = coloured(np.array([-5.0, 0.0, 1.0, 9.0]), UNIT)
    assert found.tolist() == [[0x44, 0x01, 0x54]] * 2 + [[0xFD, 0xE7, 0x25]] * 2
    assert coloured(np.array([2]), UNIT).dtype == np.uint8  # of whole numbers, too


def test_the_map_is_viridis() -> None:
    mpl = pytest.importorskip("matplotlib")
    steps = np.linspace(0, 1, 256)
    theirs = 255 * np.asarray(mpl.colormaps["viridis"](steps))[:, :3]
    assert np.abs(coloured(steps, UNIT) - theirs).max() < 15
    assert gradient(UNIT).startswith("linear-gradient(to right,#440154,#482475,")


def test_writing_is_white_on_what_is_dark() -> None:
    assert [dark(colour) for colour in coloured(np.array([0.0, 0.3, 0.9, 1.0]), UNIT)] == [True, True, False, False]


def test_higher_values_are_lighter_and_a_diverging_scale_is_lightest_in_its_middle() -> None:
    steps = np.linspace(0, 1, 33)
    assert np.all(np.diff(lightness(coloured(steps, UNIT))) > 0)
    signed = lightness(coloured(4 * steps - 2, SIGNED))
    assert np.all(np.diff(signed[:17]) > 0)
    assert np.all(np.diff(signed[16:]) < 0)
    assert np.abs(signed - signed[::-1]).max() < 2, "both directions are as strong"
    red, _, blue = coloured(np.array(0.0), SIGNED).astype(int)
    assert red == blue, "the middle has no hue"


def test_values_over_an_image_are_mixed_with_its_grey() -> None:
    pixels = np.zeros((3, 2, 4), dtype=np.uint8)
    pixels[1] = 255  # green
    values = np.array([[0.0, 1.0]], dtype=np.float32)
    grey = 127.5 + CONTRAST * (0.7152 * 255 - 127.5)
    assert softened(pixels)[0, 0].tolist() == [round(grey)] * 3
    found = overlaid(pixels, values, UNIT)
    assert found.shape == (2, 4, 3)
    for half, colour in (((0, 1), (0x44, 0x01, 0x54)), ((2, 3), (0xFD, 0xE7, 0x25))):
        expected = [round((1 - OPACITY) * round(grey) + OPACITY * channel) for channel in colour]
        assert np.abs(found[:, half].astype(int) - expected).max() <= 1


def test_values_finer_than_their_image_keep_their_places() -> None:
    values = np.zeros((6, 5), dtype=np.float32)
    values[5, 4] = 1
    found = overlaid(np.full((1, 2, 2), 128, dtype=np.uint8), values, UNIT)
    assert found.shape == (6, 6, 3)  # whole multiples of the image's pixels
    bright = (found[..., 0] > found[..., 0].min() + 50).nonzero()
    assert set(bright[0]) == {5}
    assert set(bright[1]) == {5}


def test_enlarging_mixes_nothing() -> None:
    found = nearest(np.array([[1, 2], [3, 4]]), 4, 6)
    assert found.tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2


def test_the_page_mixes_as_the_pictures_do() -> None:
    css = (files("vitbench.report.html") / "templates" / "page.css").read_text(encoding="utf-8")
    assert re.search(r"\.under \{ filter: grayscale\(1\) contrast\(([\d.]+)\)", css)[1] == f"{CONTRAST:g}".lstrip("0")
    assert re.search(r"\.over \{[^}]*opacity: ([\d.]+)", css)[1] == f"{OPACITY:g}".lstrip("0")
    veil = re.search(r"\.over-images i \{[^}]*rgb\(128 128 128 / ([\d.]+)\)", css)[1]
    assert float(veil) == pytest.approx(1 - OPACITY)
