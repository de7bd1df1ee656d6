"""Neuronpedia's records: labels of public dictionaries read from its exports, ours written as it reads them.

An export of a source (a dictionary of a model) is a directory of gzipped JSON lines, one record a line: `explanations` (index,
description, explanationModelName, typeName), `features` (density, largest activation, histogram, promoted and suppressed tokens) and
`activations` (tokens of an example with the activation of each).
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..errors import RequestError
from .dictionary import Dictionary
from .dictionary_notes import imported
from .feature_browser import FeatureBrowser
from .feature_table import Feature

_LINES = 1024
_MOST_BYTES = 1 << 30
_DIGITS = 12
_NAME = re.compile(r"[\w.-]{1,128}")


class Explanation(msgspec.Struct, frozen=True):
    """What is read of an explanation; other fields are left aside."""

    index: str | int
    description: str
    model: str | None = msgspec.field(default=None, name="explanationModelName")
    kind: str | None = msgspec.field(default=None, name="typeName")


def read_neuronpedia(sae: Dictionary, path: str | Path) -> Dictionary:
    """The dictionary with the explanations of an export as proposed labels, each by the model that made it. `path` is a file of
    JSON lines (or a JSON list, gzipped or not) or a directory of them. Raises RequestError; then nothing is taken over."""
    source = Path(path).expanduser()
    folder = source / "explanations" if (source / "explanations").is_dir() else source
    files = sorted(file for file in folder.iterdir() if _is_records(file)) if folder.is_dir() else [folder]
    if not files:
        raise RequestError(f"{folder} has no .jsonl, .jsonl.gz or .json file of explanations")
    found: dict[int, list[dict[str, Any]]] = {}
    for file in files:
        for line, one in _explanations(file):
            number = _number(one, sae, f"{file.name}, record {line}")
            by = ":".join(part for part in ("neuronpedia", one.model, one.kind) if part)
            entry = {"label": one.description, "judgement": "proposed", "by": by, "when": _now()}
            if one.description.strip():
                found.setdefault(number, []).append(entry)
    return imported(sae, found)


def write_neuronpedia(
    browser: FeatureBrowser, path: str | Path, model_id: str, source_id: str, latents: Sequence[int] | None = None
) -> Path:
    """Write features, their labels, and their examples token by token where the browser can read them, as an export of
    `model_id`/`source_id` in a new directory. `latents` are those that have labels or verdicts, if none are named. Raises
    RequestError."""
    for what, name in (("model_id", model_id), ("source_id", source_id)):
        if not _NAME.fullmatch(name):
            raise RequestError(f"{what} has letters, digits, '.', '_' and '-' alone, not {name!r}")
    target = Path(path).expanduser()
    if target.exists():
        raise RequestError(f"{target} exists already; choose another directory")
    sae = browser.dictionary
    known = sorted({*sae.labels, *sae.verdicts}) if sae is not None else []
    features = [browser.table[latent] for latent in (known if latents is None else latents)]
    if not features:
        raise RequestError("no latent has a label or a verdict; say which to write with latents=")
    address = {"modelId": model_id, "layer": source_id}
    records = {
        "features": [_feature(one, address) for one in features],
        "activations": [record for one in features for record in _activations(browser, one, address)],
        "explanations": [] if sae is None else [r for one in features for r in _labels(sae, one.latent, address)],
    }
    for folder, lines in records.items():
        _write(target / folder, lines)
    return target


def _is_records(file: Path) -> bool:
    return file.name.endswith((".jsonl", ".jsonl.gz", ".json", ".json.gz")) and not file.name.startswith(".")


def _explanations(file: Path) -> Iterator[tuple[int, Explanation]]:
    text = _bytes(file)
    try:
        if text.lstrip().startswith(b"["):
            yield from enumerate(msgspec.json.decode(text, type=list[Explanation]), 1)
            return
        for number, line in enumerate(io.BytesIO(text), 1):
            if line.strip():
                yield number, msgspec.json.decode(line, type=Explanation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{file} is no file of Neuronpedia's explanations: {error}") from None


def _bytes(file: Path) -> bytes:
    """A file's content, unpacked; refused when that is too large to be what it says."""
    try:
        with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"{file} could not be read: {error}") from None
    if len(content) > _MOST_BYTES:
        raise RequestError(f"{file} has more than {_MOST_BYTES / 1e9:.1f} GB of records")
    return content


def _number(one: Explanation, sae: Dictionary, where: str) -> int:
    text = str(one.index)
    if len(text) > _DIGITS or not text.isdecimal() or int(text) >= sae.latents:
        raise RequestError(f"{where}: there is no latent {text[:40]!r}: the dictionary has 0 to {sae.latents - 1}")
    return int(text)


def _feature(one: Feature, address: dict[str, str]) -> dict[str, Any]:
    lows = list(one.histogram)
    return {
        **address,
        "index": str(one.latent),
        "maxActApprox": one.max,
        "frac_nonzero": one.density,
        "pos_str": [token for token, _ in one.promotes],
        "pos_values": [value for _, value in one.promotes],
        "neg_str": [token for token, _ in one.suppresses],
        "neg_values": [value for _, value in one.suppresses],
        "freq_hist_data_bar_values": lows,
        "freq_hist_data_bar_heights": [one.histogram[low] for low in lows],
    }


def _activations(browser: FeatureBrowser, one: Feature, address: dict[str, str]) -> Iterator[dict[str, Any]]:
    if browser.strengths is None or not one.examples:
        return
    read = browser.strengths([example.ids for example in one.examples], one.latent)
    for example, values in zip(one.examples, read, strict=True):
        yield {
            **address,
            "index": str(one.latent),
            "tokens": list(example.tokens),
            "values": [round(float(value), 5) for value in values],
            "maxValue": float(max(values)),
            "maxValueTokenIndex": int(max(range(len(values)), key=values.__getitem__)),
            "minValue": float(min(values)),
        }


def _labels(sae: Dictionary, latent: int, address: dict[str, str]) -> Iterator[dict[str, Any]]:
    for entry in sae.notes(latent).get("labels", ()):
        if entry["judgement"] != "rejected":
            names = {"description": entry["label"], "explanationModelName": entry["by"], "typeName": entry["judgement"]}
            yield {**address, "index": str(latent), **names}


def _write(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    lines = [msgspec.json.encode(record) for record in records]
    for number, start in enumerate(range(0, len(lines), _LINES)):
        folder.mkdir(parents=True, exist_ok=True)
        with gzip.open(folder / f"batch-{number}.jsonl.gz", "wb") as file:
            file.write(b"\n".join(lines[start : start + _LINES]) + b"\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
