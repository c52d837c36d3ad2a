"""What an answer costs: look-ups beside a bare FastAPI endpoint on the same pool, many at once. The log: ``benchmarks.log``.

    python -m benchmarks.sharing [--requests 4000] [--clients 50]
    python -m benchmarks.sharing --compare 100000

Runs on the pool of the configured hub, after a night. Bare and full alternate in one run on one machine, so their ratio holds where
the figures do not. It adds a client of its own and revokes it at the end; the log keeps its entries.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass

import orjson
import psutil
import sqlalchemy as sa

from hub.postgres import free_port
from hub.settings import get_settings
from sharing import secret, signing_keys
from sharing.signing_keys import Use
from warehouse import clients, database

_PURPOSE = "roster_monitoring"
_ASKED = f"purpose={_PURPOSE}&attributes=person.name&attributes=person.birth_date&attributes=person.area_code"


@dataclass(frozen=True)
class Run:
    """One run: requests a second, and milliseconds of the median and of the 95th in a hundred."""

    per_s: float
    p50_ms: float
    p95_ms: float


async def _worker(port: int, paths: list[str], headers: str, taken: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while paths:
        path = paths.pop()
        began = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an answer was not 200 but {head[:12]!r}")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        taken.append(time.perf_counter() - began)
    writer.close()


async def _load(port: int, paths: list[str], headers: str, workers: int) -> Run:
    taken: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_worker(port, paths, headers, taken) for _ in range(workers)))
    whole = time.perf_counter() - began
    cuts = statistics.quantiles(taken, n=100)
    return Run(len(taken) / whole, cuts[49] * 1000, cuts[94] * 1000)


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("a server did not come up")


def _token(base: str, client_id: str, made: str) -> str:
    form = f"grant_type=client_credentials&client_id={client_id}&client_secret={made}".encode()
    with urllib.request.urlopen(f"{base}/oauth2/token", form, timeout=30) as answer:
        return str(orjson.loads(answer.read())["access_token"])


def _post(url: str, token: str, body: object) -> float:
    request = urllib.request.Request(url, orjson.dumps(body), {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - began


def _exported(base: str, token: str, asked: object) -> tuple[int, float, float]:
    """Persons of an export, seconds it takes, and seconds of the next round, in which nothing changed."""
    bearer = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{base}/v1/exports", orjson.dumps(asked), {**bearer, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        export_id = orjson.loads(answer.read())["export_id"]
    since, told, took = "0", [], []
    for _ in range(2):
        began = time.perf_counter()
        rows = urllib.request.Request(f"{base}/v1/exports/{export_id}/rows?_since={since}", headers=bearer)
        with urllib.request.urlopen(rows, timeout=600) as answer:
            last = orjson.loads(list(answer)[-1])
        took.append(time.perf_counter() - began)
        told.append(int(last["persons"]))
        since = last["since"]
    return told[0], took[0], took[1]


def _sent(base: str, token: str, method: str, path: str, body: bytes | None = None, media: str = "application/json") -> tuple[bytes, float]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": media}
    began = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(base + path, body, headers, method=method), timeout=600) as answer:
        return answer.read(), time.perf_counter() - began


def _bare(engine: sa.Engine, numbers: list[str]) -> float:
    """Seconds of the same columns of the same persons, read without policy and log."""
    query = sa.text(
        "SELECT p.person_id, p.name, p.area_code, m.enrolment_status FROM unnest(CAST(:numbers AS text[])) AS a(number)"
        " JOIN core.person p ON p.resident_id = a.number LEFT JOIN identity.link l ON l.person_id = p.person_id"
        " LEFT JOIN core.medical_insurance m ON m.record_id = l.record_id"
    )
    began = time.perf_counter()
    with engine.connect() as connection:
        for start in range(0, len(numbers), 10_000):
            connection.execute(query, {"numbers": numbers[start : start + 10_000]}).all()
    return time.perf_counter() - began


def _cpu_s(service: int, engine: sa.Engine) -> float:
    """Seconds of CPU that the service and its connections' backends have used; nothing of a PostgreSQL on another machine."""
    with engine.connect() as connection:
        backends = connection.scalars(sa.text("SELECT pid FROM pg_stat_activity WHERE application_name = 'hub sharing'")).all()
    used = 0.0
    for pid in (service, *backends):
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            used += times.user + times.system
    return used


