"""What a wallet provider does: quote, pay, look up, watch, ask."""

import sys
from typing import Annotated, Any

import typer
from bayswitch.v1 import directory_pb2, payment_pb2, quote_pb2

from switch.cli import values
from switch.cli.client import CallFailed, Client, connect, new_id
from switch.cli.options import Json, target
from switch.cli.output import error_line, money_text, print_json, print_json_line, say, show_payment, table
from switch.domain.money import format_amount
from switch.limits import PAGE_SIZE_MAX

__all__ = ["check_route", "get", "pay", "payments", "price", "quote", "watch"]

Place = Annotated[str, typer.Option(help="HK, MO or CN")]
Scheme = Annotated[
    str, typer.Option(help="account, mobile, email, fps_id, wallet_id, alipay_login, alipay_user, payment_code")
]
Agent = Annotated[str, typer.Option(help="payee's institution; empty when a proxy finds it")]
Papers = Annotated[str, typer.Option(help="payer's document as TYPE:NUMBER, e.g. 'HKID:A123456(3)'")]
Purpose = Annotated[str, typer.Option(help="e.g. FAMILY_SUPPORT; check-route lists what a corridor takes")]
_LIST_MAX = 100_000
_COMMITTED, _ABORTED = payment_pb2.PAYMENT_STATE_COMMITTED, payment_pb2.PAYMENT_STATE_ABORTED


def pay(
    debit: Annotated[str, typer.Argument(help="what the payer pays, fee included, e.g. 'HKD 100.00'")],
    payee: Annotated[str, typer.Argument(help="the payee's address on its rail, e.g. +852-51234567")],
    payee_name: Annotated[str, typer.Option(help="as registered there")],
    payer_name: Annotated[str, typer.Option(help="the payer's name")],
    payer_account: Annotated[str, typer.Option(help="the payer's account at the participant")],
    scheme: Scheme,
    from_place: Place,
    to_place: Place,
    credit: Annotated[str, typer.Option(help="asset the payee gets; another than the debit's is quoted first")] = "",
    agent: Agent = "",
    papers: Papers = "",
    purpose: Purpose = "",
    remark: Annotated[str, typer.Option(help="for the payee")] = "",
    level: Annotated[int, typer.Option(help="e-CNY wallet tier 1-4, when known")] = 0,
    end_to_end_id: Annotated[str, typer.Option(help="own reference, at most 35 characters")] = "CLI",
    quote_id: Annotated[str, typer.Option(help="pay at this quote; default: a new one when assets differ")] = "",
    request_id: Annotated[str, typer.Option(help="idempotency key; default: a new one")] = "",
    uetr: Annotated[str, typer.Option(help="UUIDv4 of the payment; default: a new one")] = "",
    json: Json = False,
) -> None:
    """Pay once.

    Repeat with the same --request-id, --uetr and --quote-id and nothing is paid twice: the first outcome is shown
    again. When the outcome could not be learnt, they are printed. Exit code: 0 COMMITTED, 1 ABORTED, 3 refused and
    nothing begun, 4 unknown: repeat, 5 IN_DOUBT or PREPARED: `bayswitch get`.
    """
    request = payment_pb2.SubmitPaymentRequest(
        request_id=request_id or new_id(),
        uetr=uetr or new_id(),
        end_to_end_id=end_to_end_id,
        debit=values.money_message(debit),
        debtor=values.party(payer_name, from_place, "account", payer_account, papers),
        creditor=values.party(payee_name, to_place, scheme, payee, "", level),
        creditor_agent=agent,
        purpose=purpose,
        remark=remark,
    )
    with connect(target()) as client:
        if quote_id:
            fill_in(request, client.call(client.quotes.GetQuote, quote_pb2.GetQuoteRequest(quote_id=quote_id)).quote)
        elif credit not in ("", request.debit.asset):
            price(client, request, credit)
        answer, replay = _submit(client, request)
    if json:
        print_json(answer)
    else:
        show_payment(answer.payment, replay)
    sys.exit({_COMMITTED: 0, _ABORTED: 1}.get(answer.payment.state, 5))


