"""The page's scripts: DataTables and Vega from the installed packages, ours from beside this file, none from a network.

Both libraries stand in the page compressed, as text that no browser runs, a third of their size. The page's own script
unpacks them and imports them from blobs, as itables itself does with DataTables, an ES module. Vega's expressions are
interpreted (vega-embed's `ast`) and not compiled, so that the page's policy need not allow `eval`.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from vitbench.data.locate import default_cache_root
from vitbench.errors import StoreError
from vitbench.files import replace_file
from vitbench.installed import version_of
from vitbench.records import digest

__all__ = ["Library", "chart_library", "json_text", "policy", "table_library"]

_VEGA_LICENCE = """\
Vega, Vega-Lite, Vega-Embed and Vega-Tooltip
Copyright (c) University of Washington Interactive Data Lab and contributors. All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
following conditions are met: 1. Redistributions of source code must retain the above copyright notice, this list of
conditions and the following disclaimer. 2. Redistributions in binary form must reproduce the above copyright notice,
this list of conditions and the following disclaimer in the documentation and/or other materials provided with the
distribution. 3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or
promote products derived from this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES,
INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY,
WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF
THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""
"""BSD 3-clause; Vega's bundle comes without it."""
_BANNER = "/*! Bundled license information"
"""Where the licences of the parts of DataTables' bundle begin."""


class Library(NamedTuple):
    """A library as the page holds it."""

    packed: str
    """Its ES module, compressed by gzip, in base64."""
    licence: str


@cache
def table_library() -> Library:
    """Return DataTables; the module's default export is its class."""
    found = find_spec("itables")  # and no import, which takes a second for a file
    assert found is not None
    assert found.origin is not None
    source = (Path(found.origin).parent / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    return _library(source, "DataTables and its parts" + source.partition(_BANNER)[2].removesuffix("*/\n"))


@cache
def chart_library() -> Library:
    """Return Vega-Lite with all that it needs; the module's default export is ``vegaEmbed``.

    Bundling takes two seconds of processor time, once for each version of the package: the cache keeps what it gives,
    with a digest, lest a damaged file gives a page without charts.
    """
    snippet = "export default vegaEmbed;"
    name = f"vega-{digest([version_of('vl-convert-python'), snippet])}.txt"
    place = default_cache_root() / "scripts" / name
    with contextlib.suppress(OSError, UnicodeError):
        found, _, packed = place.read_text(encoding="ascii").partition("\n")
        if found == hashlib.sha256(packed.encode()).hexdigest():
            return Library(packed, _VEGA_LICENCE)
    import vl_convert

    library = _library(vl_convert.javascript_bundle(snippet), _VEGA_LICENCE)
    with contextlib.suppress(OSError, StoreError):  # a cache that cannot be written costs time alone
        place.parent.mkdir(parents=True, exist_ok=True)
        known = hashlib.sha256(library.packed.encode()).hexdigest()
        replace_file(place, f"{known}\n{library.packed}".encode())
    return library


def _library(source: str, licence: str) -> Library:
    # Without the time, equal results make equal pages.
    return Library(base64.b64encode(gzip.compress(source.encode(), mtime=0)).decode(), licence)


def json_text(value: Any) -> str:
    """Return compact JSON that may stand in a script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(script: str) -> str:
    """Return a content security policy under which this inline script runs, and what it imports from blobs.

    No request can leave, and no script that a name brought into the page would run. Images stand in the page. https://www.w3.org/TR/CSP3/
    """
    known = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rest = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src 'sha256-{known}' blob:; {rest}"
