"""What a model expects of known tokens: against float64 logits of plain transformers."""

import pytest
import torch

from interp_magics.engine import surprisal as kernel
from interp_magics.errors import RequestError
from interp_magics.program.language import At, Edit, Generated, Ids, Program, Row, Sampling, Stage, Surprisal, Tap
from interp_magics.program.operations import Add
from tests import checkpoints
from tests.engine import reference
from tests.engine.running import program, run, stored, vector

IDS = [0, 17, 44, 9, 120, 301, 77, 77, 3, 250]


def _logprobs(root, name, ids):
    _, logits = reference.streams(reference.load(root / name, torch.float64), ids)
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("name", checkpoints.CONFIGS)
def test_it_is_the_log_probability_of_what_follows(name, engine, root, monkeypatch):
    monkeypatch.setattr(kernel, "_POSITIONS_AT_ONCE", 4)
    outcome = run(engine(name), program([IDS], [Tap("ln_final", reduce=Surprisal())]))[0]
    found = outcome.readings[0][0].values[0]["surprisal"][0]
    wanted = -_logprobs(root, name, IDS)[torch.arange(len(IDS) - 1), torch.tensor(IDS[1:])]
    assert (found[:-1].double() - wanted).abs().max() < 1e-4 and found[-1].isnan()


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_divergence_is_from_the_row_it_is_against(name, engine, root):
    served = engine(name)
    torch.manual_seed(1)
    objects = stored(x=torch.randn(served.card.d_model))
    edits = (Edit("resid_post", 1, Add(vector("x"), 3.0), rows=(1,)),)
    both = Program((Row(Ids(tuple(IDS))),) * 2, (Stage((Tap("ln_final", reduce=Surprisal(0)), Tap("logits")), edits),))
    outcome = run(served, both, objects=objects)[0]
    plain, steered = (row["values"][0].double().log_softmax(-1) for row in outcome.readings[0][1].values)
    found = outcome.readings[0][0].values
    wanted = (plain.exp() * (plain - steered)).sum(-1)
    assert (found[1]["divergence"][0] - wanted).abs().max() < 1e-4 and wanted.max() > 0.01
    assert found[0]["divergence"].abs().max() < 1e-5


def test_generated_tokens_are_followed_by_what_was_sampled(engine):
    tap = Tap("ln_final", positions=Generated(), reduce=Surprisal())
    outcome = run(engine("qwen3"), program([IDS], [tap, Tap("logits")], sampling=Sampling(4)))[0]
    found, logits = (reading.values[0] for reading in outcome.readings[0])
    ids = outcome.rows[0].completion_ids
    wanted = -logits["values"][0].log_softmax(-1)[len(IDS) :, :]
    assert found["surprisal"].shape == (1, 3)
    for place, token in enumerate(ids[1:]):
        assert found["surprisal"][0, place] == pytest.approx(float(wanted[place, token]), abs=1e-4)


@pytest.mark.parametrize(
    "tap, why",
    [
        (Tap("resid_post", reduce=Surprisal()), "read at 'ln_final'"),
        (Tap("ln_final", index=(1,), reduce=Surprisal()), "without an index"),
        (Tap("ln_final", reduce=Surprisal(2)), "row 2"),
        (Tap("ln_final", rows=(1,), reduce=Surprisal(0)), "does not read"),
        (Tap("ln_final", positions=At((0,)), reduce=Surprisal(5)), "row 5"),
    ],
)
def test_what_it_cannot_be_read_from_is_told(tap, why, engine):
    with pytest.raises(RequestError, match=why):
        run(engine("llama"), Program((Row(Ids(tuple(IDS))),) * 2, (Stage((tap,)),)))


def test_rows_of_unlike_tokens_are_not_compared(engine):
    both = Program((Row(Ids(tuple(IDS))), Row(Ids(tuple(IDS[:4])))), (Stage((Tap("ln_final", reduce=Surprisal(0)),)),))
    with pytest.raises(RequestError, match="other positions"):
        run(engine("llama"), both)
