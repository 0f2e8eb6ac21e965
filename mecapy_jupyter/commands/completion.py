"""`mecapy completion SHELL`: a script for bash, zsh or fish that completes commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import cast

Words = Mapping[str, Sequence[str]]
"""For "", "user", "user add", …: the commands and options that may follow."""

_BASH = """_mecapy() {{
  local line="${{COMP_WORDS[*]:1:COMP_CWORD-1}}" words
  case "$line" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
  [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o filenames -F _mecapy mecapy
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for `source <(mecapy completion bash)`."""
    words = _words(parser)
    if shell == "fish":
        return _fish(words)
    # the longest first: the first that fits is taken
    cases = [
        f'    "{path}"{"*" if path else ""}) words="{" ".join(following)}" ;;'
        for path, following in sorted(words.items(), reverse=True)
    ]
    bash = _BASH.format(cases="\n".join(cases))
    return _ZSH + bash if shell == "zsh" else bash


def _fish(words: Words) -> str:
    lines = ["complete -c mecapy"]
    for path, following in sorted(words.items()):
        seen = " ".join(f"; and __fish_seen_subcommand_from {one}" for one in path.split())
        when = seen.removeprefix("; and ") or "__fish_use_subcommand"
        lines.append(f"complete -c mecapy -n '{when}' -a '{' '.join(following)}'")
    return "\n".join(lines) + "\n"


def _words(parser: argparse.ArgumentParser, path: str = "") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {path: []}
    # argparse has no other way to ask for them
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]
        if action.help == argparse.SUPPRESS:
            continue
        found[path] += [word for word in action.option_strings if word.startswith("--")]
        if isinstance(choices := cast(object, action.choices), dict):  # of commands
            below = cast("dict[str, argparse.ArgumentParser]", choices)
            found[path] += below
            for name, one in below.items():
                found |= _words(one, f"{path} {name}".strip())
    return found
