"""The mock rail's books under random requests: one number, one payment, and no money from nowhere."""

import random
from typing import Any

import pytest

from adapters.alipay import codec, spec
from adapters.alipay.desk import Desk
from adapters.alipay.simulator import SEED as SEED_FILE
from adapters.kit.seed import load_seed
from switch.domain.money import Asset

START_MS = 1_751_333_415_000
LOGINS = ("13800138000", "13800138003", "13800138005", "13899999999")
CODES = tuple(f"28000000000000000{n}" for n in range(1, 9))


def _ask(method: spec.Method[Any, Any], record: Any) -> codec.Request:
    """A request as the gateway hands it to the desk: through its bytes."""
    return codec.decode_request(codec.encode_request(method, record, "2021000000000001", START_MS, None), None)


def _request(rng: random.Random, numbers: list[str]) -> codec.Request:
    number, amount_minor = rng.choice(numbers), rng.choice((1, 50_00, 999_99))
    match rng.randrange(6):
        case 0:
            login = rng.choice(LOGINS)
            return _ask(
                spec.TRANSFER, spec.TransferRequest(number, amount_minor, "t", login, "ALIPAY_LOGON_ID", "测试甲")
            )
        case 1:
            return _ask(spec.PAY, spec.PayRequest(number, "bar_code", rng.choice(CODES), "s", amount_minor))
        case 2:
            return _ask(spec.QUERY, spec.TradeKey(number))
        case 3:
            return _ask(spec.TRANSFER_QUERY, spec.TransferQueryRequest(number))
        case 4:
            return _ask(spec.CANCEL, spec.TradeKey(number))
        case _:
            return _ask(spec.REFUND, spec.RefundRequest(amount_minor, number, out_request_no=rng.choice("abc")))


@pytest.mark.parametrize("seed", range(8))
def test_a_number_is_one_payment_and_the_wallets_add_up(seed: int) -> None:
    rng = random.Random(seed)
    now = [START_MS]
    desk = Desk(load_seed(SEED_FILE), lambda: now[0])
    before = {key: account.balance_minor.get(Asset.CNY, 0) for key, account in desk.books.accounts.items()}
    numbers = [f"{rng.getrandbits(128):032x}" for _ in range(60)]
    paid: dict[str, str] = {}  # number -> the rail's id of the payment it was paid by
    for _ in range(2_000):
        now[0] += rng.randrange(3_000)
        asked = _request(rng, numbers)
        if asked.method not in (spec.TRANSFER, spec.PAY):
            reply = desk.ask(asked)
        else:
            reply = desk.repeat(asked) or desk.settle(asked)
            assert desk.repeat(asked) is not None, seed
        if reply.record is not None and reply.result.code == "10000" and isinstance(reply.record, spec.TransferAnswer):
            assert paid.setdefault(reply.record.out_biz_no, reply.record.order_id) == reply.record.order_id, seed
        data = codec.encode_answer(asked.method, reply, None)  # whatever the desk says, its spec can write
        assert codec.decode_answer(asked.method, data, None) == reply, seed
    moved: dict[tuple[str, str], int] = {}
    per_payment: dict[str, list[int]] = {}
    for line in desk.books.lines:
        assert line.account is not None
        moved[line.account] = moved.get(line.account, 0) + line.amount_minor
        per_payment.setdefault(line.uetr.partition("/")[0], []).append(line.amount_minor)
    for key, account in desk.books.accounts.items():
        assert account.balance_minor.get(Asset.CNY, 0) == before[key] + moved.get(key, 0), seed
        assert account.balance_minor.get(Asset.CNY, 0) >= 0, seed
    for amounts in per_payment.values():  # a transfer: one line; a trade: taken once, at most all of it given back
        assert amounts[0] > 0 or (amounts[0] < 0 and all(back > 0 for back in amounts[1:]) and sum(amounts) <= 0), seed
        assert amounts[0] < 0 or len(amounts) == 1, seed
