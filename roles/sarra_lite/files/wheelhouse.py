"""Build an archive with the wheels of sarra_lite and its dependencies, for another Python.

``python wheelhouse.py CHECKOUT CACHE VERSION MACHINE`` prints the archive's path, after a line
``built`` if it had to be built.  The name of an archive is a hash of its sources, so that none is
built twice.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
PLATFORMS: Final = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
NAME_LENGTH: Final = 12


def fingerprint(checkout: Path, target: str) -> str:
    """Return a short hash of the package, its requirements and the target Python and machine."""
    digest = hashlib.sha256(target.encode())
    everything = (checkout / "sarra_lite").rglob("*")
    sources = sorted(p for p in everything if p.is_file() and p.suffix != ".pyc")
    for path in [REQUIREMENTS, checkout / "pyproject.toml", *sources]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:NAME_LENGTH]


def build(checkout: Path, archive: Path, version: str, machine: str) -> None:
    """Build the archive, and rename it into place when it is complete."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        wheels = Path(name) / "wheels"
        own = ["wheel", "--no-deps", "--wheel-dir", str(wheels), str(checkout)]
        subprocess.run([*pip, *own], check=True)
        platforms = [part for p in PLATFORMS for part in ("--platform", f"{p}_{machine}")]
        others = ["--dest", str(wheels), "--requirement", str(REQUIREMENTS), *platforms]
        wanted = ["--only-binary=:all:", "--no-deps", "--python-version", version]
        subprocess.run([*pip, "download", *wanted, *others], check=True)
        part = Path(name) / archive.name
        with tarfile.open(part, "w") as file:
            file.add(wheels, arcname=".")
        part.replace(archive)


def main() -> None:
    """Run as a command."""
    checkout, cache, version, machine = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5]
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / f"{fingerprint(checkout, version + machine)}.tar"
    if not archive.exists():
        build(checkout, archive, version, machine)
        sys.stdout.write("built\n")
    sys.stdout.write(f"{archive}\n")


if __name__ == "__main__":
    main()
