"""Clusters that are none: each a clear error, before anything is read or written."""

import socket
import sys
from pathlib import Path

import pytest

from ichnos.cluster import Cluster, connected
from ichnos.errors import MissingExtraError, UsageError
from tests.inference.networks import brightness
from tests.stories.predicting import bundle_file, good_exam, predict
from tests.stories.running import ichnos


@pytest.mark.parametrize(
    "words", ["nowhere", "host:", "host:port", "ray://host:10001", "http://host:1", "host:70000", ""]
)
def test_what_is_no_address_is_wrong_use(words: str) -> None:
    with pytest.raises(UsageError, match="--cluster wants auto, local or HOST:PORT"):
        Cluster(words)


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ichnos[cluster]'")
    with socket.socket() as closed:  # bound and not listening: nobody else can take the port meanwhile
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        ran = ichnos("prepare", "rsna", str(tmp_path), "--out", str(tmp_path / "set"), "--cluster", address)
    assert ran.exit_code == 1
    assert f"no Ray cluster answers at {address}; start it with `ray start --head`" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_is_not_there_reads_no_exam(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ichnos[cluster]'")
    bundle = bundle_file(tmp_path / "tiny.ichnos", brightness(level=-385, gain=0.05))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        ran = predict(bundle, tmp_path / "out", good_exam(tmp_path / "exam"), "--cluster", address)
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert f"no Ray cluster answers at {address}; start it with `ray start --head`" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ichnos\[cluster\]'"), connected(Cluster("local")):
        pass


def test_workers_and_a_cluster_contradict_each_other(tmp_path: Path) -> None:
    words = ["prepare", "rsna", str(tmp_path), "--out", str(tmp_path / "set"), "--cluster", "auto", "--workers", "2"]
    ran = ichnos(*words)
    assert ran.exit_code == 2
    assert "--workers is of this machine's processes" in ran.stderr
