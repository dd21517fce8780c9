"""What a wallet provider does: quote, pay, look up, watch, ask."""

import sys
from typing import Annotated, Any

import typer
from bayswitch.v1 import common_pb2, directory_pb2, payment_pb2, quote_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from switch.cli.client import Client, connect, new_id
from switch.cli.options import Json, money, target
from switch.cli.output import console, money_text, print_json, show_payment, table

__all__ = ["register"]

Place = Annotated[str, typer.Option(help="HK, MO or CN")]
Scheme = Annotated[
    str, typer.Option(help="account, mobile, email, fps_id, wallet_id, alipay_login, alipay_user, payment_code")
]


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    for command in (pay, quote, get, payments, watch):
        app.command()(command)
    app.command("check-route")(check_route)


def pay(
    debit: Annotated[str, typer.Argument(help="what the payer pays, e.g. 'HKD 100.00'")],
    payee: Annotated[str, typer.Argument(help="the payee's address on its rail")],
    payee_name: Annotated[str, typer.Option(help="as registered")],
    payer_name: Annotated[str, typer.Option(help="the payer's name")],
    payer_account: Annotated[str, typer.Option(help="the payer's account at the participant")],
    scheme: Scheme,
    from_place: Place,
    to_place: Place,
    credit: Annotated[str, typer.Option(help="asset the payee gets; another than the debit's is quoted first")] = "",
    agent: Annotated[str, typer.Option(help="payee's institution; empty when a proxy finds it")] = "",
    papers: Annotated[str, typer.Option(help="payer's document as TYPE:NUMBER, e.g. 'HKID:A123456(3)'")] = "",
    purpose: Annotated[str, typer.Option(help="see check-route")] = "",
    remark: str = "",
    level: Annotated[int, typer.Option(help="e-CNY wallet tier, when known")] = 0,
    quote_id: Annotated[str, typer.Option(help="use this quote")] = "",
    request_id: Annotated[str, typer.Option(help="idempotency key; repeat a command with the same one")] = "",
    uetr: Annotated[str, typer.Option(help="default: a new one")] = "",
    json: Json = False,
) -> None:
    """Pay once. Repeat with the same --request-id, --uetr and --quote-id and nothing is paid twice."""
    asset, amount_minor = money(debit)
    with connect(target()) as client:
        request = payment_pb2.SubmitPaymentRequest(
            request_id=request_id or new_id(),
            uetr=uetr or new_id(),
            end_to_end_id="CLI",
            debit=common_pb2.Money(asset=asset, amount_minor=amount_minor),
            debtor=_party(payer_name, from_place, "account", payer_account, papers),
            creditor=_party(payee_name, to_place, scheme, payee, "", level),
            creditor_agent=agent,
            purpose=purpose,
            remark=remark,
        )
        if quote_id or credit not in ("", asset):
            _price(client, request, quote_id, credit)
        answer, replay = client.call_with_replay(client.payments.SubmitPayment, request)
    if json:
        print_json(answer)
    else:
        show_payment(answer.payment, replay)
    sys.exit(_exit_code(answer.payment.state))


def _price(client: Client, request: Any, quote_id: str, credit: str) -> None:
    """Fill in the quote and the credit side."""
    if quote_id:
        quoted = client.call(client.quotes.GetQuote, quote_pb2.GetQuoteRequest(quote_id=quote_id)).quote
    else:
        quoted = client.call(
            client.quotes.CreateQuote,
            quote_pb2.CreateQuoteRequest(
                debit=request.debit,
                other_asset=credit,
                debtor_place=request.debtor.place,
                creditor_place=request.creditor.place,
                creditor_scheme=request.creditor.account.scheme,
                creditor_agent=request.creditor_agent,
            ),
        ).quote
    request.quote_id = quoted.quote_id
    request.credit.CopyFrom(quoted.credit)


def quote(
    debit: Annotated[str, typer.Option(help="fixed debit, e.g. 'HKD 100.00'")] = "",
    credit: Annotated[str, typer.Option(help="fixed credit, e.g. 'CNY 100.00'")] = "",
    other: Annotated[str, typer.Option(help="asset of the other side")] = "CNY",
    scheme: Scheme = "alipay_login",
    from_place: Place = "HK",
    to_place: Place = "CN",
    agent: str = "",
    json: Json = False,
) -> None:
    """Lock a price."""
    if bool(debit) == bool(credit):
        raise typer.BadParameter("fix one side: --debit or --credit")
    asset, amount_minor = money(debit or credit)
    fixed = {"debit" if debit else "credit": common_pb2.Money(asset=asset, amount_minor=amount_minor)}
    request = quote_pb2.CreateQuoteRequest(
        other_asset=other,
        debtor_place=_place(from_place),
        creditor_place=_place(to_place),
        creditor_scheme=_scheme(scheme),
        creditor_agent=agent,
        **fixed,
    )
    with connect(target()) as client:
        quoted = client.call(client.quotes.CreateQuote, request).quote
    if json:
        print_json(quoted)
    else:
        console.print(
            f"{quoted.quote_id}\n  {quoted.payer_text}\n  by {quoted.provider}, corridor {quoted.corridor}",
            markup=False,
        )


