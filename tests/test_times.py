"""Settings that could cost money are refused at start; what a loop logs holds no personal value."""

import asyncio

import pytest

from switch.app import check, recovery_times, unfetched
from switch.errors import ConfigError
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.settings import load_settings


@pytest.mark.parametrize(
    ("name", "least_ms"), [("rail_message_valid_ms", RAIL_MESSAGE_VALID_MS), ("clock_skew_ms", CLOCK_SKEW_MS_MAX)]
)
def test_never_seen_is_not_made_final_while_a_rail_would_take_our_message(name: str, least_ms: int) -> None:
    variable = f"BAYSWITCH_{name.upper()}"
    settings, _ = load_settings({variable: str(least_ms - 1)})
    for refusing in (check, recovery_times):
        with pytest.raises(ConfigError, match=f"{name}: at least {least_ms}"):
            refusing(settings)
    assert recovery_times(load_settings({variable: str(least_ms)})[0])
    sandbox, _ = load_settings({variable: "500", "BAYSWITCH_DEMO_IDENTITY": "true"})
    assert recovery_times(sandbox), "a sandbox tells its rails the same"


def test_the_defaults_are_what_rails_take() -> None:
    times = recovery_times(load_settings({})[0])
    assert (times.message_valid_ms, times.clock_skew_ms) == (RAIL_MESSAGE_VALID_MS, CLOCK_SKEW_MS_MAX)


def test_an_error_nobody_fetched_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        unfetched(loop, {"message": "Task exception was never retrieved", "exception": KeyError("CHAN TAI MAN")})
        unfetched(loop, {"message": "Unclosed transport"})
    assert "never retrieved: KeyError" in caplog.text
    assert "Unclosed transport" in caplog.text
    assert "CHAN" not in caplog.text