def _compared(base: str, client_id: str, made: str, service: int, engine: sa.Engine, numbers: list[str], path: str) -> None:
    """A comparison as a job, from the first byte of the list to the last of the answers, beside bare reading; look-ups go on meanwhile."""
    token = _token(base, client_id, made)
    bare = min(_bare(engine, numbers) for _ in range(3))
    asked = {"purpose": _PURPOSE, "attributes": ["person.name", "person.area_code"], "questions": ["insured"], "output": "ndjson"}
    job_id = orjson.loads(_sent(base, token, "POST", "/v1/compare-jobs", orjson.dumps(asked))[0])["job_id"]
    listed = ("ref,resident_id\r\n" + "".join(f"row-{n},{x}\r\n" for n, x in enumerate(numbers))).encode()
    cpu_s, began = _cpu_s(service, engine), time.perf_counter()
    _sent(base, token, "PUT", f"/v1/compare-jobs/{job_id}/input", listed, "text/csv")
    sent = time.perf_counter()
    looked: list[float] = []
    while (job := orjson.loads(_sent(base, token, "GET", f"/v1/compare-jobs/{job_id}")[0]))["state"] in ("queued", "running"):
        looked.append(_sent(base, token, "GET", path)[1] * 1000)
        time.sleep(0.05)
    done, cpu_s = time.perf_counter(), _cpu_s(service, engine) - cpu_s
    if job["state"] != "done":
        raise RuntimeError(f"the job is {job['state']}: {job['problem']}")
    size = len(_sent(base, _token(base, client_id, made), "GET", f"/v1/compare-jobs/{job_id}/output")[0])
    fetched = time.perf_counter()
    rows = len(numbers)
    print(
        f"compare as a job: {rows:,} rows, {job['told']:,} told, in {fetched - began:.1f} s: sent {sent - began:.1f}, answered and written down {done - sent:.1f}"
        f" ({rows / (done - sent):,.0f} rows/s), fetched {fetched - done:.1f} ({size / 1e6:.1f} MB)"
    )
    print(
        f"the same columns read bare: {bare:.2f} s; the job is {(done - sent) / bare:.1f} × that; CPU of service and database: {cpu_s:.1f} s"
    )
    print(f"look-ups meanwhile: {len(looked)}, p50 {statistics.median(looked):.0f} ms, slowest {max(looked):.0f} ms")
    _sent(base, token, "DELETE", f"/v1/compare-jobs/{job_id}")


