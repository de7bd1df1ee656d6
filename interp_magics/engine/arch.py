"""Where each family keeps its sites.

A family is one short entry of `FAMILIES`: which modules of a block carry which site. What every decoder has alike (the list
of blocks, the final norm, the head) is found by structure, and so is a family without an entry, at fewer sites. Nothing
here is believed: `selftest` proves at load that the parts add up to what the model computes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor, nn

from ..errors import RequestError
from ..program.shapes import Shapes, read_shapes

View = Callable[[Tensor], Tensor]


def _whole(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True)
class Slot:
    """One of a module's arguments, by its place or, where it is given so, by its name; or one of its outputs."""

    place: int = 0
    name: str = "hidden_states"


Slots = tuple[Slot, ...]
_ONE: Slots = (Slot(),)


@dataclass(frozen=True)
class Port:
    """A tensor that a hook can read and replace: what is in `slots` of the input or the output of a module, seen through `view`.

    Of two slots the value is the sum: some blocks hand on the stream in two parts, the second None before anything was
    added. `view` returns a view [batch, position, ...] that shares memory with what it is given. With `base`, the site's value
    is this tensor plus the value at `base` (resid_mid = what attention adds + what came in).
    """

    module: nn.Module
    side: Literal["input", "output"]
    view: View = _whole
    base: "Port | None" = None
    slots: Slots = _ONE


@dataclass(frozen=True)
class Heads:
    """A module's output as heads. `layout`: "flat" [b, t, heads * d], "bthd" or "bhtd"; `part` of a fused projection:
    which of q, k, v, lying one after another ("blocks") or head by head ("interleaved")."""

    path: str
    layout: Literal["flat", "bthd", "bhtd"] = "flat"
    part: Literal["q", "k", "v"] | None = None
    fused: Literal["blocks", "interleaved"] = "blocks"


@dataclass(frozen=True)
class Family:
    """The sites of a block by the paths of their modules. `head_out` and `mlp_act` name the projection that reads them.

    The stream is in the slots `entering` and `leaving` a block, and in the slot `attending` of attention's arguments; `between`
    is the norm, if there is one, that is given the stream in two parts after attention. Where an engine runs all sequences one
    after another in one (`flat`), tensors have no axis for the batch.
    """

    attn: str | None
    mlp: str | None
    attn_out: str | None
    mlp_out: str | None
    q: Heads | None = None
    k: Heads | None = None
    v: Heads | None = None
    head_out: str | None = None
    mlp_act: str | None = None
    parallel: bool | str = False
    entering: Slots = _ONE
    leaving: Slots = _ONE
    attending: Slots = _ONE
    between: str | None = None
    flat: bool = False
    notes: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


LLAMA = Family(
    attn="self_attn",
    mlp="mlp",
    attn_out="self_attn",
    mlp_out="mlp",
    q=Heads("self_attn.q_proj"),
    k=Heads("self_attn.k_proj"),
    v=Heads("self_attn.v_proj"),
    head_out="self_attn.o_proj",
    mlp_act="mlp.down_proj",
)
QWEN3 = replace(LLAMA, q=Heads("self_attn.q_norm", "bthd"), k=Heads("self_attn.k_norm", "bthd"))
GEMMA2 = replace(LLAMA, attn_out="post_attention_layernorm", mlp_out="post_feedforward_layernorm")
GEMMA3 = replace(GEMMA2, q=Heads("self_attn.q_norm", "bhtd"), k=Heads("self_attn.k_norm", "bhtd"))
_STREAM = "this family has no norm before the sublayer; the site is what the sublayer reads, a copy of the stream"
OLMO2 = replace(
    GEMMA2,
    q=Heads("self_attn.q_norm"),
    k=Heads("self_attn.k_norm"),
    notes={"ln_attn": _STREAM, "ln_mlp": _STREAM},
)
PHI3 = replace(
    LLAMA,
    q=Heads("self_attn.qkv_proj", part="q"),
    k=Heads("self_attn.qkv_proj", part="k"),
    v=Heads("self_attn.qkv_proj", part="v"),
)
GPT_NEOX = Family(
    attn="attention",
    mlp="mlp",
    attn_out="attention",
    mlp_out="mlp",
    q=Heads("attention.query_key_value", part="q", fused="interleaved"),
    k=Heads("attention.query_key_value", part="k", fused="interleaved"),
    v=Heads("attention.query_key_value", part="v", fused="interleaved"),
    head_out="attention.dense",
    mlp_act="mlp.dense_4h_to_h",
    parallel="use_parallel_residual",
)
GPT2 = Family(
    attn="attn",
    mlp="mlp",
    attn_out="attn",
    mlp_out="mlp",
    q=Heads("attn.c_attn", part="q"),
    k=Heads("attn.c_attn", part="k"),
    v=Heads("attn.c_attn", part="v"),
    head_out="attn.c_proj",
    mlp_act="mlp.c_proj",
)
_EXPERTS = {"mlp_act": "the neurons of a token's experts are not one vector; read mlp_out instead"}
QWEN3_MOE = replace(QWEN3, mlp_act=None, missing=_EXPERTS)
MIXTRAL = replace(LLAMA, mlp_act=None, missing=_EXPERTS)

