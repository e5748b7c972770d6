"""A .tflite file with some of its outputs alone: what only the others need is left out, and takes no time."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_SUBGRAPHS = 2  # fields of a Model
_OUTPUTS, _OPERATORS = 2, 3  # of a SubGraph
_READS, _WRITES = 1, 2  # of an Operator


def pruned(data: bytes, outputs: Sequence[int]) -> bytes:
    """The network in ``data`` with only its ``outputs``, by number, and the operators that these need.

    Weights are left where they are, since nothing reads them then. Raises ValueError for what is no such file.
    """
    if data[4:8] != b"TFL3":
        raise ValueError("it is no .tflite file")
    changed = bytearray(data)
    try:
        graphs = _vector(data, _field(data, _at(data, 0), _SUBGRAPHS))
        if len(graphs) != 1:
            raise ValueError(f"it has {len(graphs)} graphs, expected 1")
        graph = _at(data, graphs[0])
        at_outputs, at_operators = (_field(data, graph, n) for n in (_OUTPUTS, _OPERATORS))
        every = _numbers(data, at_outputs)
        wanted = [every[number] for number in outputs]
        slots = _vector(data, at_operators)
        kept = _needed([_ends(data, _at(data, slot)) for slot in slots], wanted)
    except (struct.error, IndexError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    _write_numbers(changed, at_outputs, wanted)
    first = _at(data, at_operators) + 4
    struct.pack_into("<I", changed, first - 4, len(kept))
    for place, number in enumerate(kept):  # offsets count from where they stand
        struct.pack_into("<I", changed, first + 4 * place, _at(data, slots[number]) - (first + 4 * place))
    return bytes(changed)


def _needed(operators: Sequence[tuple[list[int], list[int]]], wanted: Sequence[int]) -> list[int]:
    """The numbers of those ``operators`` (what each reads and writes) that ``wanted`` follows from."""
    needed, kept = set(wanted), []
    for number in range(len(operators) - 1, -1, -1):
        reads, writes = operators[number]
        if needed.intersection(writes):
            needed.update(reads)
            kept.append(number)
    return kept[::-1]


def _ends(data: bytes, operator: int) -> tuple[list[int], list[int]]:
    reads, writes = (_numbers(data, _field(data, operator, n)) for n in (_READS, _WRITES))
    return reads, writes


def _at(data: bytes | bytearray, slot: int) -> int:
    """Where what the offset in ``slot`` points to lies."""
    return slot + struct.unpack_from("<I", data, slot)[0]


def _field(data: bytes, table: int, number: int) -> int:
    """Where the field of a table lies; every one that is looked at must be there."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, layout)[0]:
        raise IndexError(f"field {number} is missing")
    offset = struct.unpack_from("<H", data, layout + 4 + 2 * number)[0]
    if not offset:
        raise IndexError(f"field {number} is missing")
    return table + offset


def _vector(data: bytes, field: int) -> list[int]:
    """Where the elements, 4 bytes each, of the vector in ``field`` lie."""
    start = _at(data, field)
    length = struct.unpack_from("<I", data, start)[0]
    if start + 4 + 4 * length > len(data):
        raise IndexError("a list is longer than the file")
    return [start + 4 + 4 * k for k in range(length)]


def _numbers(data: bytes, field: int) -> list[int]:
    return [struct.unpack_from("<i", data, place)[0] for place in _vector(data, field)]


def _write_numbers(changed: bytearray, field: int, numbers: Sequence[int]) -> None:
    start = _at(changed, field)
    struct.pack_into(f"<I{len(numbers)}i", changed, start, len(numbers), *numbers)
