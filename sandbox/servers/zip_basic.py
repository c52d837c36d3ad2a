"""An agency that publishes a snapshot as an encrypted ZIP behind basic authentication, on the days it owes one."""

import base64
import binascii
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, time
from email.utils import format_datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from sandbox.servers import workbook
from sandbox.servers.agency import Agency
from sandbox.servers.http import HttpBackend, HttpFaults, bare_application, unknown
from schemas.contract import Scope

_SHANGHAI = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class _Published:
    path: Path
    headers: dict[str, str]


class Shelf:
    """The published file, made when its day has come."""

    def __init__(self, agency: Agency) -> None:
        """Open the shelf of an agency."""
        self._agency = agency
        self._lock = threading.Lock()
        self._published: dict[str, _Published] = {}

    def newest(self) -> _Published | None:
        """The newest file; None before the county's first night."""
        with self._lock:
            stock = self._agency.stock.tonight()
            if stock is None:
                return None
            bomb = next((name for name in workbook.BOMBS if self._agency.switches.is_on(name)), None)
            version = f"{stock.digest}-{bomb}" if bomb else stock.digest
            found = self._published.get(version)
            if found is None:
                folder, contract = self._agency.folder / "shelf", self._agency.contract
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{version}.zip"
                password = str(self._agency.access.extra["zip_password"])
                rows = self._agency.stock.select(stock, Scope.FULL, None)
                if path.exists():
                    pass  # encryption is salted: made anew it would be another file
                elif bomb:
                    workbook.write_bomb(bomb, rows, contract.title_zh, password, path)
                else:
                    workbook.write(rows, contract.title_zh, password, path)
                digest = workbook.sha256_of(path)
                published_at = datetime.combine(stock.as_of, time(1), _SHANGHAI).astimezone(UTC)
                headers = {
                    "ETag": f'"{digest[:32]}"',
                    "Last-Modified": format_datetime(published_at, usegmt=True),
                    "X-As-Of": stock.as_of.isoformat(),
                    "X-Row-Count": str(rows.height),
                    "X-Content-SHA256": digest,
                }
                self._published = {version: (found := _Published(path, headers))}
            return found


def application(agency: Agency, shelf: Shelf) -> FastAPI:
    """The agency's web application."""
    app = bare_application()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.api_route("/files/latest.zip", methods=["GET", "HEAD"])
    def latest(request: Request) -> Response:
        kind, _, basic = request.headers.get("authorization", "").partition(" ")
        try:
            username, _, secret = base64.b64decode(basic, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            username = secret = ""
        if kind != "Basic" or not (agency.is_username(username) and agency.is_secret(secret)):
            return JSONResponse({"message": "未授权"}, 401, {"WWW-Authenticate": 'Basic realm="files"'})
        if complaint := unknown(set(request.query_params), set()):
            return JSONResponse({"message": complaint}, 400)
        published = shelf.newest()
        if published is None:
            return JSONResponse({"message": "尚未发布"}, 503)
        headers = dict(published.headers)
        if agency.switches.is_on("total_disagrees"):
            headers["X-Row-Count"] = str(int(headers["X-Row-Count"]) + 7)
        if agency.switches.is_on("wrong_checksum"):
            headers["X-Content-SHA256"] = "0" * 64
        if agency.switches.is_on("truncated"):
            return Response(workbook.head_of(published.path, 0.6), headers=headers, media_type="application/zip")
        return FileResponse(published.path, headers=headers, media_type="application/zip")

    return app


def backend(agency: Agency) -> HttpBackend:
    """The agency's server."""
    shelf = Shelf(agency)
    return HttpBackend(HttpFaults(application(agency, shelf), agency.switches), lambda: _prepare(shelf))


def _prepare(shelf: Shelf) -> None:
    shelf.newest()
