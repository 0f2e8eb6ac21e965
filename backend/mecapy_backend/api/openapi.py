"""The parts of the OpenAPI document that FastAPI cannot know: it leaves their types to us."""

from __future__ import annotations

from typing import Any

OpenApiResponses = dict[int | str, dict[str, Any]]
OpenApiExtra = dict[str, Any]
