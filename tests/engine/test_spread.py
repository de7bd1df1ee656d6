"""A model whose layers lie partly on the disk gives what it gives in memory."""

import pytest
import torch

from interp_magics.engine.transformers_engine import spread
from interp_magics.engine.transformers_engine.load import load
from interp_magics.errors import RequestError
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import (
    Edit,
    Gradient,
    Ids,
    Lens,
    LogitDifference,
    Program,
    Row,
    Sampling,
    Stage,
    Tap,
)
from interp_magics.program.operations import Add
from tests import checkpoints
from tests.engine.running import program, raw, run, stored, vector

IDS = [0, 17, 44, 9, 120, 301]
SIZE = 0.5


def _spread(name, root):
    path = checkpoints.make(name, root)
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return load(ModelSpec(name, str(path), device="cpu", max_memory=f"cpu={int(SIZE * weights / 1000)}KB"))


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2", "gpt_neox"])
def test_it_gives_what_it_gives_in_memory(name, engine, root):
    served, whole = _spread(name, root), engine(name)
    assert any(parameter.device.type == "meta" for parameter in served._runner.model.parameters())
    assert "on disk" in served.card.remarks[0] and set(served.card.sites) == set(whole.card.sites)
    torch.manual_seed(3)
    objects = stored(x=torch.randn(served.card.d_model))
    taps = [Tap(site) for site in served.card.sites if site != "attn_pattern"]
    edits = [Edit("resid_post", 1, Add(vector("x"), 3.0))]
    generating = program([IDS, IDS[:3]], [*taps, Tap("resid_post", reduce=Lens())], edits, Sampling(5))
    gradient = Gradient(LogitDifference(7, 300), (Tap("resid_post"), Tap("mlp_out")))
    derived = Program((Row(Ids(tuple(IDS))),), (Stage((), tuple(edits), (gradient,)),))
    (mine, mine_derived), (theirs, their_derived) = (
        run(each, generating, derived, objects=objects) for each in (served, whole)
    )
    assert mine.rows == theirs.rows
    for tap in range(len(taps)):
        for row in (0, 1):
            assert (raw(mine, tap, row) - raw(theirs, tap, row)).abs().max() < 1e-4
    lens, other = (outcome.readings[0][-1].values[0] for outcome in (mine, theirs))
    assert (lens.top_logprobs - other.top_logprobs).abs().max() < 1e-4
    for tap in (0, 1):
        one, two = (o.gradients[0][0].readings[tap].values[0]["values"] for o in (mine_derived, their_derived))
        assert (one - two).abs().max() < 1e-4


def test_what_is_spread_is_decided_before_a_weight_is_read(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    spec = ModelSpec("m", str(tmp_path))
    assert spread.arguments(spec, None) == spread.arguments(spec, 2000) == {}
    assert spread.arguments(spec, 1000) == {"device_map": "auto"}
    assert spread.arguments(ModelSpec("m", str(tmp_path), tp=2), 1000) == {}
    given = spread.arguments(ModelSpec("m", str(tmp_path), max_memory="0=20GB, cpu=60GB"), None)
    assert given == {"device_map": "auto", "max_memory": {0: 20 * 10**9, "cpu": 60 * 10**9}}
    with pytest.raises(RequestError, match="several ranks"):
        spread.arguments(ModelSpec("m", str(tmp_path), tp=2, max_memory="cpu=1GB"), None)
    for wrong in ("20GB", "gpu=20GB", "0=", "0=much"):
        with pytest.raises(RequestError, match="0=20GB"):
            spread.parse(wrong)
