"""`socmon kinds`: which kinds of collectors and forwarders are installed."""

import csv
import json
import sys

import click

from socmon import registry
from socmon.cli import Options


@click.command("kinds")
@click.pass_obj
def command(options: Options) -> None:
    """List the kinds of collectors and forwarders that `kind:` may name; imports none of them."""
    rows = [_row(group, kind) for group in registry.GROUPS for kind in registry.kinds(group)]
    match options.output:
        case "json":
            click.echo(json.dumps({"schema": "socmon.kinds/v1", "kinds": rows}))
        case "ndjson":
            for row in rows:
                click.echo(json.dumps(row))
        case "csv":
            writer = csv.DictWriter(sys.stdout, fieldnames=list(_COLUMNS))
            writer.writeheader()
            writer.writerows(rows)
        case "human":
            for row in [_COLUMNS, *rows]:
                click.echo(f"{row['role']:<10} {row['kind']:<20} {row['package']}")


_COLUMNS = {"role": "ROLE", "kind": "KIND", "package": "PACKAGE"}


def _row(group: registry.Group, kind: str) -> dict[str, str]:
    return {
        "role": group.removeprefix("socmon.").removesuffix("s"),
        "kind": kind,
        "package": registry.owner(registry.registered(group, kind)),
    }