FAMILIES: dict[str, Family] = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": QWEN3,
    "gemma2": GEMMA2,
    "gemma3": GEMMA3,
    "gemma3_text": GEMMA3,
    "olmo2": OLMO2,
    "phi3": PHI3,
    "gpt_neox": GPT_NEOX,
    "gpt2": GPT2,
    "qwen3_moe": QWEN3_MOE,
    "mixtral": MIXTRAL,
}


@dataclass(frozen=True)
class Arch:
    """A model's parts: blocks, final norm, and for each site the port of every layer (`ports[site][layer]`), None where another
    process has it."""

    family: str
    shapes: Shapes
    blocks: tuple[nn.Module, ...]
    norm: nn.Module
    decoder: nn.Module
    ports: dict[str, tuple[Port | None, ...]]
    missing: dict[str, str]
    notes: dict[str, str]


def shapes_of(config: Any) -> Shapes:
    """Sizes from a Hugging Face configuration (its text part)."""
    text = config.get_text_config()
    return read_shapes(lambda name: getattr(text, name, None))


def site_shape(site: str, shapes: Shapes) -> tuple[int, ...]:
    """The shape of a site's value at one position; of the first axis each rank may hold its share."""
    if site in ("q", "head_out"):
        return (shapes.heads, shapes.d_head)
    if site in ("k", "v"):
        return (shapes.kv_heads, shapes.d_head)
    if site == "attn_pattern":
        return (shapes.heads,)
    return (shapes.d_mlp,) if site == "mlp_act" else (shapes.d_model,)


Adapt = Callable[[Family, nn.Module], Family]


