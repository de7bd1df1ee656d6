"""What people and tests have said of a dictionary and its features: kept in its manifest, nothing is ever overwritten.

A feature has labels, each by somebody at some time and with a judgement, and proofs with their numbers.
"""

import getpass
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from ..errors import RequestError, one_of
from ..program.numbers import integer
from .dictionary import Dictionary
from .feature_proof import FeatureProof
from .sae_evaluation import SAEEvaluation

Judgement = Literal["proposed", "confirmed", "rejected"]
JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)


def labelled(made: Dictionary, latent: int, text: str, judgement: str, by: str | None) -> Dictionary:
    """The dictionary with one more label of a feature. Raises RequestError."""
    if not text.strip():
        raise RequestError("a label says something; this one is empty")
    entry = {
        "label": text,
        "judgement": one_of("judgement", judgement, JUDGEMENTS),
        "by": getpass.getuser() if by is None else by,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return _of_feature(made, latent, "labels", entry)


def imported(made: Dictionary, labels: Mapping[int, list[dict[str, Any]]]) -> Dictionary:
    """The dictionary with labels that others gave, behind those that it has."""
    features = dict(_manifest(made).get("features", {}))
    for latent, entries in labels.items():
        here = dict(features.get(str(latent), {}))
        here["labels"] = [*here.get("labels", ()), *entries]
        features[str(latent)] = here
    return _with(made, {"features": features})


def noted(made: Dictionary, found: FeatureProof | SAEEvaluation) -> Dictionary:
    """The dictionary with a proof or an evaluation in its manifest. Raises RequestError for those of another one."""
    if isinstance(found, SAEEvaluation):
        if found.meta.dictionary != made.stored[1].digest:
            raise RequestError("this evaluation is of another dictionary")
        return _with(made, {"metrics": found.summary()})
    if not isinstance(found, FeatureProof):
        raise RequestError(f"a proof or an evaluation is noted, not {type(found).__name__}")
    if found.made_from.get("dictionary") != made.digest:
        raise RequestError("this proof is of another dictionary")
    return _of_feature(made, found.latent, "proofs", found.summary())


def notes(made: Dictionary, latent: int) -> Mapping[str, list[dict[str, Any]]]:
    """Labels and proofs of a feature, the oldest first."""
    found: Mapping[str, list[dict[str, Any]]] = (
        _manifest(made).get("features", {}).get(str(integer("latent", latent)), {})
    )
    return found


def labels(made: Dictionary) -> dict[int, str]:
    """The latest label of each feature that has one which was not rejected afterwards."""
    found = {}
    for latent, entry in _manifest(made).get("features", {}).items():
        last = {label["label"]: label["judgement"] for label in entry.get("labels", ())}
        standing = [label["label"] for label in entry.get("labels", ()) if last[label["label"]] != "rejected"]
        if standing:
            found[int(latent)] = standing[-1]
    return found


def verdicts(made: Dictionary) -> dict[int, str]:
    """The latest verdict on each feature that was tested."""
    features = _manifest(made).get("features", {})
    return {int(latent): entry["proofs"][-1]["verdict"] for latent, entry in features.items() if entry.get("proofs")}


def _of_feature(made: Dictionary, latent: int, kind: str, entry: dict[str, Any]) -> Dictionary:
    number = integer("latent", latent)
    made.vector(number)
    features = dict(_manifest(made).get("features", {}))
    here = dict(features.get(str(number), {}))
    here[kind] = [*here.get(kind, ()), entry]
    features[str(number)] = here
    return _with(made, {"features": features})


def _with(made: Dictionary, more: Mapping[str, Any]) -> Dictionary:
    return replace(made, made_from={**made.made_from, "manifest": {**_manifest(made), **more}})


def _manifest(made: Dictionary) -> Mapping[str, Any]:
    found: Mapping[str, Any] = made.made_from.get("manifest", {})
    return found
