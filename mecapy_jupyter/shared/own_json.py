"""The functions of `json` as they were when MecaPy was imported, for what runs in a process of the
user, who may replace those of the module: a replacement that prints would be called for each print.
"""

from __future__ import annotations

from json import JSONEncoder, dumps, loads

__all__ = ["JSONEncoder", "dumps", "loads"]