def describe(
    model: Any,
    head: Any,
    adapt: Adapt = lambda family, block: family,
    ranks: int = 1,
    here: Callable[[nn.Module], bool] = lambda module: True,
) -> Arch:
    """The parts of a loaded causal language model with a `head`. `adapt` makes of a family what it is where an engine has put
    modules of its own, given a block; of `ranks`, each of which has its share of the heads there; `here` says whether a module
    is in this process. Raises RequestError naming what cannot be found."""
    shapes = shapes_of(model.config)
    if head is None:
        raise RequestError(f"{type(model).__name__} has no language-model head to read the stream with")
    family_name = model.config.get_text_config().model_type
    decoder, blocks, norm = _find_trunk(model, shapes.layers)
    family = FAMILIES.get(family_name) or FAMILIES.get(model.config.model_type)
    known = family is not None
    block = next(block for block in blocks if here(block))
    family = adapt(family or _guess(block), block)
    own = replace(shapes, heads=shapes.heads // ranks, kv_heads=shapes.kv_heads // ranks)
    ports, missing = _ports(family, blocks, norm, own, model.config.get_text_config(), here)
    if not known:
        missing = {
            **missing,
            **dict.fromkeys(_UNKNOWN_SITES, f"family {family_name!r} has no entry, only its stream is served"),
        }
        ports = {site: port for site, port in ports.items() if site not in missing}
    label = family_name if known else f"{family_name} (found by structure)"
    return Arch(label, shapes, blocks, norm, decoder, ports, missing, dict(family.notes))


_UNKNOWN_SITES = ("ln_attn", "q", "k", "v", "attn_pattern", "head_out", "ln_mlp", "mlp_act")


def _find_trunk(model: Any, layers: int) -> tuple[nn.Module, tuple[nn.Module, ...], nn.Module]:
    architecture = type(model).__name__
    for path, module in model.named_modules():
        lists = [c for c in module.children() if isinstance(c, nn.ModuleList) and len(c) == layers]
        norms = [c for name, c in module.named_children() if _is_norm(name, c)]
        if lists and norms and "vision" not in path and "encoder" not in path.split("."):
            return module, tuple(lists[0]), norms[-1]
    raise RequestError(f"in {architecture} no list of {layers} blocks with a final norm beside it was found")


def _is_norm(name: str, module: nn.Module) -> bool:
    named = type(module).__name__.lower() + " " + name.lower()
    return "norm" in named or bool(re.search(r"\bln(_f)?\b", named))


def _guess(block: nn.Module) -> Family:
    def child(pattern: str) -> str | None:
        names = (n for n, c in block.named_children() if re.search(pattern, n.lower()) and not _is_norm(n, c))
        return next(names, None)

    attn, mlp = child("attn|attention"), child("mlp|feed_forward|ffn|moe")
    reason = f"no such sublayer was found in {type(block).__name__} by its name"
    missing = {site: reason for site, found in (("attn_out", attn), ("resid_mid", attn), ("mlp_out", mlp)) if not found}
    return Family(attn=attn, mlp=mlp, attn_out=attn, mlp_out=mlp, missing=missing)


def _ports(
    family: Family,
    blocks: tuple[nn.Module, ...],
    norm: nn.Module,
    shapes: Shapes,
    config: Any,
    here: Callable[[nn.Module], bool],
) -> tuple[dict[str, tuple[Port | None, ...]], dict[str, str]]:
    missing = dict(family.missing)
    parallel = bool(getattr(config, family.parallel)) if isinstance(family.parallel, str) else family.parallel
    if parallel:
        missing["resid_mid"] = "attention and MLP read the same stream side by side, so there is no stream between them"
    per_layer = [_block_ports(family, block, shapes) if here(block) else {} for block in blocks]
    sites = [site for site in max(per_layer, key=len) if site not in missing]
    ports: dict[str, tuple[Port | None, ...]] = {site: tuple(layer.get(site) for layer in per_layer) for site in sites}
    ports["embed"] = ports["resid_pre"][:1]
    final = Port(norm, "output")
    ports["ln_final"] = ((_batched(final) if family.flat else final) if here(norm) else None,)
    for site in ("q", "k", "v", "head_out", "mlp_act"):
        if site not in ports:
            missing.setdefault(site, "this family keeps it inside one fused operation")
    return ports, missing


def _block_ports(family: Family, block: nn.Module, shapes: Shapes) -> dict[str, Port]:
    get = block.get_submodule
    entering = Port(block, "input", slots=family.entering)
    ports = {"resid_pre": entering, "resid_post": Port(block, "output", slots=family.leaving)}
    if family.attn and family.attn_out:
        added = Port(get(family.attn_out), "output")
        ports["ln_attn"] = Port(get(family.attn), "input", slots=family.attending)
        ports["attn_pattern"] = Port(get(family.attn), "output", _queries_first, slots=(Slot(1),))
        ports["attn_out"] = added
        ports["resid_mid"] = replace(added, base=entering)
        if family.between:
            ports["resid_mid"] = Port(get(family.between), "input", slots=(Slot(0), Slot(1, "residual")))
    if family.mlp and family.mlp_out:
        ports["ln_mlp"] = Port(get(family.mlp), "input")
        ports["mlp_out"] = Port(get(family.mlp_out), "output")
    for site, heads in (("q", family.q), ("k", family.k), ("v", family.v)):
        if heads:
            count = shapes.heads if site == "q" else shapes.kv_heads
            ports[site] = Port(get(heads.path), "output", _heads_view(heads, count, shapes))
    if family.head_out:
        ports["head_out"] = Port(get(family.head_out), "input", _split(shapes.d_head))
    if family.mlp_act:
        ports["mlp_act"] = Port(get(family.mlp_act), "input")
    return {site: _batched(port) for site, port in ports.items()} if family.flat else ports


def _batched(port: Port) -> Port:
    """A port of tensors without an axis for the batch."""
    view = port.view
    return replace(port, view=lambda value: view(value.unsqueeze(0)))


def _queries_first(pattern: Tensor) -> Tensor:
    """[b, heads, query, key] as [b, query, heads, key]."""
    return pattern.transpose(1, 2)


def _split(d_head: int) -> View:
    return lambda value: value.view(*value.shape[:2], -1, d_head)


def _heads_view(heads: Heads, count: int, shapes: Shapes) -> View:
    d_head = shapes.d_head
    if heads.part is None:
        if heads.layout == "bthd":
            return _whole
        if heads.layout == "bhtd":
            return lambda value: value.transpose(1, 2)
        return _split(d_head)
    part = heads.part
    if heads.fused == "interleaved":
        start = "qkv".index(part) * d_head
        return lambda value: value.view(*value.shape[:2], -1, 3 * d_head)[..., start : start + d_head]
    start = {"q": 0, "k": shapes.heads, "v": shapes.heads + shapes.kv_heads}[part] * d_head
    return lambda value: value[..., start : start + count * d_head].unflatten(-1, (count, d_head))
