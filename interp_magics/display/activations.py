"""How activations and completions look."""

from ..data import view
from ..data.activations import Activations
from ..data.completions import Completion


@view.text.register
def _(activations: Activations) -> str:
    lines = [repr(activations)]
    for i, row in enumerate(activations.rows[:5]):
        start = "".join(activations.tokens(i))[:60]
        lines.append(f"  row {i}: {len(row.token_ids)} tokens, {start!r}")
    more = len(activations.rows) - 5
    return "\n".join([*lines, f"  and {more} more rows"] if more > 0 else lines)


@view.text.register
def _(completion: Completion) -> str:
    return completion.text
