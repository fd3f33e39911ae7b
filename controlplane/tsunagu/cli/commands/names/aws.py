"""`tsunagu aws`: what AWS's clients need to know to speak with this mesh.

The one rule: the secret key is written to standard output alone, for a shell to take; it is in no message and no log.
"""

from __future__ import annotations

import shlex

import typer

from tsunagu.cli.command import command
from tsunagu.cli.local import aws_endpoint
from tsunagu.settings import Home

aws = typer.Typer(
    help="Use AWS's clients with this mesh.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


@aws.callback()
def group() -> None:
    """Use AWS's clients (SDKs, the AWS CLI) with a mesh that runs with --aws."""


@aws.command("env")
@command
async def env(home: Home) -> None:
    """Write the variables that AWS's clients read, for a shell: eval "$(tsunagu aws env)"."""
    found = aws_endpoint.find(home)
    variables = {
        "AWS_ENDPOINT_URL": found.url,
        "AWS_REGION": aws_endpoint.REGION,
        "AWS_DEFAULT_REGION": aws_endpoint.REGION,
        "AWS_ACCESS_KEY_ID": found.pair.access_key_id,
        "AWS_SECRET_ACCESS_KEY": found.pair.secret_access_key,
    }
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo("unset AWS_SESSION_TOKEN AWS_PROFILE")
