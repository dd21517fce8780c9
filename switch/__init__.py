"""Bayswitch: routes, reserves, translates and settles payments between the rails of the Greater Bay Area."""

__version__ = "0.1.0"
