"""Bytes that carry their own checksum: a file is either whole or known to be damaged."""

from __future__ import annotations

import hashlib

_DIGEST = 64


def seal(payload: bytes, magic: bytes) -> bytes:
    """Return a payload behind its magic line and its SHA-256.

    Args:
        payload: Any bytes.
        magic: What kind of file it is, ending in a newline.
    """
    return magic + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def unseal(content: bytes, magic: bytes) -> bytes | None:
    """Return the payload that ``seal`` was given, or None when a byte of the file is not what it was.

    Args:
        content: The file.
        magic: What kind of file it must be.
    """
    start = len(magic) + _DIGEST + 1
    payload = content[start:]
    return payload if content[:start] == seal(payload, magic)[:start] else None
