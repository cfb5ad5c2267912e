"""`kubechain tools create`: a Tool out of the command line, made at once or printed as YAML to go on with.

A group of `tools`. What is not on the command line is written by hand: `--dry-run` prints the manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from kubechain.cli import document, options
from kubechain.cli.client import connect
from kubechain.cli.exits import CommandError
from kubechain.resources.json import JsonObject, JsonValue

API_VERSION = "kubechain.humanlayer.dev/v1alpha1"
_WRITE = {"fieldManager": "kubechain-create", "fieldValidation": "Strict"}
_EFFECTS = ("ReadOnly", "Idempotent", "NonIdempotent")
F = TypeVar("F", bound=Callable[..., object])


def common(command: F) -> F:
    """Adds the flags of every kind of tool."""
    command = options.connection(command)
    command = click.option("--dry-run", is_flag=True, help="Print the manifest and create nothing.")(command)
    command = click.option(
        "--effect", type=click.Choice(_EFFECTS), help="What a repeated call does; default: as the kind says."
    )(command)
    return click.option("--description", default="", metavar="TEXT", help="What the model is told.")(command)


@click.group("create")
def create() -> None:
    """Create a Tool, or print its manifest with --dry-run.

    \b
    kubechain tools create function add --entrypoint shop.tools:add
    kubechain tools create http weather --url 'https://api.example.com/v1/weather/{city}' --dry-run
    kubechain tools create container report --image ghcr.io/example/report:1.0 --dry-run -- python report.py
    kubechain tools create agent researcher --agent web-researcher --dry-run
    """


@create.command("function")
@click.argument("name")
@click.option("--entrypoint", required=True, metavar="MODULE:FUNCTION", help="The Python function.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable. May be repeated.")
@click.option(
    "--secret-env",
    "secrets",
    multiple=True,
    metavar="NAME=SECRET/KEY",
    help="A variable whose value is in a Secret. May be repeated.",
)
@common
def function(
    name: str,
    entrypoint: str,
    variables: tuple[str, ...],
    secrets: tuple[str, ...],
    description: str,
    effect: str | None,
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Create a Tool that is a Python function.

    Its docstring and type hints say what the model is told.

    \b
    kubechain tools create function add --entrypoint shop.tools:add --effect ReadOnly
    kubechain tools create function order --entrypoint shop.tools:order --secret-env TOKEN=shop/token --dry-run
    """
    kind: JsonObject = {"entrypoint": entrypoint, **_env(variables, secrets)}
    _make(tool(name, {"function": kind}, description, effect), dry_run, kubeconfig, namespace)


