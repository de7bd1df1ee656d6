"""Reading latents in one pass, beside what numpy says of all activations at once."""

import numpy as np
import pytest
import torch

from interp_magics.engine.dictionaries import few, reader
from interp_magics.engine.dictionaries.reader import Piece, Reader
from interp_magics.program.latents import BINS, LOWEST, Kept

CPU = torch.device("cpu")
M, D, VOCABULARY = 12, 8, 20


def pieces_of(count=40, seed=0):
    draw = np.random.default_rng(seed)
    made = []
    for text in range(count):
        n = int(draw.integers(3, 30))
        x = torch.from_numpy(draw.standard_normal((n, D)).astype(np.float32))
        tokens = torch.from_numpy(draw.integers(0, VOCABULARY, n))
        made.append(Piece(x, tokens, torch.arange(1, n + 1), text, 0))
    return made


def encoder(seed=1):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(D, M, generator=draw)
    return lambda x: (x @ weight - 1.5).relu()


def read(pieces, kept=Kept()):
    made = Reader(M, kept, CPU)
    for _ in made.read(pieces, encoder()):
        pass
    return made


def test_counts_and_sums_are_those_of_all_activations(monkeypatch):
    pieces = pieces_of()
    f = np.concatenate([encoder()(piece.x).numpy() for piece in pieces]).astype(np.float64)
    monkeypatch.setattr(reader, "_AT_ONCE", 50)
    made = read(pieces)
    assert made.rows == len(f)
    assert np.array_equal(made.count.numpy(), (f > 0).sum(0))
    assert np.allclose(made.total.numpy(), f.sum(0)) and np.allclose(made.squares.numpy(), (f**2).sum(0))
    for latent in range(M):
        values = f[f[:, latent] > 0, latent]
        bins = np.clip(np.floor(np.log2(values)) - LOWEST, 0, BINS - 1).astype(int)
        assert np.array_equal(made.histogram[latent].numpy(), np.bincount(bins, minlength=BINS))


def test_the_top_examples_are_the_strongest_of_different_texts():
    pieces = pieces_of()
    top = read(pieces, Kept(top=5)).top.columns()
    for latent in range(M):
        best = []
        for number, piece in enumerate(pieces):
            f = encoder()(piece.x)[:, latent].numpy()
            if f.max() > 0:
                best.append((-f.max(), number, int(piece.positions[f.argmax()])))
        mine = top["key"] == latent
        found = list(
            zip(
                (-top["value"][mine]).tolist(), top["piece"][mine].tolist(), top["position"][mine].tolist(), strict=True
            )
        )
        assert [entry[1:] for entry in found] == [entry[1:] for entry in sorted(best)[:5]]
        assert np.allclose([entry[0] for entry in found], [entry[0] for entry in sorted(best)[:5]])


def test_tokens_are_those_with_the_largest_totals():
    pieces = pieces_of()
    f = np.concatenate([encoder()(piece.x).numpy() for piece in pieces]).astype(np.float64)
    tokens = np.concatenate([piece.tokens.numpy() for piece in pieces])
    keys, totals, counts = read(pieces, Kept(tokens=1)).tokens()
    for latent in range(M):
        sums = np.array([f[tokens == token, latent].sum() for token in range(VOCABULARY)])
        mine = (keys >> 32) == latent
        wanted = [token for token in np.argsort(-sums, kind="stable")[:4] if sums[token] > 0]
        assert ((keys[mine] & 0xFFFFFFFF).numpy() == wanted).all()
        assert np.allclose(totals[mine], sums[wanted])
        assert counts[mine].tolist() == [int((f[tokens == token, latent] > 0).sum()) for token in wanted]


def test_nothing_depends_on_how_texts_are_batched(monkeypatch):
    pieces = pieces_of()
    whole = read(pieces)
    monkeypatch.setattr(reader, "_AT_ONCE", 40)
    monkeypatch.setattr(reader, "_MANY", 100)
    monkeypatch.setattr(few, "_SLACK", 10)
    cut = read(pieces)
    for name in ("top", "samples"):
        one, other = getattr(whole, name).columns(), getattr(cut, name).columns()
        assert all(torch.equal(one[column], other[column]) for column in one)
    for name in ("directions", "places"):
        assert torch.allclose(getattr(whole, name), getattr(cut, name), atol=1e-4)
    assert torch.equal(whole.tokens()[0], cut.tokens()[0])


def test_samples_of_a_bin_are_drawn_evenly():
    """Of 400 texts in which a latent is active alike, each is drawn as often as any other."""
    drawn = []
    for seed in range(60):
        pieces = [Piece(torch.ones(1, D), torch.ones(1).long(), torch.tensor([seed]), text, 0) for text in range(400)]
        made = Reader(1, Kept(samples=20), CPU)
        for _ in made.read(pieces, lambda x: torch.ones(len(x), 1)):
            pass
        columns = made.samples.columns()
        assert len(columns["piece"].unique()) == 20
        drawn.append(columns["piece"].numpy())
    counts = np.histogram(np.concatenate(drawn), bins=10, range=(0, 400))[0]
    assert ((counts - 120) ** 2 / 120).sum() < 27.9


def test_sketches_keep_dot_products_up_to_noise():
    draw = torch.Generator().manual_seed(0)
    rows = 4000
    pieces = [Piece(torch.randn(rows, 64, generator=draw), torch.zeros(rows).long(), torch.arange(rows), 0, 0)]
    f = (torch.rand(rows, 3, generator=draw) < 0.05).float()
    f[:, 1] = f[:, 0]
    made = Reader(3, Kept(), CPU)
    for _ in made.read(pieces, lambda x: f[: len(x)]):
        pass
    together = made.places @ made.places.T
    exact = f.T @ f
    assert float(together[0, 1] / (together[0, 0] * together[1, 1]) ** 0.5) == pytest.approx(1.0, abs=1e-4)
    assert abs(float(together[0, 2] / exact[0, 0])) < 0.35
    assert float(together[0, 0] / exact[0, 0]) == pytest.approx(1.0, abs=0.35)
