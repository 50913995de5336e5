"""`socmon kinds`: which kinds of collectors and forwarders are installed."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

from typing import TYPE_CHECKING

import click

from socmon.cli import Options
from socmon.cli.output import Column, as_json, write_csv, write_ndjson, write_table

if TYPE_CHECKING:
    from socmon import registry

_COLUMNS = ("role", "kind", "package")


@click.command("kinds")
@click.pass_obj
def command(options: Options) -> None:
    """List the kinds of collectors and forwarders that `kind:` may name; imports none of them."""
    from socmon import registry

    tr = options.tr
    rows = [_row(group, kind) for group in registry.GROUPS for kind in registry.kinds(group)]
    match options.output:
        case "json":
            click.echo(as_json({"schema": "socmon.kinds/v1", "kinds": rows}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, _COLUMNS)
        case "human":
            columns = [Column(tr("ROLE")), Column(tr("KIND")), Column(tr("PACKAGE"))]
            write_table(columns, [(tr(row["role"]), row["kind"], row["package"]) for row in rows])


def _row(group: registry.Group, kind: str) -> dict[str, str]:
    from socmon import registry

    return {
        "role": group.removeprefix("socmon.").removesuffix("s"),
        "kind": kind,
        "package": registry.owner(registry.registered(group, kind)),
    }
