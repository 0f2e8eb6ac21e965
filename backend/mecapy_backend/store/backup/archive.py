"""The folder that holds a backup: a manifest, one file for each table, and the blobs by digest.

    manifest.json            what this backup is; written last, so a broken-off one is none
    database-…/TABLE.copy    the rows, in PostgreSQL's COPY text
    blobs/OWNER/ab/DIGEST    as a file store keeps them

A later backup into the same folder copies only the blobs that are new.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.shared.version import __version__
from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import as_object
from mecapy_jupyter.wire.shape import Shape

FORM = 1


@dataclass(frozen=True, slots=True)
class BlobRow:
    owner: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest(Shape):
    """`schema`: the revision of the tables. `tables`: the columns of each, in the order in which
    they can be filled. `database`: the folder of their rows. `form`: how all of it is laid out.
    """

    database: str
    schema: str
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    version: str = __version__
    taken_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    form: int = FORM


class Archive:
    """A backup's folder, readable by its user alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = FileStore(folder / "blobs")

    @property
    def _manifest(self) -> Path:
        return self.folder / "manifest.json"

    def prepare(self, *, replace: bool) -> None:
        """Make the folder, or take one that is empty or, with `replace`, holds a backup."""
        if self.folder.is_dir() and any(self.folder.iterdir()):
            if not self._manifest.exists() and not (self.folder / "blobs").is_dir():
                raise ConfigError(f"{self.folder} is not empty, and holds no backup: name another")
            if not replace:
                raise ConfigError(
                    f"{self.folder} holds a backup: `--replace` brings it up to date (blobs that "
                    f"are in it are not copied again), or name another folder"
                )
        own_folder(self.folder, setting="DIR")

    def new_database(self) -> Path:
        """The folder for the rows of a new backup, empty."""
        folder = self.folder / f"database-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        return own_folder(folder, setting="DIR")

    def finish(self, manifest: Manifest) -> None:
        """After this the folder holds this backup, and no rows of an earlier one."""
        draft = self._manifest.with_suffix(".new")
        draft.write_text(json.dumps(manifest.as_json(), indent=1) + "\n")
        os.sync()  # all of it, before the manifest says that it is there
        draft.replace(self._manifest)
        for folder in self.folder.glob("database-*"):
            if folder.name != manifest.database:
                shutil.rmtree(folder)

    async def all_blobs(self) -> list[BlobRow]:
        everything = await FileStore(self.blobs.root).listed(sys.maxsize)
        return [BlobRow(blob.owner, blob.digest, blob.size) for blob in everything]

    def read(self) -> Manifest:
        """Raises ConfigError where there is no backup that this version can read."""
        try:
            data = as_object(json.loads(self._manifest.read_text()))
        except (OSError, ValueError) as problem:
            raise ConfigError(
                f"{self.folder} holds no whole backup ({problem}): name the folder that `mecapy "
                f"backup` finished"
            ) from None
        if fields.integer(data, "form") != FORM:
            raise ConfigError(
                f"the backup in {self.folder} was made by MecaPy {fields.text(data, 'version')} in "
                f"a form that this version cannot read: restore it with that version"
            )
        return Manifest.from_json(data)
