"""What runs on every change says which tools are absent: no test that needs one skips unseen."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
SBIN = "/usr/sbin:/usr/local/sbin"


def program(folder: Path, name: str, script: str) -> None:
    """A program of the test's own, in place of the machine's."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_tools_that_could_not_be_installed_are_named_and_the_checks_go_on(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "apt-get", "echo 'no network' >&2; exit 100")
    program(tmp_path, "make", 'echo "make $*"')
    program(tmp_path, "dciodvfy", "exit 0")
    bash, dirname = shutil.which("bash"), shutil.which("dirname")
    assert bash is not None
    assert dirname is not None
    (tmp_path / "dirname").symlink_to(dirname)
    script = str(ROOT / ".ci" / "run")
    ended = subprocess.run([bash, script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    absent = ["dsrdump", *([] if shutil.which("Orthanc", path=SBIN) else ["Orthanc"])]
    assert [line for line in said if line.startswith("absent")] == [
        f"absent: {tool}: its tests will skip" for tool in absent
    ]
    assert said[-2:] == ["make test", "make test-all"]
