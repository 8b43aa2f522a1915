"""Files of the workspace and of volumes, which are folders of this machine.

https://docs.databricks.com/api/workspace/files and https://docs.databricks.com/api/workspace/workspace
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import unquote

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from cloudtune.emulation.bodies import Request, TooLarge, receive
from cloudtune.emulation.refused import Refused
from cloudtune_databricks.emulator.errors import invalid

_PAGE = 1000
_MOST_IMPORTED = 10 * 2**20
_MOST = 5 * 2**30
_VOLUME = re.compile(r"/Volumes/([^/]+)/([^/]+)/([^/]+)(?:/(.*))?")


class Volumes:
    """The volumes of Unity Catalog.

    Args:
        folder: for them; has ``CATALOG/SCHEMA/VOLUME``.
        known: their names, ``CATALOG.SCHEMA.VOLUME``; ``*`` for any.
    """

    def __init__(self, folder: Path, known: Collection[str]) -> None:
        self.folder, self._known = folder, frozenset(known)

    def make(self) -> None:
        """Make the folders of the volumes that are known."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self._known - {"*"}:
            self.folder.joinpath(*name.split(".")).mkdir(parents=True, exist_ok=True)

    def place(self, path: str) -> Path:
        """Return where a path of a volume is on this machine.

        Raises:
            Refused: there is no such volume, or the path leads out of it.
        """
        found = _VOLUME.fullmatch(path.rstrip("/"))
        parts = () if found is None else (found[4] or "").split("/")
        if found is None or any(part in (".", "..") for part in (*found.groups()[:3], *parts)) or "\0" in path:
            raise invalid(f"The path {path} is no path of a volume.")
        name = ".".join(found.groups()[:3])
        if name not in self._known and "*" not in self._known:
            raise Refused(404, "NOT_FOUND", f"Volume '{name}' does not exist.")
        root = self.folder.joinpath(*found.groups()[:3])
        root.mkdir(parents=True, exist_ok=True)
        return root.joinpath(*filter(None, parts))

    # The Files API

    def file(self, request: Request, path: str) -> Response:
        """Answer a request for a file."""
        place = self.place(unquote(path))
        if request.method == "PUT":
            return self._put(request, place, path)
        if not place.is_file():
            raise Refused(404, "NOT_FOUND", f"The file being accessed is not found: {path}")
        if request.method == "DELETE":
            place.unlink()
            return Response(status=204)
        status = place.stat()
        content = b"" if request.method == "HEAD" else place.read_bytes()
        answer = Response(
            content, 200, {"Last-Modified": http_date(status.st_mtime)}, mimetype="application/octet-stream"
        )
        answer.headers["Content-Length"] = str(status.st_size if request.method == "HEAD" else len(content))
        return answer

    def _put(self, request: Request, place: Path, path: str) -> Response:
        if place.is_dir():
            raise invalid(f"There is a directory at {path}.")
        if request.args.get("overwrite") == "false" and place.exists():
            raise Refused(409, "ALREADY_EXISTS", f"The file being created already exists: {path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.part-{id(request)}")
        try:
            with part.open("wb") as file:
                receive(request.environ, file, _MOST)
            part.replace(place)
        except TooLarge:
            raise invalid("A file may have 5 GiB at most.") from None
        finally:
            part.unlink(missing_ok=True)
        return Response(status=204)

    def directory(self, request: Request, path: str) -> Response:
        """Answer a request for a directory."""
        place = self.place(unquote(path))
        if request.method == "PUT":
            place.mkdir(parents=True, exist_ok=True)
            return Response(status=204)
        if not place.is_dir():
            raise Refused(404, "NOT_FOUND", f"The directory being accessed is not found: {path}")
        if request.method == "DELETE":
            if any(place.iterdir()):
                raise invalid(f"The directory is not empty: {path}")
            place.rmdir()
            return Response(status=204)
        if request.method == "HEAD":
            return Response(status=200)
        names = sorted(each.name for each in place.iterdir() if ".part-" not in each.name)
        begin = int(request.args.get("page_token") or 0)
        size = min(int(request.args.get("page_size") or _PAGE), _PAGE)
        more = {"next_page_token": str(begin + size)} if len(names) > begin + size else {}
        found = [
            self._entry(place / name, f"{unquote(path).rstrip('/')}/{name}") for name in names[begin : begin + size]
        ]
        contents = {"contents": [each for each in found if each]} if found else {}
        return Response(json.dumps({**contents, **more}), mimetype="application/json")

    @staticmethod
    def _entry(place: Path, path: str) -> dict[str, object]:
        try:
            status = place.stat()
        except FileNotFoundError:  # removed meanwhile
            return {}
        kind = {"is_directory": True} if place.is_dir() else {"is_directory": False, "file_size": status.st_size}
        return {"path": path, "name": place.name, "last_modified": int(status.st_mtime * 1000), **kind}


class WorkspaceFiles:
    """The files of the workspace.

    Args:
        folder: for them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, path: str) -> Path:
        """Return where a path of the workspace is on this machine, as programs and its API know it.

        Raises:
            Refused: it is not absolute, or leads out.
        """
        parts = path.removeprefix("/Workspace").strip("/").split("/")
        if not path.startswith("/") or ".." in parts or "\0" in path:
            raise invalid(f"Path ({path}) doesn't start with '/' or leads out of the workspace")
        return self._folder.joinpath(*parts)

    def answer(self, operation: str, request: Request) -> object:
        """Answer a request to the Workspace API."""
        said = request.args if request.method == "GET" else (request.get_json(silent=True) or request.form)
        path = str(said.get("path") or "")
        known: dict[str, Callable[[Path], object]] = {
            "mkdirs": self._make,
            "import": lambda place: self._import(place, path, said, request),
            "get-status": lambda place: self._status(place, path),
            "export": lambda place: self._export(place, path),
            "delete": lambda place: self._delete(place, path),
        }
        if operation not in known:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for 'workspace/{operation}'")
        return known[operation](self.place(path))

    @staticmethod
    def _make(place: Path) -> object:
        place.mkdir(parents=True, exist_ok=True)
        return {}

    @staticmethod
    def _import(place: Path, path: str, said: object, request: Request) -> object:
        given = said.get("content") if hasattr(said, "get") else None
        try:
            content = request.files["content"].read() if given is None else base64.b64decode(str(given), validate=True)
        except (KeyError, binascii.Error):
            raise invalid("content must be base64") from None
        if len(content) > _MOST_IMPORTED:
            raise Refused(
                400,
                "MAX_NOTEBOOK_SIZE_EXCEEDED",
                f"File size imported is ({len(content)} bytes), exceeded max size (10485760 bytes)",
            )
        overwrite = said.get("overwrite") if hasattr(said, "get") else None
        if place.exists() and str(overwrite).lower() != "true":
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Path ({path}) already exists.")
        if not place.parent.is_dir():
            raise Refused(
                404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder ({path.rpartition('/')[0]}) does not exist."
            )
        place.write_bytes(content)
        return {"object_id": abs(hash(path))}

    def _status(self, place: Path, path: str) -> object:
        self._need(place, path)
        return {"path": path, "object_type": "DIRECTORY" if place.is_dir() else "FILE", "object_id": abs(hash(path))}

    def _export(self, place: Path, path: str) -> object:
        self._need(place, path)
        return {"content": base64.b64encode(place.read_bytes()).decode()}

    def _delete(self, place: Path, path: str) -> object:
        self._need(place, path)
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink()
        return {}

    @staticmethod
    def _need(place: Path, path: str) -> None:
        if not place.exists():
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")
