"""What a wheel of vLLM needs for text models: `python requirements.py WHEEL`.

Its vision and audio libraries are left out: text runs without them, and indexes without CPU builds of them offer gigabytes of CUDA.
"""

import re
import sys
import zipfile

_LEFT_OUT = ("torch", "torchvision", "torchaudio", "torchcodec")


def needed(wheel: str) -> list[str]:
    """Requirements without extras and without those that are left out."""
    with zipfile.ZipFile(wheel) as files:
        (metadata,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        lines = files.read(metadata).decode().splitlines()
    found = [line.removeprefix("Requires-Dist:").strip() for line in lines if line.startswith("Requires-Dist:")]
    plain = [requirement for requirement in found if "extra ==" not in requirement]
    return [one for one in plain if re.split(r"[ <>=!~;\[]", one)[0].lower() not in _LEFT_OUT]


if __name__ == "__main__":
    print("\n".join(needed(sys.argv[1])))
