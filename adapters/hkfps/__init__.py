"""Hong Kong's Faster Payment System (HKICL): HKD and offshore renminbi, by account, FPS id, mobile or e-mail."""

from adapters.hkfps.client import FpsRail
from adapters.hkfps.simulator import FpsSimulator
from adapters.hkfps.statement import STATEMENT
from adapters.kit.module import RailModule
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme

__all__ = ["RAIL"]

RAIL = RailModule(
    name="hkfps",
    title="Hong Kong FPS",
    place=Place.HK,
    assets=(Asset.HKD, Asset.CNH),
    schemes=(Scheme.ACCOUNT, Scheme.MOBILE, Scheme.EMAIL, Scheme.FPS_ID),
    institution="999",  # no participant has it (rails.md A4)
    make_client=FpsRail,
    make_simulator=FpsSimulator,
    statement=STATEMENT,
)
