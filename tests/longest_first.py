"""The longest files of tests begin first: what is shared out file by file ends with short ones, and
no process waits long for another's last. As measured by seconds of processor and by seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

LONGEST = (
    "security/test_memory.py",  # the first two bring others along (`together`)
    "browser/test_real_cell.py",
    "browser/test_cancel.py",
    "worker/test_hostile.py",
    "fleet/test_embedded_growth.py",
    "faults/test_store.py",
    "faults/test_worker.py",
    "stack/test_up.py",
    "stack/test_endings.py",
    "faults/test_leaving.py",
    "security/test_strict.py",
    "notebooks/test_demos.py",
    "faults/test_cancel.py",
    "security/test_leaks.py",
    "faults/test_client.py",
    "faults/test_redis.py",
    "security/test_proof.py",
    "stack/test_own_tasks.py",
    "stack/test_services.py",
    "security/test_odd_words.py",
    "faults/test_network_used.py",
    "magic/test_coming_back.py",
    "browser/test_page.py",
    "worker/test_packages.py",
    "backend/test_api_schema.py",
    "faults/test_clock.py",
    "stack/test_doctor.py",
    "worker/test_run.py",
    "faults/test_hygiene.py",
    "faults/test_gateway.py",
    "extension/test_routes.py",
    "security/test_direct_uploads.py",
    "data/test_direct.py",
    "browser/test_live_block.py",
    "worker/test_lifetime.py",
    "faults/test_postgres.py",
    "client/test_map.py",
    "worker/test_stop.py",
    "security/test_stolen_token.py",
    "faults/test_disk.py",
    "worker/test_leaving_workers.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
