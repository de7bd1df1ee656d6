"""Widgets of interp-magics, usable without it: numpy and anywidget only."""

from .lens import Lens, LensData

__all__ = ["Lens", "LensData"]
