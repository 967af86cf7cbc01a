"""What covariant networks are trained on: differences of actions, norms of forces, distances of fields.

A loss of a batch is a mean over its configurations; its gradient with respect to the coefficients is exact.
"""

from plaq.concepts import Loss
from plaq.losses.action import ActionDifference
from plaq.losses.distance import FieldDistance
from plaq.losses.force import ForceNorm
from plaq.losses.new_variables import TransformedForce
from plaq.losses.sub_volume import SubVolumeForce

__all__ = ["ActionDifference", "FieldDistance", "ForceNorm", "Loss", "SubVolumeForce", "TransformedForce"]
