"""A key is the same in every kernel."""

import os
import subprocess
import sys

SCRIPT = """
from collections import Counter
import dataclasses, functools, math
import numpy as np, pandas as pd
from mecapy_jupyter.content_key import function_key, value_digest
{first}
WORDS = {{"steel", "oak", "glass", ("a", 1)}}
LIMITS = frozenset("abcdef")

@dataclasses.dataclass
class Section:
    width: float
    tags: set = dataclasses.field(default_factory=set)

def inertia(section):
    return section.width ** 4 / 12 if "a" in {{"a", "b", "c"}} else len(LIMITS)

def solve(load, where=np.linspace(0, 1, 5)):
    {comment}
    from scipy import linalg
    total = sum(inertia(Section(1.0)) for word in WORDS)
    return math.sqrt(total * load), pd.DataFrame(where), linalg.norm(where), Counter("ab")

fast = functools.partial(solve, where=np.ones(3))
frame = pd.DataFrame({{"a": list("xyz")}})
values = [WORDS, LIMITS, Section(1.0, {{"x", "y", "z"}}), frame, math.nan, -0.0,
          {{"b": {{1, 2}}, "a": {{"q", "r"}}}}, solve, Section]
print(function_key(solve).of({{"load": value_digest(1.0)}}), function_key(fast).code)
print(*[value_digest(value).hex() for value in values])
"""


def _printed(tmp_path, number: int, **changed: str) -> str:
    """What a new kernel prints, with its own seed of hashes, from another file."""
    file = tmp_path / f"cell_{number}.py"
    file.write_text(SCRIPT.format(**({"first": "", "comment": "pass"} | changed)))
    env = os.environ | {"PYTHONHASHSEED": str(number)}
    command = [sys.executable, str(file)]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def test_kernels_with_different_hash_seeds_agree(tmp_path):
    """Sets, dictionaries, functions with globals, classes and data frames; the file's name, other
    imports and a comment do not count.
    """
    first = _printed(tmp_path, 1)
    second = _printed(tmp_path, 2, first="import sqlite3, decimal\n\n", comment="pass  # why")
    assert first == second and len(first.split()) == 11
