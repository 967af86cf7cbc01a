"""Chain files, for classes of states of your own."""

from plaq.chains.record import Record
from plaq.ground.states import register_state

__all__ = ["Record", "register_state"]
