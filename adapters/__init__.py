"""The rails. A rail is a folder here that exports RAIL, and one name in the line below: its only registration."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from adapters.kit.module import RailModule

__all__ = ["RAILS", "load"]


class _Rails(Mapping[str, RailModule]):
    """Name -> RailModule. The names are known at once; a rail's folder is imported when it is first asked for."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._rails: dict[str, RailModule] = {}

    def __getitem__(self, name: str) -> RailModule:
        if name not in self._rails:
            if name not in self._names:
                raise KeyError(name)
            rail = import_module(f"adapters.{name}").RAIL
            if not isinstance(rail, RailModule) or rail.name != name:
                raise ValueError(f"adapters.{name} must export RAIL, a RailModule of that name")
            self._rails[name] = rail
        return self._rails[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load(*names: str) -> Mapping[str, RailModule]:
    """The rails of these folders, in this order. Raises ValueError: a name stands twice.

    Looking one up raises ImportError or ValueError when its folder is not whole. It is done on demand, so that a codec
    bench, or one rail's process, does not import the libraries of all the others.
    """
    if len(set(names)) != len(names):
        raise ValueError("a rail stands twice")
    return _Rails(names)


RAILS = load("hkfps", "mofps", "alipay", "ecny")
