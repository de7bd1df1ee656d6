"""Files with which others start pools and workers, filled in with where this installation is."""

import shutil
import sys
from importlib.resources import files
from string import Template

#: By what one asks for: the file.
TEMPLATES = {
    "pool": "pool.toml",
    "systemd": "systemd.service",
    "slurm": "slurm.sh",
    "kubernetes": "kubernetes.yaml",
    "kubernetes-hosts": "kubernetes-hosts.yaml",
    "jupyterhub": "jupyterhub_config.py",
}


def filled(name: str) -> str:
    """The text of a template."""
    text = (files(__name__) / TEMPLATES[name]).read_text(encoding="utf-8")
    command = shutil.which("interp") or f"{sys.executable} -m interp_magics"
    return Template(text).substitute(interp=command) if "$interp" in text else text