@create.command("http")
@click.argument("name")
@click.option("--url", required=True, metavar="URL", help="The address, with {name} where an argument goes.")
@click.option("--method", default="GET", show_default=True, help="The HTTP method.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME[:TYPE]",
    help="An argument; TYPE is string unless given. May be repeated.",
)
@click.option("--bearer", default="", metavar="SECRET/KEY", help="Send the bearer token in this Secret.")
@common
def http(
    name: str,
    url: str,
    method: str,
    params: tuple[str, ...],
    bearer: str,
    description: str,
    effect: str | None,
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Create a Tool that is an HTTP request.

    Arguments in braces are filled into the URL; the others go into the query or the body.

    \b
    kubechain tools create http weather --url 'https://api.example.com/v1/weather/{city}' --param city --dry-run
    kubechain tools create http note --url https://api.example.com/notes --method POST --bearer api/token --dry-run
    """
    kind: JsonObject = {"url": url, "method": method.upper()}
    if bearer:
        kind["auth"] = {"bearer": _from_secret(bearer, "--bearer")}
    made = tool(name, {"http": kind}, description, effect, _schema(params))
    _make(made, dry_run, kubeconfig, namespace)


@create.command("container")
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--image", required=True, help="The image to run for each call.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME[:TYPE]",
    help="An argument; TYPE is string unless given. May be repeated.",
)
@click.option("--network", is_flag=True, help="Let the container reach the network.")
@common
def container(
    name: str,
    command: tuple[str, ...],
    image: str,
    params: tuple[str, ...],
    network: bool,
    description: str,
    effect: str | None,
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Create a Tool that runs a container for each call.

    The program gets the arguments as JSON in /kubechain/args.json, and with `kubechain up` on stdin as well. What
    it prints is the result.

    \b
    kubechain tools create container count --image docker.io/library/alpine:3 --param text --dry-run -- wc -w
    """
    kind: JsonObject = {"image": image}
    if command:
        kind["command"] = [*command]
    if network:
        kind["network"] = "Egress"
    made = tool(name, {"container": kind}, description, effect, _schema(params))
    _make(made, dry_run, kubeconfig, namespace)


@create.command("agent")
@click.argument("name")
@click.option("--agent", required=True, metavar="NAME", help="The agent to call.")
@common
def agent(
    name: str,
    agent: str,
    description: str,
    effect: str | None,
    dry_run: bool,
    kubeconfig: str | None,
    namespace: str,
) -> None:
    """Create a Tool that calls another agent.

    \b
    kubechain tools create agent researcher --agent web-researcher --description "Finds sources." --dry-run
    """
    _make(tool(name, {"agent": {"name": agent}}, description, effect), dry_run, kubeconfig, namespace)


def tool(
    name: str, kind: JsonObject, description: str, effect: str | None, parameters: JsonObject | None = None
) -> JsonObject:
    """The manifest of a Tool."""
    spec: JsonObject = {}
    if description:
        spec["description"] = description
    if parameters:
        spec["parameters"] = parameters
    spec.update(kind)
    if effect:
        spec["effect"] = effect
    return {"apiVersion": API_VERSION, "kind": "Tool", "metadata": {"name": name}, "spec": spec}


def make(wanted: JsonObject, plural: str, dry_run: bool, kubeconfig: str | None, namespace: str) -> None:
    """Creates the object and says so, or prints its manifest. Raises ApiError."""
    if dry_run:
        click.echo(document.as_yaml(wanted), nl=False)
        return
    client = connect(kubeconfig, namespace)
    path = f"/apis/{API_VERSION}/namespaces/{client.namespace}/{plural}"
    made = client.send("POST", path, _WRITE, wanted)
    meta = made["metadata"]
    click.echo(f"{str(made['kind']).lower()}/{meta['name'] if isinstance(meta, dict) else ''} created")


def _make(wanted: JsonObject, dry_run: bool, kubeconfig: str | None, namespace: str) -> None:
    make(wanted, "tools", dry_run, kubeconfig, namespace)


def env(variables: tuple[str, ...], secrets: tuple[str, ...], *, flag: str = "--env") -> list[JsonValue]:
    """The variables of a process, as a manifest has them. Raises CommandError."""
    found: list[JsonValue] = []
    for words in variables:
        name, mark, value = words.partition("=")
        if not name or not mark:
            raise CommandError(f"{flag} {words}: write NAME=VALUE")
        found.append({"name": name, "value": value})
    for words in secrets:
        name, mark, source = words.partition("=")
        if not name or not mark:
            raise CommandError(f"--secret-env {words}: write NAME=SECRET/KEY")
        found.append({"name": name, "valueFrom": _from_secret(source, "--secret-env")})
    return found


def _env(variables: tuple[str, ...], secrets: tuple[str, ...]) -> JsonObject:
    found = env(variables, secrets)
    return {"env": found} if found else {}


def _from_secret(words: str, flag: str) -> JsonObject:
    name, mark, key = words.partition("/")
    if not name or not mark or not key:
        raise CommandError(f"{flag} {words}: write SECRET/KEY, the name of a Secret and a key in it")
    return {"secretKeyRef": {"name": name, "key": key}}


def _schema(params: tuple[str, ...]) -> JsonObject:
    """The parameters as JSON Schema; all of them are required."""
    properties: JsonObject = {}
    for words in params:
        name, _, kind = words.partition(":")
        properties[name] = {"type": kind or "string"}
    if not properties:
        return {}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
