"""Work spread over the machines of a Ray cluster: what a lost worker was doing is done again, and nothing else."""

import hashlib
import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ichnos.errors import ClusterError, MissingExtraError, UsageError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 3
"""How often a piece of work is begun again after its process or its machine was lost. It may be what ended them."""

_SECONDS_TO_ANSWER = 5.0
"""For a cluster's door to open. Ray itself waits a minute, and may then end the whole process."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of how it will treat GPUs one day
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_task_oom_retries": str(RETRIES),  # else what memory has no room for is begun again without end
}
"""Set before Ray is imported, and so for those of its processes that this one starts."""

_FIRST_BYTES = 4096
"""Of a file, that must be the same on all machines."""

_NAMES = 64
"""Of what lies in a folder, that must be there on all machines. More may lie there: the set that is written, say."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """Where work is done in place of this machine's own processes. Picklable; `connected` opens it.

    address: `host:port` of its head, which this machine has joined, `auto` for whichever that this machine
    belongs to, or `local` for one that is started on this machine and ends with the command. shared: paths that each
    machine must see as this one does, with what this one sees there.
    """

    address: str
    shared: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError where the address is none."""
        if self.address not in ("auto", "local"):
            _host_and_port(self.address)

    def sharing(self, *paths: Path) -> "Cluster":
        """The same, where `paths` too must be there on every machine; those that are not even here are left out."""
        return replace(self, shared=self.shared + tuple((str(p), seen) for p in paths if (seen := _seen(p))))


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be connected to the cluster in the block. Where this process already is, that connection is used, and stays.

    Raises MissingExtraError where Ray is not installed, ClusterError where the cluster does not answer.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "--cluster needs Ray, which is not installed; install it with pip install 'ichnos[cluster]'"
        ) from error
    if ray.is_initialized():
        _see_that_it_is_the_same(ray, cluster.address)
        yield
        return
    _open(ray, cluster.address)
    try:
        yield
    finally:
        ray.shutdown()


def on_cluster(work: Callable[[Item], Result], items: Sequence[Item], cluster: Cluster) -> Iterator[Result]:
    """Yield work(item) of every item as it is done, in any order, a core each, wherever there is one.

    As with ichnos.processes.in_processes `work` is a function of a module that every machine has, or a partial of one.
    A piece whose process or machine is lost is done again elsewhere, RETRIES times at most. Two pieces a core are under
    way. Raises what `work` raises; WorkerError where one piece was lost each time; ClusterError where a machine does
    not see what is shared, or lacks a module.
    """
    import ray
    from ray.exceptions import RayError

    submit = ray.remote(num_cpus=1, max_retries=RETRIES)(_do).remote
    kept = ray.put(work)  # sent to each machine once: it may hold a network
    waiting = iter(items)
    running: list[Any] = []
    try:
        while True:
            ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while len(running) < ahead and (item := next(waiting, _NOTHING)) is not _NOTHING:
                running.append(submit(kept, item, cluster.shared))
            if not running:
                return
            done, running = ray.wait(running, num_returns=1)
            yield _result(done[0])
    finally:
        with suppress(RayError):  # what went wrong before says more
            for each in running:
                ray.cancel(each)


_NOTHING = object()


def _do(work: Callable[[Any], Any], item: Any, shared: tuple[tuple[str, tuple[str, ...]], ...]) -> Any:
    """On a machine of the cluster."""
    _see(shared)
    return work(item)


@lru_cache(maxsize=8)
def _see(shared: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    """Once a process. A path that is absent here would else be files that "cannot be read": a set with holes."""
    for path, seen in shared:
        there = Path(path)
        if not (all((there / name).exists() for name in seen) if there.is_dir() else _seen(there) == seen):
            raise ClusterError(
                f"a machine of the cluster does not see in {path} what this one sees; give a folder that all machines "
                "share under the same path"
            )


def _seen(path: Path) -> tuple[str, ...]:
    """What lies there: a folder's first names, or a digest of a file's length and first bytes; () where nothing is."""
    try:
        if path.is_dir():
            names = sorted(each.name for each in path.iterdir())[:_NAMES]
            return tuple(name for name in names if (path / name).exists()) or (".",)  # a link may lead nowhere
        with path.open("rb") as stream:
            content = stream.read(_FIRST_BYTES) + str(path.stat().st_size).encode()
    except OSError:
        return ()
    return (hashlib.blake2b(content, digest_size=8).hexdigest(),)


def _result(done: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(done)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, ModuleNotFoundError):
            raise ClusterError(_unequal(f"a machine of the cluster lacks the module {cause.name}")) from error
        if cause is None or isinstance(cause, RayError):  # it could not even take the work
            said = str(cause or error).strip().splitlines()
            raise ClusterError(_unequal(f"a machine of the cluster cannot take the work ({said[-1][:200]})")) from error
        raise cause from None
    except RayError as error:
        raise WorkerError(
            f"the cluster lost a piece of work {RETRIES + 1} times ({type(error).__name__}), most often because memory "
            "ran out; what was finished is kept: give the same command again, with more memory a core if it happens "
            "again"
        ) from error


def _unequal(found: str) -> str:
    return f"{found}; install the same ichnos with the same extras on every machine"


def _open(ray: Any, address: str) -> None:
    if address not in ("auto", "local"):
        _knock(*_host_and_port(address))
    _mute()
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, TimeoutError) as error:
        raise ClusterError(_not_there(address)) from error
    except Exception as error:  # Ray meets another Python or another Ray over there with a plain RuntimeError
        ray.shutdown()
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ClusterError(f"the cluster at {address} cannot be used: {reason[0][:300]}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it for itself


def _see_that_it_is_the_same(ray: Any, address: str) -> None:
    joined = str(ray.get_runtime_context().gcs_address)
    if address not in ("auto", "local", joined):
        raise ClusterError(f"this process works on the cluster at {joined} already, not on {address}; give that one")


def _knock(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), _SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ClusterError(_not_there(f"{host}:{port}")) from error


def _not_there(address: str) -> str:
    if address == "auto":
        return "this machine belongs to no Ray cluster; start one with `ray start --head`, or give --cluster host:port"
    return f"no Ray cluster answers at {address}; start it with `ray start --head`, or mend the address of --cluster"


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and "/" not in host and 0 < int(port) < 1 << 16):
        raise UsageError(f"--cluster wants auto, local or HOST:PORT, got {address!r}")
    return host, int(port)


def _mute() -> None:
    """What Ray says of lost workers goes to the log, not to standard output, which belongs to --json.

    It has no setting for that: `log_to_driver` stops what workers print, not its own words.
    """
    names = vars(importlib.import_module("ray._private.worker"))
    if "print_to_stdstream" in names:
        names["print_to_stdstream"] = _to_log


def _to_log(data: dict[str, Any], *_: object, **__: object) -> None:
    _LOGGER.debug("Ray: %s", " ".join(map(str, data.get("lines", ()))))
