"""Law 3: several ranks give what one rank gives, at every site, edited or not, alone or in a batch."""

import pytest

from tests.engine import ranked
from tests.engine.cases import check_same, joining, objects, programs
from tests.engine.running import run

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3", "gpt_neox", "gpt2", "opt"]
#: By number of ranks; four do not divide the two key-value heads of the others.
GROUPS = {2: FAMILIES, 4: ["gpt_neox", "gpt2"], "2 nodes": ["llama", "gpt2"]}


@pytest.fixture(scope="module")
def pairs(engine, root, tmp_path_factory):
    """(outcomes at one rank, outcomes at several) by size of the group and family, the same programs in the same batch."""
    made = {}
    for size, names in GROUPS.items():
        cases, alone = [], []
        for name in names:
            served = engine(name)
            asked, vectors = programs(served.card), objects(served.card)
            cases.append(ranked.Case(root / name, asked, vectors, joining(), watched=1))
            alone.append([_try(served, one, vectors) for one in (*asked, *joining())])
        directory = tmp_path_factory.mktemp("ranks")
        several = (
            ranked.run_on(size, directory, cases) if isinstance(size, int) else ranked.run_on_nodes(directory, cases)
        )
        made |= {(size, n): pair for n, pair in zip(names, zip(alone, several, strict=True), strict=True)}
    return made


def _try(served, one, objects):
    try:
        return run(served, one, objects=objects)[0]
    except Exception as error:
        return error


@pytest.mark.parametrize("size, name", [(size, name) for size, names in GROUPS.items() for name in names])
def test_3_several_ranks_give_what_one_gives(size, name, pairs):
    alone, several = pairs[size, name]
    assert len(alone) == len(several)
    for one, other in zip(alone, several, strict=True):
        check_same(one, other)
