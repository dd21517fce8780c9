"""Events as settlement consumers read them: what waits in the outbox, what is on the topic, and what comes."""

import json as json_module
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from switch.app import run
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import error_line, money_text, print_json, table
from switch.cli.stores import broker_of, opened_store
from switch.domain.settlement import SettlementFact, Window, WindowState, window_id_parts
from switch.errors import InvalidValue
from switch.events import decode, tail
from switch.events.broker import records
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.window_schema import WINDOW_TOPIC, decode_announcement
from switch.rules import load_rules
from switch.settings import Settings

__all__ = ["app"]

app = typer.Typer(help="Final payments as settlement consumers read them.", invoke_without_command=True)
_EVENTS_MAX: Final = 1_000_000
Count = Annotated[int, typer.Option(min=1, max=_EVENTS_MAX, help="at most so many, the oldest first")]


# --- what there is ---------------------------------------------------------------------------------------------------
@app.callback()
def events(
    context: typer.Context,
    config: ConfigFile = None,
    topic: Annotated[bool, typer.Option(help="read the Kafka topic; otherwise what waits in the outbox")] = False,
    count: Count = 1_000,
    json: Json = False,
) -> None:
    """Final payments as settlement consumers read them; reading removes nothing."""
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(config)
    facts, more = run(_topic(settings, count) if topic else _outbox(settings, count), settings)
    if json:
        print_json([_plain(fact) for fact in facts])
    else:
        table(
            "topic" if topic else "outbox",
            ("debtor agent", "seq", "uetr", "state", "rail", "entries"),
            (
                (fact.debtor_agent, fact.sequence, fact.uetr, fact.state.name, fact.rail, len(fact.entries))
                for fact in facts
            ),
            right=("seq", "entries"),
        )
    if more:
        error_line(f"there are more: --count {count} was reached")


async def _topic(settings: Settings, count: int) -> tuple[list[SettlementFact], bool]:
    facts: list[SettlementFact] = []
    bootstrap = broker_of(settings, "; without --topic the outbox is read")
    async with aclosing(tail(bootstrap, follow=False)) as found:
        async for record in found:
            if len(facts) == count:
                return facts, True
            facts.append(record.fact)
    return facts, False


async def _outbox(settings: Settings, count: int) -> tuple[list[SettlementFact], bool]:
    async with opened_store(settings) as store:
        entries = [
            entry
            for shard in range(store.payments.shards)
            for entry in await store.payments.outbox_read(shard, count + 1)
        ]
        return [entry.fact for entry in entries[:count]], len(entries) > count


# --- what comes ------------------------------------------------------------------------------------------------------
@app.command("tail")
def tail_command(
    config: ConfigFile = None,
    window: Annotated[str, typer.Option(help="only the events of this settlement window, e.g. hkd-rtgs.7")] = "",
    follow: Annotated[bool, typer.Option(help="go on with what comes, until Ctrl-C")] = False,
    count: Annotated[int, typer.Option(min=1, max=_EVENTS_MAX, help="the latest so many; not with --window")] = 10,
    json: Json = False,
) -> None:
    """The latest events of the topic, one a line; of a window, all that count in it.

    Needs the broker and nothing else. A window that is cut has its last event; --follow ends there.
    """
    settings = settings_of(config)
    bootstrap = broker_of(settings)
    found = _of_window(settings, bootstrap, window, follow) if window else _latest(bootstrap, count, follow)
    run(_show(found, json), settings)


async def _show(found: AsyncIterator[SettlementFact], json: bool) -> None:
    async for fact in found:
        print(json_module.dumps(_plain(fact), ensure_ascii=False) if json else _line(fact), flush=True)


async def _latest(bootstrap: str, count: int, follow: bool) -> AsyncIterator[SettlementFact]:
    """The latest of all partitions by the time they became final; then what comes, from where those ended."""
    found, ends = [], dict[int, int]()
    async for record in records(bootstrap, SETTLEMENT_TOPIC, last=count):
        found.append(decode(record.value, record.headers))
        ends[record.partition] = record.offset + 1
    for fact in sorted(found, key=lambda fact: (fact.final_time_ms, fact.debtor_agent, fact.sequence))[-count:]:
        yield fact
    if follow:
        async for record in records(bootstrap, SETTLEMENT_TOPIC, follow=True, begins=ends, others=True):
            yield decode(record.value, record.headers)


async def _of_window(settings: Settings, bootstrap: str, window_id: str, follow: bool) -> AsyncIterator[SettlementFact]:
    window = await _window(bootstrap, window_id)
    arrangement = load_rules(settings.rules_dir).arrangements.get(window.arrangement_id)
    begins: Mapping[int, int] | None = {each.partition: each.from_offset for each in window.ranges} or None
    ends: Mapping[int, int] | None = None
    if window.state is not WindowState.OPEN:
        ends, follow = {each.partition: each.to_offset for each in window.ranges}, False
    async for record in records(bootstrap, SETTLEMENT_TOPIC, follow=follow, begins=begins, ends=ends):
        fact = decode(record.value, record.headers)
        if arrangement is None or any(arrangement.takes(entry.asset, fact.rail) for entry in fact.entries):
            yield fact


async def _window(bootstrap: str, window_id: str) -> Window:
    """The window as it was announced last. Raises InvalidValue: it never was."""
    if window_id_parts(window_id) is None:
        raise InvalidValue("WINDOW_ID", f"{window_id!r} is no window; <arrangement>.<number>, e.g. hkd-rtgs.7")
    found: Window | None = None
    async for record in records(bootstrap, WINDOW_TOPIC):
        window = decode_announcement(record.value, record.headers).window
        found = window if window.id == window_id else found
    if found is None:
        raise InvalidValue("WINDOW_ID", f"no window {window_id} was ever announced; see `bayswitch windows list`")
    return found


# --- as text ---------------------------------------------------------------------------------------------------------
def _plain(fact: SettlementFact) -> dict[str, Any]:
    """As data; without the note, which is for the switch alone."""
    plain = fact._asdict()
    del plain["note"]
    plain["state"] = fact.state.name
    plain["entries"] = [
        {"participant": entry.participant, "asset": entry.asset.name, "amount_minor": entry.amount_minor}
        for entry in fact.entries
    ]
    return plain


def _line(fact: SettlementFact) -> str:
    """Time, who, number, state, rail, id; then who owes and who is owed."""
    final = datetime.fromtimestamp(fact.final_time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    head = f"{final.removesuffix('+00:00')}Z  {fact.debtor_agent} {fact.sequence}  {fact.state.name}  {fact.rail}  {fact.uetr}"
    moved = [f"{entry.participant} {money_text(entry.asset.name, entry.amount_minor)}" for entry in fact.entries]
    return f"{head}  {', '.join(moved) or fact.reason}"
