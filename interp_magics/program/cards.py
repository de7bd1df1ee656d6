"""Model cards: what a loaded model is, which sites it has with which shapes, and why others are missing."""

from msgspec import Struct


class SiteInfo(Struct, frozen=True, forbid_unknown_fields=True):
    """One site of a model: the shape of its value at one position, whether it can be written, and a remark."""

    shape: tuple[int, ...]
    layers: int
    writable: bool = True
    note: str = ""


class ModelCard(Struct, frozen=True, forbid_unknown_fields=True):
    """A model as one engine serves it.

    `missing` gives a reason for each site that it lacks; `flops_per_second` is what its self-test reached, for estimates.
    Rows of a program that pass `together` may copy from one another; else one row must come after those that it copies from.
    `scrubbers` are what its workers clean texts with before anything is made of them that is kept.
    """

    name: str
    family: str
    architecture: str
    digest: str
    revision: str
    tokenizer: str
    dtype: str
    layers: int
    d_model: int
    d_mlp: int
    heads: int
    kv_heads: int
    d_head: int
    vocabulary: int
    context: int
    parameters: int
    sites: dict[str, SiteInfo]
    missing: dict[str, str]
    engine: str
    ops: tuple[str, ...]
    reductions: tuple[str, ...]
    lens_kinds: tuple[str, ...]
    special_tokens: dict[str, int]
    chat_template: bool
    gradients: bool = False
    conditions: bool = False
    together: bool = False
    flops_per_second: float = 1e11
    versions: dict[str, str] = {}
    remarks: tuple[str, ...] = ()
    scrubbers: tuple[str, ...] = ()
