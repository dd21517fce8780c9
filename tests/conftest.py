"""Fixtures for every test: the real servers, started once, on free ports, stopped at the end."""

pytest_plugins = ["tests.fixtures_valkey", "tests.fixtures_kafka"]
