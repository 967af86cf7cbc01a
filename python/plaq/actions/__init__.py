"""Actions: numbers with a force. A sum of actions is an action."""

from plaq.actions.links import DBW2, Iwasaki, Loops, Symanzik, Wilson
from plaq.actions.mapped import Mapped
from plaq.actions.pseudofermion import Pseudofermion
from plaq.actions.scalar import Scalar
from plaq.actions.supplied import Custom
from plaq.concepts import Action, Scaled, Sum

__all__ = [
    "DBW2",
    "Action",
    "Custom",
    "Iwasaki",
    "Loops",
    "Mapped",
    "Pseudofermion",
    "Scalar",
    "Scaled",
    "Sum",
    "Symanzik",
    "Wilson",
]
