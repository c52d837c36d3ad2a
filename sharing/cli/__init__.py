"""`hub serve`, `hub client`, `hub policy`, `hub audit`, `hub recall`, `hub subscription`, `hub dci`, `hub job`, `hub emergency`, `hub consent`, `hub key`: the sharing side of the command line."""

import sys

import typer

from hub.settings import get_settings
from sharing.cli import audit, client, consent, dci, emergency, job, key, policy, recall, subscription


def serve() -> None:
    """Serve departments over HTTP, in the foreground, until interrupted. `hub up` starts it in the background."""
    from sharing import address
    from sharing.__main__ import serve as run

    settings = get_settings()
    print(f"共享服务 sharing: {address.audience(settings)}/openapi.json", file=sys.stderr)
    run(settings, host="127.0.0.1")


def register(app: typer.Typer) -> None:
    """Add these commands to the `hub` command line."""
    app.command()(serve)
    for name, module in (
        ("client", client),
        ("policy", policy),
        ("audit", audit),
        ("recall", recall),
        ("subscription", subscription),
        ("dci", dci),
        ("job", job),
        ("emergency", emergency),
        ("consent", consent),
        ("key", key),
    ):
        app.add_typer(module.app, name=name)
