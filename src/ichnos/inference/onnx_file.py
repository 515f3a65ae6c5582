"""A look into an ONNX file before ONNX Runtime opens it: nothing outside the file, nothing but ONNX's own operators.

Reads the protocol-buffer form by hand (https://protobuf.dev/programming-guides/encoding), as the `onnx` package is no
dependency of a reader of exams. Field numbers: onnx.proto3 of ONNX 1.16.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ichnos.errors import BundleError

_DEEPEST = 8
"""Graphs within graphs (If, Loop): ours have none, nobody needs more."""

_STANDARD = ("", "ai.onnx", "ai.onnx.ml")
"""ONNX's own operators: the two names of networks', and those of classical models, such as boosted trees."""


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

    def parts(self, *numbers: int) -> Iterator[tuple[int, memoryview]]:
        """The values of some fields that are messages or strings, with their numbers, in one pass."""
        for field, value in self:
            if field in numbers:
                if isinstance(value, int):
                    raise ValueError(f"field {field} is a number")
                yield field, value


def check_self_contained(content: bytes) -> None:
    """Raise BundleError where a model wants other files, other libraries' operators, or is no ONNX model at all."""
    try:
        graphs: list[memoryview] = []
        for field, part in _Message(memoryview(content)).parts(7, 8, 25):
            match field:
                case 7:
                    graphs.append(part)
                case 8:
                    _check_opset(part)
                case _:
                    raise BundleError(
                        "the bundle's network defines functions of its own, which ichnos does not run; refused"
                    )
        if len(graphs) != 1:
            raise ValueError(f"{len(graphs)} graphs")
        _check_graph(graphs[0], depth=0)
    except (ValueError, IndexError) as error:
        raise BundleError(f"the bundle's network is no ONNX file ({error}); take another copy of the bundle") from error


def _check_graph(graph: memoryview, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("graphs within graphs without end")
    for field, part in _Message(graph).parts(1, 5, 15):
        match field:
            case 1:
                _check_node(part, depth)
            case 5:
                _check_tensor(part)
            case _:
                _check_sparse(part)


def _check_node(node: memoryview, depth: int) -> None:
    for field, part in _Message(node).parts(5, 7):
        if field == 5:
            _check_attribute(part, depth)
        else:
            _check_domain(part)


def _check_attribute(attribute: memoryview, depth: int) -> None:
    for field, part in _Message(attribute).parts(5, 6, 10, 11, 22, 23):
        match field:
            case 5 | 10:
                _check_tensor(part)
            case 6 | 11:
                _check_graph(part, depth + 1)
            case _:
                _check_sparse(part)


def _check_sparse(sparse: memoryview) -> None:
    for _, tensor in _Message(sparse).parts(1, 2):
        _check_tensor(tensor)


def _check_opset(opset: memoryview) -> None:
    for _, domain in _Message(opset).parts(1):
        _check_domain(domain)


def _check_tensor(tensor: memoryview) -> None:
    for field, value in _Message(tensor):
        if field == 13 or (field == 14 and value != 0):
            raise BundleError("the bundle's network keeps weights in other files (external data); refused")


def _check_domain(value: memoryview) -> None:
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
