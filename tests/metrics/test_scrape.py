"""A scrape: one at a time, bounded, and partial rather than late."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

import pytest

from switch.errors import StoreUnavailable
from switch.metrics import Metric, Scrape, made
from switch.metrics import scrape as scrape_module
from tests.fakes import until
from tests.metrics.support import page_of

PERSONAL = "CHAN TAI MAN"


class Question:
    """One question to a store that answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.trouble: Exception | None = None

    async def ask(self) -> Sequence[Metric]:
        self.asked += 1
        await self.answers.wait()
        if self.trouble is not None:
            raise self.trouble
        return list(made("bayswitch_outbox_entries", [((), self.asked)]))


def depth() -> Iterator[Metric]:
    return made("bayswitch_store_queue_deepest_items", [((), 7)])


@pytest.fixture
def question() -> Question:
    return Question()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither late nor stale because the machine stood still."""
    monkeypatch.setattr(scrape_module, "SCRAPE_MS_MAX", 60_000)
    monkeypatch.setattr(scrape_module, "LOOK_FRESH_MS", 3_600_000)


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is read again at once."""
    monkeypatch.setattr(scrape_module, "LOOK_FRESH_MS", 0)


async def test_who_asks_meanwhile_gets_the_same_answer(question: Question) -> None:
    scrape = Scrape({"depth": depth}, {"outbox": question.ask})
    asking = [asyncio.create_task(scrape.text()) for _ in range(5)]
    await until(lambda: question.asked)
    asking[0].cancel()  # one scraper goes away; the others lose nothing
    question.answers.set()
    texts = await asyncio.gather(*asking[1:])
    assert question.asked == 1
    assert len({id(text) for text in texts}) == 1
    assert page_of(texts[0].decode()).value("bayswitch_outbox_entries") == 1


async def test_what_was_read_just_now_is_not_read_again(question: Question) -> None:
    question.answers.set()
    scrape = Scrape({}, {"outbox": question.ask})
    for _ in range(3):
        assert page_of((await scrape.text()).decode()).value("bayswitch_outbox_entries") == 1
    assert question.asked == 1


@pytest.mark.usefixtures("stale")
async def test_a_late_answer_is_left_out_and_counted_and_is_not_asked_for_again(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape_module, "SCRAPE_MS_MAX", 5)
    scrape = Scrape({"depth": depth}, {"outbox": question.ask})
    for missed in (1, 2, 3):
        page = page_of((await scrape.text()).decode())
        assert page.value("bayswitch_scrape_missed_total", part="outbox") == missed
        assert page.value("bayswitch_store_queue_deepest_items") == 7, "what needs no store is there"
        assert "bayswitch_outbox_entries" not in page.kinds
        assert question.asked == 1, "one question is under way"
    question.answers.set()
    await asyncio.sleep(0)
    page = page_of((await scrape.text()).decode())
    assert page.value("bayswitch_outbox_entries") == question.asked
    assert page.value("bayswitch_scrape_missed_total", part="outbox") == 3
    await scrape.close()


@pytest.mark.usefixtures("stale")
async def test_a_part_that_fails_costs_itself_and_its_text_is_not_logged(
    question: Question, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def broken() -> Iterator[Metric]:
        raise KeyError(PERSONAL)

    question.answers.set()
    scrape = Scrape({"broken": broken, "depth": depth}, {"outbox": question.ask})
    for number, trouble in enumerate((StoreUnavailable("no answer in 1000 ms"), KeyError(PERSONAL)), 1):
        question.trouble = trouble
        page = page_of((await scrape.text()).decode())
        for part, missed in {"broken": number, "outbox": number, "depth": 0}.items():
            assert page.value("bayswitch_scrape_missed_total", part=part) == missed
        assert page.value("bayswitch_store_queue_deepest_items") == 7
    assert "metrics: outbox: no answer in 1000 ms" in caplog.text
    assert "metrics: outbox: KeyError" in caplog.text
    assert PERSONAL not in caplog.text


async def test_close_ends_what_is_asked(question: Question) -> None:
    scrape = Scrape({}, {"outbox": question.ask})
    asking = asyncio.create_task(scrape.text())
    await until(lambda: question.asked)
    await scrape.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await scrape.close()


async def test_the_loop_has_its_turn_between_slices() -> None:
    """While a long page is written, what else waits goes on after every slice."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    rows = [(("ALFA", f"{index}"), index) for index in range(1_000)]
    scrape = Scrape({"caps": lambda: made("bayswitch_cap_minor", rows)}, {})
    task = asyncio.create_task(other())
    page = page_of((await scrape.text()).decode())
    task.cancel()
    assert turns > 10
    assert sum(name == "bayswitch_cap_minor" for name, _ in page.values) == 1_000
