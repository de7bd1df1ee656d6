"""`interp doctor`: what works here, and the remedy for each thing that does not."""

import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__
from .errors import InterpError

Finding = tuple[bool, str, str]


def examine() -> int:
    """Print one line per check; 0 when all of them hold."""
    sound = True
    for check in (_python, _packages, _widgets, _extension, _models, _memory, _gpu, _pool):
        for good, what, remedy in _findings(check):
            print(f"{'ok  ' if good else 'FAIL'} {what}" + (f"\n       {remedy}" if not good else ""))
            sound = sound and good
    return 0 if sound else 1


def _findings(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        yield False, f"{check.__name__.strip('_')}: {error}", "this check itself failed; please report it"


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield (
        good,
        f"interp-magics {__version__}, Python {platform.python_version()} on {platform.system()}",
        "use Python 3.11 or newer",
    )


def _packages() -> Iterator[Finding]:
    for name in ("pyzmq", "msgspec", "safetensors", "numpy", "ipython", "anywidget"):
        yield _installed(name, "reinstall interp-magics")
    for name in ("torch", "transformers"):
        yield _installed(name, "install interp-magics[worker] to run models here; a remote pool needs none of it")


def _installed(name: str, remedy: str) -> Finding:
    try:
        return True, f"{name} {version(name)}", ""
    except PackageNotFoundError:
        return False, f"{name} is not installed", remedy


def _widgets() -> Iterator[Finding]:
    import interp_widgets

    bundle = Path(interp_widgets.__file__).parent / "static" / "lens.js"
    good = bundle.is_file() and bundle.stat().st_size > 1000
    yield good, "the widgets' JavaScript is built", "run `npm ci && npm run build` in js/, or reinstall the package"


def _extension() -> Iterator[Finding]:
    """The panel beside the notebook, where there is a Jupyter at all."""
    try:
        from jupyter_core.paths import jupyter_config_path, jupyter_path
    except ImportError:
        return
    remedy = "reinstall interp-magics into the environment from which Jupyter starts"
    built = any((Path(at) / "interp-magics/package.json").is_file() for at in jupyter_path("labextensions"))
    yield built, "the extension of JupyterLab and Notebook 7 is installed", remedy
    file = "jupyter_server_config.d/interp_magics.json"
    asked = any((Path(at) / file).is_file() for at in jupyter_config_path())
    yield asked, "the Jupyter server is told to answer its panel", remedy


def _models() -> Iterator[Finding]:
    from .demo import MODEL_DIR

    good = (MODEL_DIR / "model.safetensors").is_file()
    yield good, "the demo model is there", "reinstall the package; its weights are missing"


def _memory() -> Iterator[Finding]:
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    yield (
        free > 1,
        f"{free:.0f} GB free in {tempfile.gettempdir()}, where an embedded pool keeps results",
        "free some space, or set TMPDIR",
    )


def _gpu() -> Iterator[Finding]:
    smi = shutil.which("nvidia-smi")
    yield (
        True,
        "an NVIDIA GPU is visible" if smi else "no GPU: models run on the CPU, which the demo model is made for",
        "",
    )


def _pool() -> Iterator[Finding]:
    from .connecting import connect

    started = time.monotonic()
    try:
        with connect() as pool:
            pool.lens("The")
            took = time.monotonic() - started
            yield True, f"a lens through the pool: {pool.model} answered {took:.1f} s after the start", ""
    except InterpError as error:
        yield (
            False,
            f"the pool does not answer: {error}",
            "see above; INTERP_POOL_URL names a pool, without it one starts here",
        )
