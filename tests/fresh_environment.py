"""A fresh environment that sees the packages of this one: where tests install a package as its users do."""

from __future__ import annotations

import os
import site
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

OFFLINE = ("--quiet", "--no-index", "--no-build-isolation")
"""What `pip install` takes so that it builds with the packages that are here."""


@dataclass(frozen=True)
class FreshEnvironment:
    """An environment in a folder, with a place of its own for new packages. Its layout is that of Unix."""

    folder: Path

    def run(self, *arguments: str, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``python -m ARGUMENTS`` in the folder, or in `cwd`, and assert its exit code."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        finished = subprocess.run(
            [str(self.folder / "venv" / "bin" / "python"), "-m", *arguments],
            cwd=cwd or self.folder,
            env={**environment, "VITBENCH_CACHE": str(self.folder / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished


def fresh_environment(folder: Path) -> FreshEnvironment:
    """Create an environment in ``folder/venv`` that sees this one's packages, torch and vitbench among them."""
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    [own] = (folder / "venv" / "lib").glob("python*/site-packages")
    present = [path for path in (*site.getsitepackages(), site.getusersitepackages()) if Path(path).is_dir()]
    (own / "present.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in present), encoding="utf-8"
    )
    return FreshEnvironment(folder)
