"""What a dictionary of one layer costs on given hardware, the model's passes included: memory, operations, time.

Predictions, as in `planning`. A step costs the encoder's product, 2 d m operations a token, and little more where few latents are
active (topk and its kin), or 10 d m where a penalty decides (forward, and three products backward, without the one that the
bias alone would need); Adam moves 28 bytes for each weight and step. The passes go up to the layer that is read.
"""

from dataclasses import dataclass

from .planning import Machine, Shape, in_bytes, in_time
from .program.dictionaries import COUNTED, LARGE_BYTES, STATE_BYTES, Recipe

_ADAM_BYTES = 28


@dataclass(frozen=True)
class DictionaryPlan:
    """Predictions: how many ranks have a share of it, bytes of the training's state on each of them, and of all its weights alone,
    operations a token of the passes and of learning, and seconds of each over all tokens."""

    shares: int
    state: float
    weights: float
    pass_flops: float
    learning_flops: float
    pass_seconds: float
    learning_seconds: float

    @property
    def seconds(self) -> float:
        """Of all of it on one group, the passes and the learning after each other."""
        return self.pass_seconds + self.learning_seconds


def plan(shape: Shape, machine: Machine, recipe: Recipe, ranks: int) -> DictionaryPlan:
    """Predict for a dictionary of the stream of `recipe.layer`. What its shares tell each other is not counted."""
    d, m = shape.sizes.d_model, recipe.latents
    pass_flops = 2.0 * shape.block_parameters * (recipe.layer + 1) / shape.sizes.layers
    pairs = 8.0 * d * recipe.k if recipe.architecture in COUNTED else 8.0 * d * m
    learning = 2.0 * d * m + pairs
    moved = _ADAM_BYTES * 2 * d * m * (recipe.tokens / recipe.batch)
    state = STATE_BYTES * 2.0 * d * m
    shares = ranks if state > LARGE_BYTES else 1
    return DictionaryPlan(
        shares=shares,
        state=state / shares,
        weights=4 * 2.0 * d * m,
        pass_flops=pass_flops,
        learning_flops=learning,
        pass_seconds=pass_flops * recipe.tokens / (ranks * machine.flops),
        learning_seconds=(learning * recipe.tokens / machine.flops + moved / machine.bandwidth) / shares,
    )


def describe(shape: Shape, machine: Machine, recipe: Recipe, ranks: int) -> str:
    """A plan as text."""
    made = plan(shape, machine, recipe, ranks)
    share = made.pass_seconds / made.seconds
    lines = [
        f"a {recipe.architecture} dictionary of {recipe.latents:,} latents at layer {recipe.layer}, {recipe.tokens:,} tokens",
        f"  state              {in_bytes(made.state)} on {_where(made.shares)} while it is trained, {in_bytes(made.weights)} as it is kept",
        f"  passes             {made.pass_flops / 1e9:.1f} GFLOP a token, {in_time(made.pass_seconds)}",
        f"  learning           {made.learning_flops / 1e9:.1f} GFLOP a token, {in_time(made.learning_seconds)}",
        f"  together           {in_time(made.seconds)}, {recipe.tokens / made.seconds:,.0f} tokens/s; the passes are {share:.0%} of it"
        + (": train several on the same stream" if share > 0.5 else ""),
    ]
    return "\n".join(lines)


def _where(shares: int) -> str:
    return "one rank" if shares == 1 else f"each of {shares} ranks"
