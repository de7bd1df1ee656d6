"""Results as widgets, static HTML and text: the only place that knows both results and widgets.

Importing this package registers them with `data.view`.
"""

from . import activations, attribution, features, jobs, lens, pool, steering, sweep

__all__ = ["activations", "attribution", "features", "jobs", "lens", "pool", "steering", "sweep"]
