"""Field transformations: changes of variables with log det, for :class:`plaq.FieldTransformHMC`."""

from plaq.transform.action import Transformed
from plaq.transform.field import FieldTransform
from plaq.transform.masked import StoutMask
from plaq.transform.published import su3_4d, trivializing, u1_2d

__all__ = ["FieldTransform", "StoutMask", "Transformed", "su3_4d", "trivializing", "u1_2d"]
