"""Widgets of interp-magics, usable without it: numpy and anywidget only."""

from .lens import Lens, LensData
from .steer import Steer, SteerData

__all__ = ["Lens", "LensData", "Steer", "SteerData"]
