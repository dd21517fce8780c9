"""Both routers in one run: the compiled one and its specification."""

import importlib

import pytest

from switch.routing._reference import Router


@pytest.fixture(params=["_router", "_reference"])
def router_class(request: pytest.FixtureRequest) -> type[Router]:
    """The class of one twin; its type is the specification's."""
    module = importlib.import_module(f"switch.routing.{request.param}")
    chosen: type[Router] = module.Router
    return chosen
