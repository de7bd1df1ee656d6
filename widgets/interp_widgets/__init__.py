"""Widgets of interp-magics, usable without it: numpy and anywidget only."""
