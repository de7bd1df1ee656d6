"""What holds for the house as a whole."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_thin_installation_drives_a_remote_pool_without_torch(tmp_path):
    """With torch and transformers hidden, everything up to the refusal to start a worker works."""
    code = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'tokenizers'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "import interp_magics as im, interp_magics.api, interp_magics.display, interp_magics.client.connection\n"
        "import interp_magics.broker.server, interp_widgets\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_is_cheap():
    code = "import sys, interp_magics; assert not {'torch', 'numpy', 'zmq'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_lock_file_names_a_registry():
    assert '"resolved"' not in (ROOT / "js/package-lock.json").read_text()


def test_every_public_name_is_there():
    import interp_magics

    for name in interp_magics.__all__:
        assert getattr(interp_magics, name) is not None


def test_every_file_of_the_widgets_travels_in_the_wheel():
    """The built files are ignored by git, so the wheel takes only those that it names."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["artifacts"]
    files = [file.relative_to(ROOT) for file in (ROOT / "widgets/interp_widgets/static").iterdir()]
    assert files and not [file for file in files if not any(file.match(pattern) for pattern in built)]


def test_the_language_of_programs_is_one_name_whatever_was_imported_before():
    for before in ("interp_magics", "interp_magics.program.language"):
        code = f"import {before}; import interp_magics as im; im.program.Edit; im.program.Program"
        subprocess.run([sys.executable, "-c", code], check=True)
