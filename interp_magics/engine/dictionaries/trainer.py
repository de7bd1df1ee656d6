"""Training one dictionary, batch by batch: where it begins, what a step does, what it has become.

A slice of activations is shuffled by a generator that the recipe's seed and the slice's number key, and nothing but the state
crosses from one slice to the next: so training that was interrupted goes on as if it had not been. Of a dictionary that is shared out
over ranks, each rank has a trainer with its share of the state, and all take every step together.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...errors import RequestError
from ...program.dictionaries import COUNTED, SHARING, Recipe, of_rate, of_sparsity, shares
from . import dead, gradients
from .gradients import Batch, Step, Weights
from .shards import WHOLE, Shard

_BETAS = (0.9, 0.99)
_THRESHOLD_SHARE = 0.1
#: Every so many batches it is looked which latents are dead.
_LOOK = 16
#: A latent under a penalty that has been quiet for this share of the time after which it is dead is helped to fire.
_QUIET_SHARE = 0.25
#: The norm of the noise on a first direction, in shares of its own; and jumprelu's first threshold.
_NOISE, _FIRST_THRESHOLD = 0.5, 0.1
#: Latents that a penalty chooses among, and those of transcoders, begin as quietly as this: each grows as far as it is of use.
_QUIET = 0.1
_FEW = 1024
#: Others begin a little more quietly than what they reconstruct, so that the best of them grow first; much more, and many die.
_MODEST = 0.66
#: So many rows of the first slice tell how what a transcoder writes begins.
_ANSWERED = 8192
_AT_ONCE = 4096
#: In which the large products may be made.
DTYPES = ("float32", "bfloat16")


@dataclass
class Tally:
    """Sums over the rows since it was begun, in float64: of them their mean, spread and error are made; how often latents that are here
    were active."""

    rows: int
    total: Tensor
    squares: Tensor
    error: Tensor
    active: Tensor

    @classmethod
    def begin(cls, width: int, device: torch.device) -> "Tally":
        def zero(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        return cls(0, zero(width), zero(), zero(), zero())

    def add(self, y: Tensor, step: Step) -> None:
        self.rows += len(y)
        self.total += y.sum(0, dtype=torch.float64)
        self.squares += y.square().sum(dtype=torch.float64)
        self.error += step.residual.square().sum(dtype=torch.float64)
        self.active += step.fired.sum(dtype=torch.float64)

    @property
    def fvu(self) -> float:
        """The error over the spread around the mean of these rows."""
        spread = self.squares - self.total.square().sum() / max(1, self.rows)
        return float(self.error / spread) if float(spread) > 0 else float("nan")


@dataclass
class State:
    """All that training has made so far: a copy of it goes on as the original does. `moments` are Adam's two; `since` [m]
    tokens since each latent fired; `threshold` and `threshold_weight` a moving sum of batch_topk's and what it weighs;
    `scale` and `scale_out` multiply what is read and what is to be written."""

    weights: Weights
    moments: list[Weights]
    since: Tensor
    dead: Tensor
    threshold: Tensor
    threshold_weight: float = 0.0
    scale: float = 1.0
    scale_out: float = 1.0
    seen: int = 0
    batches: int = 0
    slices: int = 0
    dtype: str = "float32"


@dataclass
class Trainer:
    """Trains what a recipe says, or the share of it that is here; `tally` is of the slice that it is at, `rate` Adam's learning rate at
    its highest."""

    recipe: Recipe
    state: State
    shard: Shard = WHOLE
    tally: Tally = field(init=False)
    rate: float = field(init=False)
    _adam: torch.optim.Adam = field(init=False)
    #: How many latents are dead, of each rank's.
    _dead: list[int] = field(init=False)

    def __post_init__(self) -> None:
        weights = self.state.weights
        self.tally = Tally.begin(weights["decoder"].shape[1], weights["decoder"].device)
        self.rate = self.recipe.learning_rate or self.recipe.automatic_rate(weights["encoder"].shape[1])
        self._adam = torch.optim.Adam(list(weights.values()), lr=self.rate, betas=_BETAS, fused=True)
        for name, weight in weights.items():
            first, second = (kind[name] for kind in self.state.moments)
            count = torch.tensor(float(self.state.batches), device=weight.device)
            self._adam.state[weight] = {"step": count, "exp_avg": first, "exp_avg_sq": second}
        self._dead = self.shard.counts(len(self.state.dead))

    @property
    def over(self) -> bool:
        """Whether it has had its tokens."""
        return self.state.seen >= self.recipe.tokens

    def l0(self) -> float:
        """Active latents of a row, over the slice."""
        return float(self.shard.sum(self.tally.active.clone())) / max(1, self.tally.rows)

    def dead_share(self) -> float:
        """The share of latents that have not fired for as long as the recipe says."""
        late = (self.state.since > self.recipe.window).sum(dtype=torch.float64)
        return float(self.shard.sum(late)) / self.recipe.latents

    def learn(self, x: Tensor, y: Tensor | None = None) -> Iterator[None]:
        """Learn from the rows of a slice, x [n, d] (and y [n, d_out] for a transcoder), pausing after every batch."""
        state, recipe = self.state, self.recipe
        check(x, recipe, "read")
        if y is not None:
            check(y, recipe, "written")
        state.slices += 1
        draw = torch.Generator().manual_seed((recipe.seed * 1_000_003 + state.slices) % 2**63)
        rows = torch.randperm(len(x), generator=draw)[: recipe.tokens - state.seen]
        self.tally = Tally.begin(len(state.weights["b_dec"]), state.weights["b_dec"].device)
        for some in rows.tensor_split(max(1, round(len(rows) / recipe.batch))):
            if len(some):
                self._step(x[some], None if y is None else y[some], draw)
                yield
        bad = torch.stack([(~torch.isfinite(weight)).sum() for weight in state.weights.values()])
        if self.shard.sum(bad).any():
            raise RequestError(
                f"the training at {recipe.site!r} of layer {recipe.layer} has diverged: its weights are no longer finite; lower "
                f"the learning rate ({self.rate:.2g})"
            )

    def _step(self, x: Tensor, y: Tensor | None, draw: torch.Generator) -> None:
        state, recipe = self.state, self.recipe
        device = state.weights["encoder"].device
        here = x.to(device, torch.float32) * state.scale
        there = None if y is None else y.to(device, torch.float32) * state.scale_out
        with torch.no_grad():
            dtype, alone = getattr(torch, state.dtype), not shares(recipe, state.seen)
            batch = gradients.encode(state.weights, here, there, dtype, alone, self.shard)
            step = gradients.gradients(state.weights, batch, recipe, recipe.sparsity * of_sparsity(recipe, state.seen))
            found = self._revived(batch, step, draw)
            rate = self.rate * of_rate(recipe, state.seen)
            self._descend(found, rate)
            if recipe.architecture not in COUNTED:
                self._lift(rate)
            self._count(batch, step)

    def _revived(self, batch: Batch, step: Step, draw: torch.Generator) -> Weights:
        """The gradients, with what dead latents are to learn."""
        state, recipe = self.state, self.recipe
        looks = state.batches % _LOOK == 0
        if looks:
            state.dead = (state.since > recipe.window).nonzero().flatten()
            self._dead = self.shard.counts(len(state.dead))
        count = sum(self._dead)
        if recipe.architecture in COUNTED:
            helps = recipe.auxiliary and count
            return dead.revive(state.weights, batch, step, state.dead, count, recipe) if helps else step.gradients
        if looks and count and state.seen < (1 - recipe.decay) * recipe.tokens:
            self._set_anew(batch, step, draw)
        return step.gradients

    def _set_anew(self, batch: Batch, step: Step, draw: torch.Generator) -> None:
        state = self.state
        dead.set_anew(state.weights, state.moments, batch, step, state.dead, self._dead, draw)
        state.since[state.dead] = 0
        if self.recipe.architecture == "jumprelu":
            state.weights["log_threshold"][state.dead] = torch.tensor(_FIRST_THRESHOLD).log()
        state.dead, self._dead = state.dead[:0], [0] * len(self._dead)

    def _lift(self, rate: float) -> None:
        """Raise the biases of quiet latents, whom no gradient reaches, as far as the optimiser moves others in a step."""
        quiet = self.state.since > _QUIET_SHARE * self.recipe.window
        self.state.weights["b_enc"].add_(quiet, alpha=rate)

    def _descend(self, found: Weights, rate: float) -> None:
        weights = self.state.weights
        for name, weight in weights.items():
            weight.grad = found[name]
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        for weight in weights.values():
            weight.grad = None
        decoder = weights["decoder"]
        decoder /= decoder.norm(dim=1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny)

    def _threshold(self, batch: Batch, step: Step) -> Tensor | None:
        """What batch_topk's threshold is averaged from: while rows choose alone it is looked up now and then, for a training that ends
        before they share."""
        if not batch.alone or self.recipe.architecture not in SHARING:
            return step.threshold
        looks = self.state.batches % _LOOK == 0
        return gradients.shared_threshold(batch, self.recipe) if looks else None

    def _count(self, batch: Batch, step: Step) -> None:
        state = self.state
        rows = len(batch.x)
        state.since = torch.where(step.fired > 0, 0, state.since + rows)
        if (threshold := self._threshold(batch, step)) is not None:
            state.threshold = (1 - _THRESHOLD_SHARE) * state.threshold + _THRESHOLD_SHARE * threshold
            state.threshold_weight += _THRESHOLD_SHARE * (1 - state.threshold_weight)
        state.seen += rows
        state.batches += 1
        self.tally.add(batch.y, step)


def begin(recipe: Recipe, x: Tensor, y: Tensor | None, device: torch.device, shard: Shard = WHOLE) -> Trainer:
    """A trainer whose dictionary begins from its first slice: the bias at the mean, the latents at rows of it, with noise, so that
    they point where data is. Raises RequestError for rows that nothing can be learned from."""
    check(x, recipe, "read")
    scale, _ = _scale(x, recipe)
    out = x if y is None else y
    if y is not None:
        check(y, recipe, "written")
    scale_out, mean = _scale(out, recipe)
    draw = torch.Generator().manual_seed(recipe.seed)
    chosen = torch.randint(len(x), (recipe.latents,), generator=draw)
    directions = shard.of(_directions(x[chosen].float(), draw))
    zeros = torch.zeros(len(directions))
    weights: Weights = {
        "encoder": directions * _loudness(recipe),
        "decoder": directions.clone() if y is None else _answers(directions, x, y),
        "b_enc": zeros.clone(),
        "b_dec": (mean * scale_out).float(),
    }
    if y is not None:
        weights["b_enc"] -= weights["encoder"] @ (_mean(x) * scale).float()
    if recipe.architecture == "jumprelu":
        weights["log_threshold"] = (zeros + _FIRST_THRESHOLD).log()
    if recipe.architecture == "gated":
        weights |= {"r_mag": zeros.clone(), "b_mag": zeros.clone()}
    weights = {name: value.to(device).contiguous() for name, value in weights.items()}
    state = State(
        weights=weights,
        moments=[{name: torch.zeros_like(value) for name, value in weights.items()} for _ in range(2)],
        since=torch.zeros(len(directions), dtype=torch.long, device=device),
        dead=torch.zeros(0, dtype=torch.long, device=device),
        threshold=torch.zeros((), device=device),
        scale=scale,
        scale_out=scale if y is None else scale_out,
        dtype=recipe.dtype or DTYPES[shard.of_first(DTYPES.index(fast_dtype(device)))],
    )
    return Trainer(recipe, state, shard)


def _loudness(recipe: Recipe) -> float:
    """The norm of the encoder's rows at first. Where half of all latents are active at first, what they add up to grows as the
    root of their number, and they are so much quieter."""
    if recipe.architecture in COUNTED:
        return _QUIET if recipe.transcodes else _MODEST
    return float(_QUIET * min(1.0, _FEW / recipe.latents) ** 0.5)


def check(x: Tensor, recipe: Recipe, what: str) -> None:
    """Raises RequestError for activations that are not finite."""
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).any(1).sum())
        raise RequestError(
            f"{bad} of {len(x)} activations that are {what} at {recipe.site!r} of layer {recipe.layer} are not finite (NaN or "
            "infinity); nothing was learned from them"
        )


@cache
def fast_dtype(device: torch.device) -> str:
    """The dtype in which the device multiplies large matrices fastest: bfloat16 where it has units for it."""
    if device.type == "cuda":
        return "bfloat16"
    times = {name: _seconds(torch.randn(256, 1024).to(getattr(torch, name))) for name in ("float32", "bfloat16")}
    return "bfloat16" if times["bfloat16"] < 0.7 * times["float32"] else "float32"


def _seconds(rows: Tensor) -> float:
    square = rows.new_ones(1024, 1024)
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        rows @ square
        best = min(best, time.perf_counter() - started)
    return best


def _mean(x: Tensor) -> Tensor:
    return x.mean(0, dtype=torch.float64)


def _scale(x: Tensor, recipe: Recipe) -> tuple[float, Tensor]:
    """What makes the mean square norm around the mean the width, and that mean."""
    mean = _mean(x)
    spread = sum(float((some.double() - mean).square().sum()) for some in x.split(_AT_ONCE)) / len(x)
    if len(x) < 2 or not spread > 1e-12 * max(1.0, float(mean.square().sum())):
        raise RequestError(
            f"the {len(x)} activations at {recipe.site!r} of layer {recipe.layer} are all the same, so there is nothing to learn: give "
            "more varied texts, or another site or layer"
        )
    return (x.shape[1] / spread) ** 0.5, mean


def _directions(rows: Tensor, draw: torch.Generator) -> Tensor:
    """Unit vectors from the mean of rows to each of them, with noise."""
    unit = normalize(rows - rows.mean(0), dim=1)
    noise = torch.randn(rows.shape, generator=draw) * (_NOISE / rows.shape[1] ** 0.5)
    return normalize(unit + noise, dim=1)


def _answers(directions: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Unit vectors along which y lies, from its mean, where x lies along `directions`: sums weighted by how far it does."""
    x, y = x[:_ANSWERED].float(), y[:_ANSWERED].float()
    x, y = x - x.mean(0), y - y.mean(0)
    sums = [(x @ some.T).relu_().T @ y for some in directions.split(_AT_ONCE)]
    return normalize(torch.cat(sums), dim=1)
