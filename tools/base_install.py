"""Installs ichnos without extras into a fresh environment and says what it takes: `python tools/base_install.py`.

Needs a package index. Fails where it takes more than the limit, or where the reader cannot be imported there.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_MB = 450
"""In 10⁶ bytes, with pip itself: a base install is the reader, and the reader is to fit anywhere."""


def main() -> int:
    """Make the environment in a temporary folder, measure it, and drop it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "environment")
        python = str(environment / "bin" / "python")
        install = ["pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
        _run(sys.executable, "-m", "venv", str(environment))
        _run(python, "-m", *install, str(ROOT))
        _run(python, "-c", "import ichnos.cli.main, ichnos.workflows.predict, ichnos.reporting.exam.structured_report")
        (packages,) = environment.glob("lib/python*/site-packages")
        sizes = {each.name: _size(each) for each in packages.iterdir()}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:10]:
        sys.stdout.write(f"{size / 1e6:7.1f} MB  {name}\n")
    total = sum(sizes.values()) / 1e6
    sys.stdout.write(f"{total:7.1f} MB  in all, at most {LIMIT_MB} MB\n")
    return int(total > LIMIT_MB)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own words


def _size(path: Path) -> int:
    """Blocks on the disk, as `du` counts them."""
    return sum(each.lstat().st_blocks * 512 for each in (path, *path.rglob("*")))


if __name__ == "__main__":
    sys.exit(main())
