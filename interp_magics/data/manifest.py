"""The manifest beside a dictionary's files: what of it is relied on, checked where it is read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import RequestError
from ..program.dictionaries import Recipe


class Label(msgspec.Struct, frozen=True):
    """What somebody has called a feature."""

    label: str
    judgement: str
    by: str = ""
    when: str = ""


class Effect(msgspec.Struct, frozen=True):
    """Of a change, with its interval, and the largest of the controls."""

    effect: float
    interval: tuple[float, float]
    control: float


class SideEffects(msgspec.Struct, frozen=True):
    """KL in nats on other texts."""

    ablated: float
    raised: float


class Curve(msgspec.Struct, frozen=True):
    """Mean behaviour at each value of a change."""

    values: list[float]
    feature: list[float]
    low: list[float]
    high: list[float]
    controls: list[list[float]]


class Proof(msgspec.Struct, frozen=True):
    """What a test of a feature has shown."""

    verdict: str
    side_effects: SideEffects
    necessity: Effect | None = None
    sufficiency: Effect | None = None
    times: Curve | None = None
    levels: Curve | None = None


class Noted(msgspec.Struct, frozen=True):
    """What has been said of a feature."""

    labels: list[Label] = []
    proofs: list[Proof] = []


class Point(msgspec.Struct, frozen=True):
    """How a training did after a slice."""

    seen: int
    fvu: float | None = None
    l0: float | None = None
    dead: float | None = None


class Manifest(msgspec.Struct, frozen=True):
    """Other fields are kept and not relied on."""

    recipe: Recipe | None = None
    history: list[Point] = []
    features: dict[str, Noted] = {}
    metrics: dict[str, float] = {}
    latents: int | None = None


def checked(manifest: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The manifest as it is. Raises RequestError for one that does not say what it should as it should."""
    try:
        found = msgspec.convert(dict(manifest), Manifest)
    except (msgspec.ValidationError, RequestError) as error:
        raise RequestError(f"{where} is not as a manifest is: {error}; mend it, or move it away") from None
    for latent in found.features:
        if len(latent) > 9 or not latent.isdecimal() or (found.latents is not None and int(latent) >= found.latents):
            raise RequestError(f"{where} speaks of latent {latent[:20]!r}, which the dictionary does not have")
    return manifest
