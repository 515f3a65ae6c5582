"""What every benchmark is asked and says of itself, whatever it measures."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import ichnos
from ichnos.errors import InputError, UsageError
from ichnos.workflows.bench import machine

Tree = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A benchmark's options; what it measures adds its own, and names itself."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    """Of the JSON: raised where a field changes its meaning or goes away."""
    STANDS_ON: ClassVar[Sequence[str]] = ()
    """Distributions whose versions are told."""

    rounds: int = 3
    """How often everything is timed, in turn."""
    cores: int = 2
    peers: Path | None = None
    """A folder of scripts of other stacks; None: against none."""

    def __post_init__(self) -> None:
        """Raises UsageError or InputError where this cannot be measured."""
        if sys.platform == "win32":
            raise UsageError("benchmarks measure memory as Linux and macOS count it; run them there")
        if min(self.rounds, self.cores) < 1:
            raise UsageError("--rounds and --cores are at least 1")
        if self.peers is not None and not self.peers.is_dir():
            raise InputError(f"no folder of peers at {self.peers}; give --peers benchmarks/peers of a clone")

    @property
    def words(self) -> str:
        """The command that asks for this; where the peers lie is left out."""
        common = {each.name for each in fields(Asked)}
        own = [each for each in fields(self) if each.name not in common]
        shared = [each for each in fields(self) if each.name in common - {"peers"}]
        said = [words for each in (*own, *shared) for words in self._said(each.name, each.default)]
        return " ".join([f"ichnos bench {self.NAME}", *said])

    def _said(self, name: str, usual: object) -> Sequence[str]:
        """An option as it is typed, or nothing where it is as usual."""
        value, option = getattr(self, name), name.replace("_", "-")
        if value == usual:
            return ()
        if isinstance(value, bool):
            return (f"--{option}" if value else f"--no-{option}",)
        return (f"--{option} {value}",)

    def tree(
        self, cores: int, stopwatch: machine.Stopwatch, work: Mapping[str, Any], figures: Mapping[str, Any]
    ) -> Tree:
        """The whole for JSON: who measured what on what, then the figures."""
        return {
            "version": self.VERSION,
            "benchmark": self.NAME,
            "asked": self.words,
            "machine": machine.description(cores) | {"other_work": stopwatch.others()},
            "versions": {"ichnos": ichnos.__version__} | machine.versions(self.STANDS_ON),
            "date": datetime.now(UTC).date().isoformat(),
            "commit": machine.commit(),
            "work": work,
            "rounds": self.rounds,
            **figures,
        }
