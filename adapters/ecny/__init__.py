"""The digital-currency rail: e-CNY wallets behind the interconnection centre, in dcep messages."""

from adapters.ecny.client import EcnyRail
from adapters.ecny.rules import INSTITUTION
from adapters.ecny.simulator import EcnySimulator
from adapters.ecny.statement import STATEMENT
from adapters.kit.module import RailModule
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme

__all__ = ["RAIL"]

RAIL = RailModule(
    name="ecny",
    title="e-CNY (dcep)",
    place=Place.CN,
    assets=(Asset.ECNY,),
    schemes=(Scheme.WALLET_ID, Scheme.MOBILE),
    institution=INSTITUTION,
    make_client=EcnyRail,
    make_simulator=EcnySimulator,
    statement=STATEMENT,
)
