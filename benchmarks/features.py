"""Features: a clamp of one latent in generation beside plain generation; reading 16,384 latents over a million tokens; the table of
65,536 latents in Chromium."""

import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from interp_widgets.features import Features, FeaturesData
from playwright.sync_api import sync_playwright

from interp_magics.data.dictionary import Dictionary
from interp_magics.data.dictionary_object import tensors_of
from interp_magics.engine.dictionaries.loaded import Loaded
from interp_magics.engine.dictionaries.reader import Piece, Reader
from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import Ids, Program, Row, Sampling, Stage
from interp_magics.program.latents import BINS, Kept

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write
from .sae import rows_of

PROMPT, NEW, ROUNDS = 24, 32, 100
LATENTS, ACTIVE, WIDTH, TOKENS, PIECE = 16_384, 64, 256, 1_000_000, 512
ROWS, WORDS = 65_536, 50_000
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def clamp() -> dict[str, float]:
    """A step with a latent held, over one without, as the share that it costs more."""
    engine = reference_engine()
    draw = np.random.default_rng(0)
    width = engine.card.d_model
    sae = Dictionary(
        draw.standard_normal((width, 64)) / width**0.5,
        draw.standard_normal((64, width)) / width**0.5,
        np.zeros(64),
        np.zeros(width),
        layer=6,
    )
    (held,) = sae.clamp(5, high=0.0)
    objects = NoObjects(
        {
            (one.digest, str(layer)): torch.from_numpy(value)
            for one in held.vectors
            for layer, value in one.directions.items()
        }
    )
    row = Row(Ids(tuple(int(i) for i in draw.integers(10, 30000, PROMPT))), Sampling(NEW))
    tasks = {
        "plain": Task(Program((row,)), objects),
        "held": Task(Program((row,), (Stage((), (held.edit,)),)), objects),
    }

    def run(task: Task) -> None:
        (outcome,) = collect(engine, [task])
        if isinstance(outcome, Exception):
            raise outcome

    spent = interleaved({name: lambda task=task: run(task) for name, task in tasks.items()}, ROUNDS)
    return {**ratio(spent["held"], spent["plain"]), "floor": 1.01, "aim": 1.002}


def reading() -> dict[str, float]:
    """A million tokens through a reader, in pieces as they come from passes."""
    case = {"d": WIDTH, "true": 4096}
    rows, directions = rows_of(case, 1 << 16, 0)
    x = torch.from_numpy(rows)
    draw = np.random.default_rng(1)
    decoder = directions[draw.integers(0, len(directions), LATENTS)] + 0.05 * draw.standard_normal((LATENTS, WIDTH))
    before = (rows[:1024] - rows.mean(0)) @ decoder.T
    bias = np.full(LATENTS, -np.quantile(before, 1 - ACTIVE / LATENTS))
    sae = Dictionary(decoder.T, decoder, bias, rows.mean(0), subtract_b_dec=True)
    form, _ = sae.stored
    tensors = tensors_of(sae)
    loaded = Loaded.of(form, lambda one: torch.from_numpy(tensors[one.name]))
    reader = Reader(LATENTS, Kept(), torch.device("cpu"), loaded.weights["b_dec"])
    tokens = torch.from_numpy(draw.integers(0, 32_000, len(x)))
    places, peaks, started = torch.arange(PIECE), [], time.process_time()
    for number in range(-(-TOKENS // PIECE)):
        some = slice((number * PIECE) % (1 << 16), (number * PIECE) % (1 << 16) + PIECE)
        for _ in reader.read([Piece(x[some], tokens[some], places, number, 0)], loaded.encode):
            pass
        if number * PIECE * 10 // TOKENS != (number + 1) * PIECE * 10 // TOKENS:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
    spent = time.process_time() - started
    return {
        "tokens": reader.rows,
        "latents active on a token": round(float(reader.count.sum()) / reader.rows, 1),
        "tokens per CPU second": round(reader.rows / spent),
        "peak memory after a tenth, GB": round(peaks[0], 2),
        "peak memory after all, GB": round(peaks[-1], 2),
    }


def table() -> dict[str, Any]:
    """Milliseconds of sorting and filtering, drawing included, and between frames while rows are scrolled."""
    draw = np.random.default_rng(0)
    histogram = draw.integers(0, 900, (ROWS, BINS))
    density = np.exp(draw.normal(-6, 1.5, ROWS)).clip(0, 1)
    ids = draw.integers(0, WORDS, (2, ROWS, 5))
    names = {int(latent): f"label {latent}" for latent in draw.choice(ROWS, 300, False)}
    data = FeaturesData(
        "65,536 latents", "benchmark", 10**6, 5000, density, draw.random(ROWS) * 30, draw.random(ROWS), histogram, -12,
        ids[0], ids[1], {token: f" word{token}" for token in range(WORDS)}, names, dict.fromkeys(names, "causal"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        written = Features(data, lambda latent, page: iter([])).to_html(Path(directory) / "table.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1240, "height": 900})
        page.goto(written.as_uri())
        page.wait_for_selector(".iw-features[data-drawn]")
        found: dict[str, Any] = page.evaluate(_SCRIPT)
        browser.close()
    return found


_SCRIPT = """async () => {
  const root = document.querySelector('.iw-features'), rows = root.querySelector('.iw-rows');
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const median = (values, share = 0.5) => Number(values.sort((a, b) => a - b)[Math.floor(share * values.length)].toFixed(1));
  const timed = async (acts) => {
    const spent = [];
    for (const act of acts) {
      const begun = performance.now();
      act();
      rows.getBoundingClientRect();
      spent.push(performance.now() - begun);
      await frame();
    }
    return { median: median(spent), most: median(spent, 0.999) };
  };
  const columns = ['max', 'coherence', 'label', 'verdict', 'latent', 'density'];
  const sort = await timed([...columns, ...columns].map((name) => () => root.querySelector(`[data-column=${name}]`).click()));
  const only = root.querySelector('select'), low = root.querySelector('.iw-ranges input');
  const filters = ['causal', 'labelled', 'all'].map((value) => () => { only.value = value; only.dispatchEvent(new Event('change')); });
  const densities = [10, 30, 0].map((value) => () => { low.value = value; low.dispatchEvent(new Event('change')); });
  const filter = await timed([...filters, ...densities, ...filters]);
  const gaps = [];
  let last = await frame().then(() => performance.now());
  for (let i = 0; i < 300; i++) {
    rows.scrollTop += i < 200 ? 70 : 5000;
    await new Promise(requestAnimationFrame);
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  return { sort, filter, 'scroll, between frames': { median: median(gaps), most: median(gaps, 0.95) } };
}"""


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    measured: dict[str, Any] = {}
    if not names or "clamp" in names:
        measured["one latent held in generation / plain"] = clamp()
    if not names or "reading" in names:
        measured[f"{LATENTS:,} latents of {WIDTH} read over {TOKENS:,} tokens"] = reading()
    if not names or "table" in names:
        measured["a table of 65,536 rows, milliseconds (sort and filter under 50, frames of 16.7)"] = table()
    write("features", measured)


if __name__ == "__main__":
    main(sys.argv[1:])
