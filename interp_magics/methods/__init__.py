"""One package per method: `plan` decides what a request costs and whether it fits (no torch); `run` does it on a worker."""
