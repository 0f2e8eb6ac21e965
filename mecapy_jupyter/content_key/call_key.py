"""The key of a call: the function's content once, then each call by its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from mecapy_jupyter.content_key import content, packages, state_content
from mecapy_jupyter.shared import version

_VERSION = b"2"  # of what the digests cover: another number, other keys
_KEY_BYTES = 16
_PYTHON = version.minor().encode()


@dataclass(frozen=True, slots=True)
class FunctionKey:
    """`code`: the digest of the function and of all that it uses, as hexadecimal digits.
    `versions`: of the packages that it uses, with what they require. `head`: all that every call
    has in common.
    """

    code: str
    versions: Mapping[str, str]
    head: bytes

    def of(self, arguments: Mapping[str, bytes], also: bytes = b"") -> str:
        """The key of a call. `arguments`: name → `value_digest`; their order does not count.
        `also`: what else the result depends on.
        """
        named = [part for name in sorted(arguments) for part in (name.encode(), arguments[name])]
        return blake3(_joined([self.head, also, *named])).hexdigest(length=_KEY_BYTES)


def _joined(parts: Sequence[bytes]) -> bytes:
    """The parts with their lengths, so that different sequences never give the same bytes."""
    return b"".join([b"%d:" % len(part) + part for part in parts])


def function_key(
    fn: Callable[..., Any],
    there: Mapping[str, str] | None = None,
    added: Sequence[str] = (),
    prelude: Mapping[str, Any] | None = None,
) -> FunctionKey:
    """Raises NoContentKey if the function uses something without a stable content. `there`:
    versions of packages where the function will run; those here count for the others. `added`:
    packages that the call adds, as it names them. `prelude`: what travels with it besides.
    """
    digest = content.Content()
    digest.add(fn)
    code = digest.digest()
    versions = packages.versions(sorted(digest.modules), there or {})
    named = [f"{name}={each}".encode() for name, each in versions.items()]
    around = content.Content()
    around.add(sorted(added))
    state_content.add(around, prelude or {}, state_content.SHOWN)
    head = _joined([_VERSION, code, _PYTHON, around.digest(), *named])
    return FunctionKey(code.hex(), versions, head)


def value_digest(value: object, name: str = "") -> bytes:
    """Raises NoContentKey; its text begins with `name`."""
    if (of_scalar := content.of_scalar(value)) is not None:
        return of_scalar
    digest = content.Content()
    digest.add(value, name)
    if digest.modules:  # a function or a class is among the values
        digest.add(packages.versions(sorted(digest.modules), {}))
    return digest.digest()
