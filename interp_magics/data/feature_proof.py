"""Whether a feature does something: what becomes of a behaviour when the model computes with the feature changed.

A behaviour is a number from 0 to 1 for each completion (1 where it shows, 0 where not). On prompts that show it the feature is
multiplied (0 is ablation, 1 is nothing); on prompts that do not it is held at a level, in multiples of the largest activation that
texts gave it. The same is done to controls: latents that are active as often and as strongly. What the dictionary does not explain
is kept, so that doing nothing is exactly nothing.
    necessity     mean over prompts of (behaviour as it is - with the feature ablated)
    sufficiency   mean over prompts of (behaviour with the feature at its highest level - as it is)
    interval      95 %, of resampled prompts
    verdict       "causal": one of the two is at least `smallest`, and its interval lies above everything that a control does;
                  "correlational": both were measured and both intervals lie within -smallest .. smallest: whatever the feature goes
                  with, it does not make it; "inconclusive": anything else, such as fewer than 8 prompts, prompts that do not show
                  (or already show) the behaviour as they are, no controls, or controls that do as much
Where all of n prompts agree, resampling gives an interval without width; it is then 3 / n wide on both sides (the rule of three: what
none of n did, up to 3 / n of all may do), so that with `smallest` .2 "correlational" takes 16 prompts of each kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import bootstrap

Floats = npt.NDArray[np.float64]
#: With fewer prompts nothing is concluded.
LEAST = 8
Verdict = Literal["causal", "correlational", "inconclusive"]


@dataclass(frozen=True)
class Effect:
    """How much a change does over so many `prompts`: of the feature with its interval, and the largest of the controls. It is
    `tellable` where the behaviour as it is leaves room for an effect that counts, and there are controls."""

    effect: float
    low: float
    high: float
    control: float

    prompts: int
    tellable: bool

    def clear(self, smallest: float) -> bool:
        """Whether it is large enough, and beyond chance and all controls."""
        return self.sound and self.effect >= smallest and self.low > max(0.0, self.control)

    def none(self, smallest: float) -> bool:
        """Whether it is small for certain."""
        return self.sound and -smallest < self.low and self.high < smallest

    @property
    def sound(self) -> bool:
        """Whether enough prompts could have told."""
        return self.tellable and self.prompts >= LEAST


@dataclass(frozen=True, eq=False, repr=False)
class FeatureProof:
    """What was measured: `present` [1 + controls, doses, prompts] and `absent` [1 + controls, levels, prompts] are the behaviour of
    each completion, the feature first; `plain_absent` [prompts] without any change. `side_effects` give the mean KL in nats that
    ablation and the highest level cause on texts that have nothing to do with it, [1 + controls, 2]."""

    latent: int
    controls: tuple[int, ...]
    doses: tuple[float, ...]
    levels: tuple[float, ...]
    present: Floats
    absent: Floats
    plain_absent: Floats
    side_effects: Floats
    smallest: float
    made_from: Mapping[str, Any]

    @property
    def necessity(self) -> Effect | None:
        """What ablation takes away; None when there were no prompts that show the behaviour."""
        if not self.present.shape[2]:
            return None
        plain = self.present[:, self.doses.index(1.0)]
        room = float(plain[0].mean()) >= self.smallest
        return _effect(plain - self.present[:, self.doses.index(0.0)], room)

    @property
    def sufficiency(self) -> Effect | None:
        """What the highest level brings; None when there were no prompts without the behaviour."""
        if not self.absent.shape[2]:
            return None
        room = float(self.plain_absent.mean()) <= 1 - self.smallest
        return _effect(self.absent[:, int(np.argmax(self.levels))] - self.plain_absent, room)

    @property
    def verdict(self) -> Verdict:
        found = [self.necessity, self.sufficiency]
        if any(effect is not None and effect.clear(self.smallest) for effect in found):
            return "causal"
        nothing = all(effect is not None and effect.none(self.smallest) for effect in found)
        return "correlational" if nothing else "inconclusive"

    def table(self) -> Any:
        """A row for each dose and level: the mean behaviour with the feature, and with the controls."""
        import pandas as pd

        rows = [
            (kind, value, float(measured[0, place].mean()), *(float(x) for x in _spread(measured[1:, place])))
            for kind, values, measured in (("times", self.doses, self.present), ("level", self.levels, self.absent))
            for place, value in enumerate(values)
            if measured.shape[2]
        ]
        return pd.DataFrame(rows, columns=["change", "value", "behaviour", "controls_mean", "controls_max"])

    def _curve(self, values: tuple[float, ...], measured: Floats) -> dict[str, Any] | None:
        """Mean behaviour at each value: of the feature with its 95 % interval, of each control; None where there were no prompts."""
        if not measured.shape[2]:
            return None
        mean = measured.mean(2)
        low, high = bootstrap.interval(measured[0] @ bootstrap.weights(measured.shape[2])).T
        drawn = {"values": values, "feature": mean[0], "low": low, "high": high}
        return {
            **{name: [float(x) for x in column] for name, column in drawn.items()},
            "controls": [[float(x) for x in row] for row in mean[1:]],
        }

    def summary(self) -> dict[str, Any]:
        """What a manifest keeps."""
        effects = {
            name: None
            if effect is None
            else {"effect": effect.effect, "interval": [effect.low, effect.high], "control": effect.control}
            for name, effect in (("necessity", self.necessity), ("sufficiency", self.sufficiency))
        }
        prompts = [self.present.shape[2], self.absent.shape[2]]
        return {
            "verdict": self.verdict,
            **effects,
            "smallest": self.smallest,
            "prompts": prompts,
            "controls": list(self.controls),
            "times": self._curve(self.doses, self.present),
            "levels": self._curve(self.levels, self.absent),
            "side_effects": {"ablated": float(self.side_effects[0, 0]), "raised": float(self.side_effects[0, 1])},
            "made_from": dict(self.made_from),
        }

    def __repr__(self) -> str:
        told = [
            f"{name} {effect.effect:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}], controls at most {effect.control:+.2f}"
            for name, effect in (("necessity", self.necessity), ("sufficiency", self.sufficiency))
            if effect is not None
        ]
        ablated, raised = self.side_effects[0]
        return (
            f"FeatureProof(latent {self.latent} is {self.verdict}: {'; '.join(told)}; on other texts KL {ablated:.4f} ablated, "
            f"{raised:.4f} raised)"
        )


def _effect(differences: Floats, room: bool) -> Effect:
    """Of differences [1 + controls, prompts]."""
    mean, prompts = float(differences[0].mean()), differences.shape[1]
    low, high = (float(bound) for bound in bootstrap.interval(differences[0] @ bootstrap.weights(prompts)))
    if np.ptp(differences[0]) == 0:
        low, high = max(-1.0, low - 3 / prompts), min(1.0, high + 3 / prompts)
    control = float(differences[1:].mean(1).max()) if len(differences) > 1 else 0.0
    return Effect(mean, low, high, control, prompts, room and len(differences) > 1)


def _spread(values: Floats) -> tuple[float, float]:
    means = values.mean(1) if len(values) else np.zeros(1)
    return float(means.mean()), float(means.max())


def matched(latent: int, density: Floats, mean: Floats, apart: set[int], count: int) -> tuple[int, ...]:
    """The latents nearest to one in density and mean activation, on logarithmic scales, those `apart` left out."""
    alive = np.flatnonzero((density > 0) & (mean > 0))
    candidates = np.asarray([one for one in alive if one != latent and one not in apart], np.int64)
    if not len(candidates) or density[latent] <= 0:
        return tuple(int(one) for one in candidates[:count])
    place = np.log(np.stack([density, np.where(mean > 0, mean, 1)], 1).clip(1e-12))
    distance = np.abs(place[candidates] - place[latent]).sum(1)
    return tuple(int(one) for one in candidates[np.argsort(distance, kind="stable")[:count]])
