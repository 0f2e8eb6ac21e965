"""A package index in a folder, with wheels and source distributions made here."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


class LocalIndex:
    """`url` is a setting's value."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "index"
        self.url = self.folder.as_uri()
        self.folder.mkdir()

    def wheel(self, name: str, version: str, files: Mapping[str, str]) -> None:
        about = f"{name}-{version}.dist-info"
        files = {
            **files,
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
                archive.writestr(path, text)
        self._offer(name, f"{name}-{version}-py3-none-any.whl", content.getvalue())

    def source(self, name: str, version: str, setup: str) -> None:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            entry = tarfile.TarInfo(f"{name}-{version}/setup.py")
            entry.size = len(setup)
            archive.addfile(entry, io.BytesIO(setup.encode()))
        self._offer(name, f"{name}-{version}.tar.gz", content.getvalue())

    def _offer(self, name: str, file: str, content: bytes) -> None:
        page = self.folder / name / "index.html"
        page.parent.mkdir(exist_ok=True)
        (page.parent / file).write_bytes(content)
        links = page.read_text() if page.exists() else ""
        digest = hashlib.sha256(content).hexdigest()
        page.write_text(f'{links}<a href="{file}#sha256={digest}">{file}</a>\n')


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.decode().rstrip('=')}"
