"""The benchmarks are never run as tests, but they must start: each of their modules is imported."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from tests import bench


@pytest.mark.parametrize(
    "name",
    [
        found.name
        for found in pkgutil.iter_modules(bench.__path__)
        if found.name not in ("__main__", "peers")
    ],
)
def test_each_part_of_the_bench_can_start(name: str) -> None:
    assert importlib.import_module(f"tests.bench.{name}").__doc__
