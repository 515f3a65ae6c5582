"""Where a set that is being prepared is kept: its folder, or a storage to which what is finished goes at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ichnos.errors import OutputError
from ichnos.files import LOCK, explained, is_torn
from ichnos.remote import Place, RemotePath, ahead

_WORKING = ("parts", "scan")
"""Folders of a set that is not finished."""


@dataclass(frozen=True)
class Depot:
    """A folder in which a set is prepared, and the storage that it is for, where it is for one.

    On a storage lie from the first the shards, which whoever reads them writes there, and after each shard its parts
    of the tables: so a run that was stopped goes on from there, on any machine.
    """

    work: Path
    target: RemotePath | None = None

    @property
    def shards(self) -> Place:
        """The folder of shards."""
        return (self.target or self.work) / "shards"

    def keep(self, *paths: Path) -> None:
        """Send finished files of the folder to the storage, one after the other. Raises OutputError."""
        if self.target is not None:
            for path in paths:
                place = self.target / path.relative_to(self.work).as_posix()
                with explained(place):
                    place.put(path)

    def fetch(self) -> bool:
        """Bring what an earlier run left there, shards aside, and say whether that is a finished set.

        Raises OutputError where other things lie there.
        """
        if self.target is None:
            return False
        target = self.target
        with explained(target):
            there = [name for name, _ in target.files() if not is_torn(name)]
            foreign = {name.partition("/")[0] for name in there} - {"prepare.json", "shards", *_WORKING}
            if foreign and "prepare.json" not in there:
                raise OutputError(f"{target} holds other files already; give --out a new or empty folder")
            wanted = [name for name in there if not name.startswith("shards/")]
            for name in wanted:
                (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            for got in ahead(lambda name: (target / name).get(self.work / name), wanted):
                got()
        return "header.json" in there

    def finish(self) -> None:
        """Send the finished set, its header last, and take away from the storage what only the work needed."""
        files = sorted(path for path in self.work.iterdir() if path.is_file() and path.name != LOCK)
        self.keep(*(path for path in files if path.name != "header.json"), self.work / "header.json")
        self.tidy()

    def tidy(self) -> None:
        """Take away from the storage what only the work needed, where a run that was killed left any."""
        if self.target is not None:
            with explained(self.target):
                names = [name for name, _ in self.target.files()]
                self._remove(name for name in names if name.partition("/")[0] in _WORKING or is_torn(name))

    def _remove(self, names: Iterable[str]) -> None:
        target = self.target
        assert target is not None
        for gone in ahead(lambda name: (target / name).unlink(missing_ok=True), names):
            gone()
