"""Macau's Easy Transfer on AMCM's Faster Payment System: MOP and HKD, by account, FPS id or mobile."""

from adapters.kit.module import RailModule
from adapters.mofps.client import EasyTransferRail
from adapters.mofps.simulator import EasyTransferSimulator
from adapters.mofps.statement import STATEMENT
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme

__all__ = ["RAIL"]

RAIL = RailModule(
    name="mofps",
    title="Macau Easy Transfer",
    place=Place.MO,
    assets=(Asset.MOP, Asset.HKD),
    schemes=(Scheme.ACCOUNT, Scheme.MOBILE, Scheme.FPS_ID),
    institution="999",  # no participant has it (the codes are ours)
    make_client=EasyTransferRail,
    make_simulator=EasyTransferSimulator,
    statement=STATEMENT,
)
