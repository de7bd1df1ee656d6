"""What a reader asks of a lens widget, and a job that is shown while it goes on: real pools, widgets without a browser."""

import gc
from importlib import import_module

import numpy as np
import pytest

import interp_magics as im
from tests.pool.conftest import wait_for

TEXT = "The quick brown fox jumps over the dog"


@pytest.fixture(autouse=True)
def _displays():
    pytest.importorskip("interp_widgets.lens")
    import_module("interp_magics.display")


def asking(run, **question):
    """A widget of the run, to which a question was put."""
    widget = run.widget()
    assert widget.live
    widget.asked = {"id": 1, **question}
    wait_for(lambda: widget.told.get("id") == 1)
    return widget


def test_a_token_that_is_typed_is_decoded_at_every_place(pool):
    run = pool.lens(TEXT, keep=30)
    widget = asking(run, track="dog")
    wanted = pool.lens(TEXT, track=" dog")
    assert widget.told["text"] == "tracking ' dog': read from the rows that the worker kept"
    assert widget.header["tracked_ids"] == wanted.tracked_ids.tolist()
    widget.asked = {"id": 2, "track": " fox"}
    wait_for(lambda: widget.told.get("id") == 2)
    assert len(widget.header["tracked_ids"]) == 2
    assert np.abs(widget._data.tracked_logprobs[..., 0] - wanted.tracked_logprobs[..., 0]).max() < 1e-4


def test_a_run_that_was_not_kept_is_read_by_feeding_its_tokens_again(pool):
    run = pool.lens(TEXT, generate=6, temperature=1.0, seed=3)
    widget = asking(run, site="mlp_out")
    assert widget.told["text"] == "mlp_out: read by feeding the same tokens again"
    assert widget.header["sites"] == ["mlp_out", "resid_post"]
    assert widget._data.token_ids.tolist() == run.token_ids.tolist()
    place = widget.header["sites"].index("resid_post")
    assert np.array_equal(widget._data.top_ids[place], run.top_ids[0])


def test_what_cannot_be_is_said_and_the_view_stays(pool):
    widget = asking(pool.lens(TEXT), track="no single token at all")
    assert widget.told["trouble"] and "one token" in widget.told["text"]
    assert widget.header["tracked_ids"] == []


def test_an_answer_that_is_too_large_is_said_to_be_and_the_next_question_stands_alone(pool, monkeypatch):
    from interp_widgets import lens

    widget = pool.lens(TEXT).widget()
    monkeypatch.setattr(lens, "_MOST_BYTES", len(widget.payload) + 40)
    widget.asked = {"id": 1, "site": "mlp_out"}
    wait_for(lambda: widget.told.get("id") == 1)
    assert widget.told["trouble"] and "MB in the notebook" in widget.told["text"]
    assert widget.header["sites"] == ["resid_post"]
    monkeypatch.setattr(lens, "_MOST_BYTES", 20 << 20)
    widget.asked = {"id": 2, "track": " fox"}
    wait_for(lambda: widget.told.get("id") == 2)
    assert not widget.told["trouble"] and widget.header["sites"] == ["resid_post"]
    widget.asked = {"id": 3}
    wait_for(lambda: widget.told.get("id") == 3)
    assert widget.told["trouble"]


def test_a_view_outlives_a_restart_of_its_job(monkeypatch):
    from interp_magics.client.job import Job
    from interp_magics.display.jobs import widget as shown_job
    from interp_magics.errors import RemoteError
    from interp_magics.wire.messages import Event

    class Control:
        def cancel(self, job):
            pass

        def share(self, job, users, groups):
            pass

    job = Job("x", "lens", lambda parts: parts, Control())
    shown = shown_job(job)
    job.take_event(Event(job="x", attempt=1, seq=1, part="started"))
    wait_for(lambda: shown.progress.get("state") == "running")
    job.take_event(Event(job="x", attempt=2, seq=0, part="restart"))
    wait_for(lambda: shown.progress.get("state") == "queued")
    job.take_error(RemoteError("it went wrong", "fault"))
    wait_for(lambda: shown.progress.get("state") == "ended")
    assert "it went wrong" in shown.progress["text"]


def test_sites_that_the_model_has_are_offered(pool):
    widget = pool.lens(TEXT).widget()
    wait_for(lambda: widget.offered)
    assert widget.offered == ["resid_pre", "attn_out", "resid_mid", "mlp_out"]


def test_a_run_that_was_loaded_asks_nobody(pool, tmp_path):
    assert not im.load(pool.lens(TEXT).save(tmp_path / "run.safetensors")).widget().live


def test_a_job_fills_its_view_and_its_button_ends_it(pool):
    job = pool.lens(TEXT, generate=100, temperature=1.0, seed=1, stream=True, wait=False)
    widget = job.widget()
    wait_for(lambda: widget.header and not widget.progress)
    assert len(widget.header["positions"]) == len(job.result().positions) and widget.live
    long = pool.lens([TEXT] * 60, generate=110, temperature=1.0, seed=1, stream=True, wait=False)
    shown = long.widget()
    wait_for(lambda: shown.progress.get("state") == "running")
    assert shown.progress["end"] == "button"
    shown.cancelled = True
    with pytest.raises(im.Cancelled):
        long.result(120)
    wait_for(lambda: shown.progress.get("state") == "ended")
    assert "cancelled" in shown.progress["text"]


def test_a_view_that_is_closed_is_followed_no_longer(pool):
    import threading

    job = pool.lens([TEXT] * 40, generate=110, temperature=1.0, seed=1, wait=False)
    widget = job.widget()
    widget.close()
    gc.collect()
    wait_for(lambda: not any(t.name == "interp-job-view" for t in threading.enumerate()))
    job.cancel(120)


@pytest.mark.parametrize("message", [{"set": {"mode": "rank", "asked": 3, "nowhere": 1}}, {"set": 7}, [], "x", None])
def test_a_message_sets_nothing_but_what_is_told_at_once(pool, message):
    widget = pool.lens(TEXT).widget()
    before = widget.get_state()
    widget._handle_custom_msg(message, [])
    assert widget.get_state() == before
    widget._handle_custom_msg({"set": {"hail": 5}}, [])
    assert widget.heard == 5
