"""What was to be written against what the record says."""

import logging

from switch.domain.payment import Payment, State

__all__ = ["written"]

_LOG = logging.getLogger("bayswitch.engine")


def written(payment: Payment, told: State) -> Payment:
    """`payment` as the store answered when the rail had told us to end it as `told`.

    A final record never changes, so one that says the opposite of the rail stays as it is; but then money is astray
    (a rail that broke its promises, clocks further apart than CLOCK_SKEW_MS_MAX) and a person has to set it right.
    """
    if payment.state is not told:
        _LOG.critical(
            "%s: %s says %s, the record says %s and stays so: settle it with the rail by hand",
            payment.hold.uetr,
            payment.hold.rail,
            told.name,
            payment.state.name,
        )
    return payment