def _submit(client: Client, request: Any) -> tuple[Any, bool]:
    """The answer, and whether it is a replay. When there is none, the ids that make a repeat safe are printed."""
    try:
        return client.call_with_replay(client.payments.SubmitPayment, request)
    except (CallFailed, KeyboardInterrupt) as error:
        if not isinstance(error, CallFailed) or error.exit_code == 4:
            ids = {"request-id": request.request_id, "uetr": request.uetr, "quote-id": request.quote_id}
            again = " ".join(f"--{name} {value}" for name, value in ids.items() if value)
            error_line(f"the outcome is not known; repeat the command with {again}")
        raise


def price(client: Client, request: Any, credit_asset: str) -> Any:
    """Lock a price for an instruction, fill it in, and return the quote. Raises CallFailed."""
    quoted = client.call(
        client.quotes.CreateQuote,
        quote_pb2.CreateQuoteRequest(
            debit=request.debit,
            other_asset=credit_asset,
            debtor_place=request.debtor.place,
            creditor_place=request.creditor.place,
            creditor_scheme=request.creditor.account.scheme,
            creditor_agent=request.creditor_agent,
        ),
    ).quote
    fill_in(request, quoted)
    return quoted


def fill_in(request: Any, quoted: Any) -> None:
    """The quote and the credit it promises, into an instruction."""
    request.quote_id = quoted.quote_id
    request.credit.CopyFrom(quoted.credit)


def quote(
    debit: Annotated[str, typer.Option(help="fixed debit, e.g. 'HKD 100.00'")] = "",
    credit: Annotated[str, typer.Option(help="fixed credit, e.g. 'CNY 100.00'")] = "",
    other: Annotated[str, typer.Option(help="asset of the other side")] = "CNY",
    scheme: Scheme = "alipay_login",
    from_place: Place = "HK",
    to_place: Place = "CN",
    agent: Agent = "",
    json: Json = False,
) -> None:
    """Lock a price: fix the debit or the credit.

    Pay it with `bayswitch pay … --quote-id`, exactly as quoted, before it expires, once.
    """
    if bool(debit) == bool(credit):
        raise typer.BadParameter("fix one side: --debit or --credit")
    fixed = values.money_message(debit or credit)
    request = quote_pb2.CreateQuoteRequest(
        debit=fixed if debit else None,
        credit=fixed if credit else None,
        other_asset=other,
        debtor_place=values.place(from_place),
        creditor_place=values.place(to_place),
        creditor_scheme=values.scheme(scheme),
        creditor_agent=agent,
    )
    with connect(target()) as client:
        quoted = client.call(client.quotes.CreateQuote, request).quote
    if json:
        print_json(quoted)
    else:
        say(f"{quoted.quote_id}\n  {quoted.payer_text}\n  by {quoted.provider}, corridor {quoted.corridor}")


def get(
    payment_id: Annotated[str, typer.Argument(help="a UETR, or with --request an own request_id")],
    request: Annotated[bool, typer.Option("--request", help="the id is a request_id")] = False,
    json: Json = False,
) -> None:
    """One own payment: state, entries, history."""
    query = payment_pb2.GetPaymentRequest(**{"request_id" if request else "uetr": payment_id})
    with connect(target()) as client:
        payment = client.call(client.payments.GetPayment, query).payment
    if json:
        print_json(payment)
        return
    show_payment(payment)
    for change in payment.history:
        say(f"  {change.change_time.ToJsonString()} {values.state_name(change.state)} {change.reason}".rstrip())


def payments(
    state: Annotated[str, typer.Option(help="PREPARED, COMMITTED, ABORTED or IN_DOUBT")] = "",
    since: Annotated[str, typer.Option(help="prepared at or after, RFC 3339")] = "",
    until: Annotated[str, typer.Option(help="prepared before, RFC 3339")] = "",
    count: Annotated[int, typer.Option(min=1, max=_LIST_MAX, help="at most so many")] = 50,
    json: Json = False,
) -> None:
    """Own payments, in the order they were prepared, oldest first."""
    request = payment_pb2.ListPaymentsRequest(
        state=values.state(state) if state else None,
        from_time=values.time(since) if since else None,
        to_time=values.time(until) if until else None,
    )
    found: list[Any] = []
    with connect(target()) as client:
        while len(found) < count:
            request.page_size = min(count - len(found), PAGE_SIZE_MAX)
            page = client.call(client.payments.ListPayments, request)
            found += page.payments
            request.page_token = page.next_page_token
            if not page.next_page_token:  # a page may be short, even empty, and still have a next one
                break
    if json:
        print_json(found)
        return
    table("payments", _PAYMENT_COLUMNS, map(_payment_row, found), right=("debit", "credit"))
    if request.page_token:
        error_line(f"there are more: --count, or --since {found[-1].prepared_time.ToJsonString()}")


