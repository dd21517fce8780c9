"""Mainland mobile payment: form + JSON + RSA2 over HTTP; transfers to persons, trades with a shown code."""

from typing import Final

from adapters.alipay.client import AlipayRail
from adapters.alipay.simulator import AlipaySimulator
from adapters.alipay.statement import STATEMENT
from adapters.kit.module import RailModule
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme

__all__ = ["RAIL"]

RAIL: Final = RailModule(
    name="alipay",
    title="Mainland mobile payment",
    place=Place.CN,
    assets=(Asset.CNY,),
    schemes=(Scheme.ALIPAY_LOGIN, Scheme.ALIPAY_USER, Scheme.MOBILE, Scheme.PAYMENT_CODE),
    institution="2021000000000001",
    make_client=AlipayRail,
    make_simulator=AlipaySimulator,
    statement=STATEMENT,
)