def _unlike(base: str, token: str, theirs: list[str]) -> tuple[float, int]:
    """How well the time of a refusal tells a person who is there from one who is not, and how often each was asked of.

    The probability that somebody who is there, and not the caller's, takes longer than nobody; 0.5 = it tells nothing.
    """
    from scipy.stats import mannwhitneyu

    headers = {"Authorization": f"Bearer {token}"}
    took: dict[bool, list[float]] = {True: [], False: []}
    for person in theirs:
        for is_there, named in (
            ((True, person), (False, str(uuid.uuid4()))) if secrets.randbelow(2) else ((False, str(uuid.uuid4())), (True, person))
        ):
            began = time.perf_counter()
            try:
                urllib.request.urlopen(urllib.request.Request(f"{base}/v1/persons/{named}?{_ASKED}", headers=headers), timeout=30)
            except urllib.error.HTTPError as error:
                error.read()
                if error.code != 404:
                    raise
            took[is_there].append(time.perf_counter() - began)
    statistic = mannwhitneyu(took[True], took[False]).statistic
    return float(statistic) / len(theirs) ** 2, len(theirs)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", type=int, metavar="N", help="only a comparison of so many persons as a job")
    given = parser.parse_args()
    settings = get_settings()
    database.migrate(settings)
    signing_keys.held(settings, Use.TOKENS)
    ports = free_port(), free_port()
    environment = {
        **os.environ,
        "HUB_SHARING_PORT": str(ports[1]),
        "HUB_SHARING_REQUESTS_A_MINUTE": "100000000",
        "HUB_SHARING_MISSES_AN_HOUR": "100000000",
    }
    servers = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.bare", str(ports[0])], env=environment),
        subprocess.Popen([sys.executable, "-m", "sharing"], env=environment),
    ]
    client_id, made = f"benchmark-{secrets.token_hex(4)}", secret.make()
    try:
        base = f"http://127.0.0.1:{ports[1]}"
        _wait(f"http://127.0.0.1:{ports[0]}/openapi.json")
        _wait(f"{base}/healthz")
        with database.engine(settings).begin() as connection:
            clients.add(connection, client_id, department="civil_affairs", title="benchmark", purposes=None)
            clients.add_secret(connection, client_id, secret.hashed(made), keep_former_s=0)
            rows = connection.execute(
                sa.text(
                    "SELECT person_id::text, resident_id FROM core.person WHERE area_code LIKE '421022%' AND birth_date < '2010-01-01'"
                    " AND (NOT :by_number OR resident_id ~ '^[0-9]{17}[0-9X]$') ORDER BY hashtext(person_id::text) LIMIT :most"
                ),
                {"by_number": given.compare is not None, "most": given.compare or 100_000},
            ).all()
            persons = connection.scalar(sa.text("SELECT count(*) FROM core.person"))
        ids = [r[0] for r in rows]
        if given.compare is not None:
            print(f"{persons:,} persons")
            _compared(
                base, client_id, made, servers[1].pid, database.engine(settings), [r[1] for r in rows], f"/v1/persons/{ids[0]}?{_ASKED}"
            )
            return
        print(f"{persons:,} persons · {given.requests} requests · {given.clients} at one time")
        figures: dict[str, list[Run]] = {"bare": [], "full": []}
        for n in range(given.rounds + 1):
            chosen = [ids[secrets.randbelow(len(ids))] for _ in range(given.requests)]
            token = _token(base, client_id, made)
            bare = asyncio.run(_load(ports[0], [f"/persons/{i}" for i in chosen], "", given.clients))
            full = asyncio.run(
                _load(ports[1], [f"/v1/persons/{i}?{_ASKED}" for i in chosen], f"Authorization: Bearer {token}\r\n", given.clients)
            )
            if n:  # the first round warms up
                figures["bare"].append(bare)
                figures["full"].append(full)
        for name, runs in figures.items():
            middle = sorted(runs, key=lambda r: r.per_s)[len(runs) // 2]
            print(f"{name}: {middle.per_s:,.0f}/s · p50 {middle.p50_ms:.1f} ms · p95 {middle.p95_ms:.1f} ms")
        ratios = sorted(f.per_s / b.per_s for b, f in zip(figures["bare"], figures["full"], strict=True))
        print(f"full ÷ bare: {ratios[len(ratios) // 2]:.2f}")
        token = _token(base, client_id, made)
        numbers = [r[1] for r in rows if r[1]][:10_000]
        body = {
            "purpose": _PURPOSE,
            "attributes": ["person.name"],
            "questions": ["insured"],
            "applicants": [{"resident_id": n} for n in numbers],
        }
        took = min(_post(f"{base}/v1/persons/compare", token, body) for _ in range(3))
        print(f"compare: {len(numbers):,} persons in {took:.2f} s ({took / len(numbers) * 1e6:,.0f} µs each)")
        named = ids[:10_000]
        asked = {"purpose": _PURPOSE, "attributes": ["person.name"], "questions": ["insured"]}
        alike = min(
            _post(f"{base}/v1/persons/compare", token, {**asked, "applicants": [{"person_id": i} for i in named]}) for _ in range(3)
        )
        watched = {**asked, "kind": "person", "subjects": [{"id": i} for i in named]}
        looked = min(_post(f"{base}/v1/subscriptions", token, watched) for _ in range(3))
        print(f"subscribe, as each look: {len(named):,} persons in {looked:.2f} s, {looked / alike:.2f} × the comparison of the same by id")
        try:
            told, whole, again = _exported(base, token, asked)
        except urllib.error.HTTPError as error:
            if error.code != 413:
                raise
            print("export: this pool holds more persons than the grant exports")
        else:
            print(
                f"export: {told:,} persons in {whole:.2f} s, {whole / told / (alike / len(named)):.2f} × the comparison of as many;"
                f" again, nothing changed: {again / whole:.2f} × that"
            )
        with database.engine(settings).connect() as connection:
            query = "SELECT person_id::text FROM core.person WHERE birth_date > '2016-01-01' ORDER BY hashtext(person_id::text) LIMIT 400"
            children = list(connection.scalars(sa.text(query)))
        told_apart, n = _unlike(base, _token(base, client_id, made), children)
        print(
            f"refusals: somebody who is there takes longer than nobody with probability {told_apart:.2f} (0.5 = cannot be told), {n} each"
        )
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(20)
        with database.engine(settings).begin() as connection:
            clients.revoke(connection, client_id)


if __name__ == "__main__":
    main()
