"""A look into an ONNX file before ONNX Runtime opens it: nothing outside the file, nothing but ONNX's own operators.

Reads the protocol-buffer form by hand (https://protobuf.dev/programming-guides/encoding), as the `onnx` package is no
dependency of a reader of exams. Field numbers: onnx.proto3 of ONNX 1.16.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ichnos.errors import BundleError

_DEEPEST = 8
"""Graphs within graphs (If, Loop): ours have none, nobody needs more."""

_STANDARD = ("", "ai.onnx")
"""The two names of ONNX's own operators."""


@dataclass(frozen=True)
class _Message:
    """The fields of one protocol-buffer message: numbers for varints, views for everything of a length."""

    view: memoryview

    def __iter__(self) -> Iterator[tuple[int, int | memoryview]]:
        at, end = 0, len(self.view)
        while at < end:
            key, at = _varint(self.view, at)
            match key & 7:
                case 0:
                    value, at = _varint(self.view, at)
                    yield key >> 3, value
                case 1:
                    at += 8
                case 2:
                    length, at = _varint(self.view, at)
                    if at + length > end:
                        raise ValueError("a field reaches past its end")
                    yield key >> 3, self.view[at : at + length]
                    at += length
                case 5:
                    at += 4
                case kind:
                    raise ValueError(f"no such kind of field: {kind}")
        if at != end:
            raise ValueError("a field reaches past its end")

    def parts(self, number: int) -> Iterator[memoryview]:
        """The values of a field that are messages or strings."""
        for field, value in self:
            if field == number:
                if isinstance(value, int):
                    raise ValueError(f"field {number} is a number")
                yield value


def check_self_contained(content: bytes) -> None:
    """Raise BundleError where a model wants other files, other libraries' operators, or is no ONNX model at all."""
    try:
        model = _Message(memoryview(content))
        graphs = list(model.parts(7))
        if len(graphs) != 1:
            raise ValueError(f"{len(graphs)} graphs")
        for opset in model.parts(8):
            _check_domain(opset, field=1)
        if any(True for _ in model.parts(25)):
            raise BundleError("the bundle's network defines functions of its own, which ichnos does not run; refused")
        _check_graph(graphs[0], depth=0)
    except (ValueError, IndexError) as error:
        raise BundleError(f"the bundle's network is no ONNX file ({error}); take another copy of the bundle") from error


def _check_graph(graph: memoryview, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("graphs within graphs without end")
    for tensor in _Message(graph).parts(5):
        _check_tensor(tensor)
    for sparse in _Message(graph).parts(15):
        for number in (1, 2):
            for tensor in _Message(sparse).parts(number):
                _check_tensor(tensor)
    for node in _Message(graph).parts(1):
        _check_domain(node, field=7)
        for attribute in _Message(node).parts(5):
            _check_attribute(attribute, depth)


def _check_attribute(attribute: memoryview, depth: int) -> None:
    message = _Message(attribute)
    for number in (5, 10):
        for tensor in message.parts(number):
            _check_tensor(tensor)
    for number in (22, 23):
        for sparse in message.parts(number):
            for inner in (1, 2):
                for tensor in _Message(sparse).parts(inner):
                    _check_tensor(tensor)
    for number in (6, 11):
        for graph in message.parts(number):
            _check_graph(graph, depth + 1)


def _check_tensor(tensor: memoryview) -> None:
    for field, value in _Message(tensor):
        if field == 13 or (field == 14 and value != 0):
            raise BundleError("the bundle's network keeps weights in other files (external data); refused")


def _check_domain(message: memoryview, field: int) -> None:
    for value in _Message(message).parts(field):
        domain = bytes(value).decode("utf-8", errors="replace")
        if domain not in _STANDARD:
            raise BundleError(
                f"the bundle's network needs operators that are not ONNX's own (domain {domain[:40]!r}); refused"
            )


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