_PAYMENT_COLUMNS = ("prepared", "state", "uetr", "debit", "credit", "rail", "reason")


def _payment_row(item: Any) -> tuple[str, ...]:
    debit, credit = (money_text(side.asset, side.amount_minor) for side in (item.debit, item.credit))
    prepared, state = item.prepared_time.ToJsonString(), values.state_name(item.state)
    return prepared, state, item.uetr, debit, credit, item.rail, item.reason


def watch(
    token: Annotated[str, typer.Option(help="resume after this token; 0 = from the beginning")] = "",
    json: Json = False,
) -> None:
    """State changes of own payments as they happen, until Ctrl-C (exit code 0).

    Each line ends with its token: --token continues after it. With --json one object per line.
    """
    last = token
    try:
        with connect(target()) as client:
            request = payment_pb2.WatchPaymentsRequest(resume_token=token)
            for change in client.stream(client.payments.WatchPayments, request):
                last = change.token
                if json:
                    print_json_line(change)
                    continue
                state = values.state_name(change.state)
                say(f"{change.change_time.ToJsonString()} {change.uetr} {state:<9} {change.token}")
                sys.stdout.flush()
    except KeyboardInterrupt:
        return
    except CallFailed as failure:
        if failure.exit_code == 4 and last:
            error_line(f"nothing is lost: continue with --token {last}")
        raise


def check_route(
    debit: Annotated[str, typer.Argument(help="asset, or 'ASSET AMOUNT'")],
    scheme: Scheme,
    from_place: Place,
    to_place: Place,
    credit: Annotated[str, typer.Option(help="asset the payee gets; empty = every one")] = "",
    agent: Agent = "",
    papers: Annotated[str, typer.Option(help="payer's document as TYPE, or TYPE:NUMBER to see what is left")] = "",
    purpose: Purpose = "",
    json: Json = False,
) -> None:
    """May this payer pay this payee: by which rail, up to how much, when, with which papers.

    Without side effects. Exit code: 0 when one way at least is open now, 1 when none is.
    """
    asset, amount_minor = values.money(debit) if " " in debit.strip() else (debit.strip(), 0)
    request = directory_pb2.CheckRouteRequest(
        debtor_place=values.place(from_place),
        creditor_place=values.place(to_place),
        debit_asset=asset,
        credit_asset=credit,
        creditor_scheme=values.scheme(scheme),
        creditor_agent=agent,
        debit_amount_minor=amount_minor,
        debtor_document=values.document(papers, number_needed=False),
        purpose=purpose,
    )
    with connect(target()) as client:
        options = client.call(client.directory.CheckRoute, request).options
    if json:
        print_json(options)
    elif not options:
        say("no corridor leads there")
    else:
        for option in options:
            _show_option(asset, option)
    sys.exit(0 if any(option.allowed for option in options) else 1)


def _limit_text(limit: Any) -> str:
    most = f"{limit.currency} {format_amount(limit.currency, limit.max_minor)} per {limit.period.lower()}"
    if not limit.HasField("left_minor"):
        return f"{most} ({limit.id})"
    left = format_amount(limit.currency, limit.left_minor)
    return f"{most} ({limit.id}; left {left}, anew {limit.reset_time.ToJsonString()})"


def _show_option(asset: str, option: Any) -> None:
    verdict = "open now" if option.allowed else f"not now: {option.reason}"
    say(f"{option.corridor}  {asset} -> {option.credit_asset}  by {option.rail}  {verdict}")
    facts = {
        "opens": "" if option.allowed else option.open_time.ToJsonString(),
        "at most": money_text(asset, option.txn_max_minor) + " a payment" if option.txn_max_minor else "",
        "limits": ", ".join(map(_limit_text, option.limits)),
        "quote": "needed" if option.quote_required else "",
        "papers": ", ".join(values.document_name(number) for number in option.papers),
        "purposes": ", ".join(option.purposes),
    }
    for name, fact in facts.items():
        if fact:
            say(f"  {name:<9}{fact}")