def get(
    payment_id: Annotated[str, typer.Argument(help="a UETR, or with --request an own request_id")],
    request: Annotated[bool, typer.Option("--request", help="the id is a request_id")] = False,
    json: Json = False,
) -> None:
    """One own payment."""
    query = (
        payment_pb2.GetPaymentRequest(request_id=payment_id)
        if request
        else payment_pb2.GetPaymentRequest(uetr=payment_id)
    )
    with connect(target()) as client:
        payment = client.call(client.payments.GetPayment, query).payment
    if json:
        print_json(payment)
        return
    show_payment(payment)
    for change in payment.history:
        console.print(f"  {change.change_time.ToJsonString()} {_state(change.state)} {change.reason}", markup=False)


def payments(
    state: Annotated[str, typer.Option(help="PREPARED, COMMITTED, ABORTED or IN_DOUBT")] = "",
    since: Annotated[str, typer.Option(help="prepared at or after, RFC 3339")] = "",
    count: Annotated[int, typer.Option(min=1, max=500)] = 50,
    json: Json = False,
) -> None:
    """Own payments, in the order they were prepared."""
    request = payment_pb2.ListPaymentsRequest(page_size=count)
    if state:
        request.state = payment_pb2.PaymentState.Value(f"PAYMENT_STATE_{state.upper()}")
    if since:
        from_time = Timestamp()
        from_time.FromJsonString(since)
        request.from_time.CopyFrom(from_time)
    with connect(target()) as client:
        found = client.call(client.payments.ListPayments, request).payments
    if json:
        print_json(found)
        return
    table(
        "",
        ("prepared", "state", "uetr", "debit", "credit", "rail", "reason"),
        (
            (
                item.prepared_time.ToJsonString(), _state(item.state), item.uetr,
                money_text(item.debit.asset, item.debit.amount_minor),
                money_text(item.credit.asset, item.credit.amount_minor), item.rail, item.reason,
            )
            for item in found
        ),
        right=("debit", "credit"),
    )  # fmt: skip


def watch(
    token: Annotated[str, typer.Option(help="resume after this token; 0 = from the beginning")] = "",
    json: Json = False,
) -> None:
    """State changes of own payments as they happen, until Ctrl-C."""
    with connect(target()) as client:
        request = payment_pb2.WatchPaymentsRequest(resume_token=token)
        for change in client.stream(client.payments.WatchPayments, request):
            if json:
                print_json(change)
            else:
                console.print(
                    f"{change.change_time.ToJsonString()} {change.uetr} {_state(change.state):<9} {change.token}",
                    markup=False,
                )


def check_route(
    debit: Annotated[str, typer.Argument(help="asset, or 'ASSET AMOUNT'")],
    scheme: Scheme,
    from_place: Place,
    to_place: Place,
    credit: Annotated[str, typer.Option(help="asset the payee gets; empty = every one")] = "",
    agent: str = "",
    papers: Annotated[str, typer.Option(help="payer's document as TYPE:NUMBER")] = "",
    purpose: str = "",
    json: Json = False,
) -> None:
    """May this payer pay this payee, by which rail, up to how much, from when."""
    asset, amount_minor = money(debit) if " " in debit.strip() else (debit.strip(), 0)
    request = directory_pb2.CheckRouteRequest(
        debtor_place=_place(from_place),
        creditor_place=_place(to_place),
        debit_asset=asset,
        credit_asset=credit,
        creditor_scheme=_scheme(scheme),
        creditor_agent=agent,
        debit_amount_minor=amount_minor,
        debtor_document=_document(papers),
        purpose=purpose,
    )
    with connect(target()) as client:
        options = client.call(client.directory.CheckRoute, request).options
    if json:
        print_json(options)
        return
    table(
        "",
        ("corridor", "rail", "credit", "allowed", "reason", "opens", "quote", "purposes"),
        (
            (
                item.corridor, item.rail, item.credit_asset, "yes" if item.allowed else "no", item.reason,
                item.open_time.ToJsonString(), "needed" if item.quote_required else "-", " ".join(item.purposes) or "-",
            )
            for item in options
        ),
    )  # fmt: skip


# --- texts to values -----------------------------------------------------------------------------------------------------
def _party(name: str, place: str, scheme: str, value: str, papers: str, level: int = 0) -> common_pb2.Party:
    account = common_pb2.Account(scheme=_scheme(scheme), value=value, level=level)
    return common_pb2.Party(name=name, place=_place(place), account=account, document=_document(papers))


def _place(text: str) -> Any:
    return _enum(common_pb2.Place, f"PLACE_{text.upper()}", text)


def _scheme(text: str) -> Any:
    return _enum(common_pb2.Scheme, f"SCHEME_{text.upper()}", text)


def _document(text: str) -> common_pb2.Document | None:
    if not text:
        return None
    kind, _, number = text.partition(":")
    return common_pb2.Document(
        type=_enum(common_pb2.DocumentType, f"DOCUMENT_TYPE_{kind.upper()}", kind), number=number
    )


def _enum(enum: Any, name: str, text: str) -> Any:
    names = list(enum.keys())
    if name not in names:
        raise typer.BadParameter(
            f"{text!r} is not one of {', '.join(key.split('_', 1)[1].lower() for key in names[1:])}"
        )
    return enum.Value(name)


def _state(number: int) -> str:
    return payment_pb2.PaymentState.Name(number).removeprefix("PAYMENT_STATE_")


def _exit_code(state: int) -> int:
    codes = {payment_pb2.PAYMENT_STATE_COMMITTED: 0, payment_pb2.PAYMENT_STATE_ABORTED: 1}
    return codes.get(state, 5)
