"""Objects whose settings are fixed when they are made, because what depends on them is computed once."""

from typing import Any, ClassVar

from plaq.ground.names import Explained


class Fixed(metaclass=Explained):
    """Refuses to change the attributes named in `_fixed`, and says what to do instead."""

    _fixed: ClassVar[frozenset[str]] = frozenset()
    _remedy: ClassVar[str]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and name in self.__dict__:
            raise AttributeError(f"{name} of a {type(self).__name__} is fixed when it is made; {self._remedy}")
        super().__setattr__(name, value)
