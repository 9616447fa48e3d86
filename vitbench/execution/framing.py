"""What goes through the pipe from a child: messages with a kind and a checksum, and how others' bytes are told apart.

The code of a model runs in the child, and may write to any of its file descriptors. A message is framed as
`multiprocessing.connection` does it: four bytes with the length, or -1 and eight of them, network order. What is framed
begins with the kind, one byte, and the CRC-32 of the content, four.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from multiprocessing.connection import Connection

__all__ = ["LARGEST", "CutShortError", "Incoming", "NotOursError", "packed"]

LARGEST = 256 << 20
"""Bytes of a message: a plan of 10,000 cells has 100 MB. No child of ours sends more."""
_CHUNK = 1 << 20
_SHORT, _LONG = struct.Struct("!i"), struct.Struct("!q")
_HEAD = struct.Struct("!cI")


class NotOursError(Exception):
    """Bytes came that no child of ours sends."""


class CutShortError(NotOursError):
    """Nothing comes any more, in the middle of a message: the child was ended, or something else wrote to the pipe."""


def packed(kind: bytes, content: bytes) -> bytes:
    """Return what `Connection.send_bytes` is given.

    Raises:
        ValueError: it is too large.
    """
    if len(content) > LARGEST - _HEAD.size:
        raise ValueError(f"its answer has {len(content):,} bytes; at most {LARGEST:,} can be sent")
    return _HEAD.pack(kind, zlib.crc32(content)) + content


class Incoming:
    """The end of the pipe where messages come out."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._buffer = bytearray()

    def read(self) -> list[tuple[bytes, bytes]]:
        """Return the messages, kind and content, that are whole by now; call it where the pipe is ready to be read.

        It does not wait for the rest of one.

        Raises:
            EOFError: nothing comes any more.
            CutShortError: the same, in the middle of a message.
            NotOursError: something else wrote to the pipe.
        """
        if sys.platform == "win32":  # where no part of a message can be read alone
            return [_unpacked(self.connection.recv_bytes(LARGEST))]
        content = os.read(self.connection.fileno(), _CHUNK)
        if not content and self._buffer:
            raise CutShortError
        if not content:
            raise EOFError
        self._buffer += content
        found = []
        while (message := self._next()) is not None:
            found.append(_unpacked(message))
        return found

    def _next(self) -> bytes | None:
        """Take the first whole message off what has come."""
        start, buffer = _SHORT.size, self._buffer
        if len(buffer) < start:
            return None
        [length] = _SHORT.unpack_from(buffer)
        if length == -1:
            start += _LONG.size
            if len(buffer) < start:
                return None
            [length] = _LONG.unpack_from(buffer, _SHORT.size)
        if not _HEAD.size <= length <= LARGEST:
            raise NotOursError
        if len(buffer) < start + length:
            return None
        message = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return message


def _unpacked(message: bytes) -> tuple[bytes, bytes]:
    if len(message) < _HEAD.size:
        raise NotOursError
    kind, checksum = _HEAD.unpack_from(message)
    content = message[_HEAD.size :]
    if zlib.crc32(content) != checksum:
        raise NotOursError
    return kind, content
