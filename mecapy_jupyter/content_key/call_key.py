"""The key of a call: the function's content once, then each call by its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from mecapy_jupyter.content_key import content, packages
from mecapy_jupyter.shared import version

_VERSION = b"1"  # of what the digests cover: another number, other keys
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class FunctionKey:
    """`code`: the digest of the function and of all that it uses, as hexadecimal digits.
    `versions`: of the packages that it uses, with what they require.
    """

    code: str
    versions: Mapping[str, str]
    python: str

    def of(self, arguments: Mapping[str, bytes], also: bytes = b"") -> str:
        """The key of a call. `arguments`: name → `value_digest`; their order does not count.
        `also`: what else the result depends on.
        """
        named = "\0".join(f"{name}={value}" for name, value in sorted(self.versions.items()))
        parts = [_VERSION, self.code.encode(), self.python.encode(), named.encode(), also]
        for name, digest in sorted(arguments.items()):
            parts += name.encode(), digest
        key = blake3()
        for part in parts:
            key.update(len(part).to_bytes(8, "big"))
            key.update(part)
        return key.hexdigest(length=_KEY_BYTES)


def function_key(fn: Callable[..., Any], there: Mapping[str, str] | None = None) -> FunctionKey:
    """Raises NoContentKey if the function uses something without a stable content. `there`:
    versions of packages where the function will run; those here count for the others.
    """
    digest = content.Content()
    digest.add(fn)
    versions = packages.versions(sorted(digest.modules), there or {})
    return FunctionKey(digest.digest().hex(), versions, version.minor())


def value_digest(value: object, name: str = "") -> bytes:
    """Raises NoContentKey; its text begins with `name`."""
    digest = content.Content()
    digest.add(value, name)
    versions = packages.versions(sorted(digest.modules), {})
    if versions:  # a function or a class among the values
        digest.add(versions)
    return digest.digest()
