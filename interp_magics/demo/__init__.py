"""The demo model: real, small, trained by `train.py` here; its card is `model/README.md`."""

from pathlib import Path

MODEL_NAME = "demo"
MODEL_DIR = Path(__file__).with_name("model")
