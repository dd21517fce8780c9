"""The topics, as an operator makes and checks them: once, before a switch in production starts."""

import sys

import typer

from switch.app import run
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import print_json, say
from switch.cli.stores import broker_of
from switch.events.topics import check as check_topics
from switch.events.topics import ensure as ensure_topics
from switch.events.topics import topics_of

__all__ = ["app"]

app = typer.Typer(help="The Kafka topics of the switch.", no_args_is_help=True)


@app.command()
def ensure(config: ConfigFile = None, json: Json = False) -> None:
    """Make the topics that are missing, as the settings say. What is there stays as it is. Safe to repeat."""
    settings = settings_of(config)
    wanted = topics_of(settings)
    made = run(ensure_topics(broker_of(settings), wanted), settings)
    rows = [
        {
            "topic": spec.name,
            "made": spec.name in made,
            "partitions": spec.partitions,
            "replication": spec.replication,
            "key": spec.key,
            **spec.configs,
        }
        for spec in wanted
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        say(f"{row['topic']}  {'made' if row['made'] else 'there already; see `bayswitch topics check`'}")


@app.command()
def check(config: ConfigFile = None, json: Json = False) -> None:
    """Compare the topics with the settings and change nothing. Exit 1: something differs; says the command that mends it."""
    settings = settings_of(config)
    found = run(check_topics(broker_of(settings), topics_of(settings)), settings)
    if json:
        print_json([difference._asdict() for difference in found])
    else:
        for difference in found:
            say(f"{difference.topic}: {difference.what}\n    {difference.mend}")
        if not found:
            say("the topics are right")
    sys.exit(1 if found else 0)
