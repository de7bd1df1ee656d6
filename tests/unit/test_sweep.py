"""Dictionaries side by side: the table, the view of one, what cannot be compared."""

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data.sweep import Course, Sweep


def trained(k=4, **recipe):
    asked = {"site": "resid_post", "layer": 3, "architecture": "topk", "latents": 8, "k": k, "sparsity": 2.0}
    history = [
        {"seen": 100, "fvu": None, "l0": 8.0, "dead": 0.0},
        {"seen": 200, "fvu": 0.5 / k, "l0": float(k), "dead": 0.25},
    ]
    told = {"recipe": asked | {"tokens": 200} | recipe, "history": history}
    told["manifest"] = (
        {"metrics": {"fvu": 0.6 / k, "ce_score": 0.9, "kl": 0.1, "l0": 4.0, "dead": 0.0}} if k == 4 else {}
    )
    return im.Dictionary(np.eye(4, 8), np.eye(8, 4), np.zeros(8), np.zeros(4), layer=3, made_from=told)


def test_a_table_has_what_was_asked_and_what_came_of_it():
    table = im.sweep([trained(2), trained(4), trained(sparsity=3.0, architecture="relu")]).table()
    assert list(table["k"].iloc[:2]) == [2, 4] and np.isnan(table["k"].iloc[2]) and table["sparsity"].iloc[2] == 3.0
    assert list(table["fvu in training"].iloc[:2]) == [0.25, 0.125]
    assert np.isnan(table["ce_score held out"].iloc[0]) and table["fvu held out"].iloc[1] == pytest.approx(0.15)


def test_the_view_names_its_runs_apart_and_is_written_as_a_page(tmp_path):
    made = im.sweep([trained(2), trained(4)])
    header = made.widget().header
    assert [run["name"] for run in header["runs"]] == ["k 2", "k 4"]
    assert header["heads"] == ["latents", "k or λ", "FVU held out", "CE score"] and not header["running"]
    assert header["runs"][1]["fvu"] == [None, 0.125] and header["runs"][1]["cells"] == ["8", "4", "0.1500", "0.9000"]
    assert "<polyline" not in made.to_html(tmp_path / "sweep.html").read_text()
    data, _ = trained()._repr_mimebundle_()
    assert data["text/plain"].startswith("Dictionary(") and "0.1250" in data["text/html"]


def test_a_view_goes_on_with_what_is_chosen():
    from interp_magics.data import view

    made = im.sweep([trained(2)])
    widget = made.widget()
    widget.metric = "dead"
    view.refresh(Sweep((Course(made.courses[0].asked, made.courses[0].history[:1], {}),), 900, running=True), widget)
    assert widget.metric == "dead" and widget.header["running"] and widget.header["runs"][0]["seen"] == [100]


def test_what_was_not_trained_here_cannot_be_compared():
    plain = im.Dictionary(np.eye(4), np.eye(4), np.zeros(4), np.zeros(4))
    with pytest.raises(im.RequestError, match="does not say how it was trained"):
        im.sweep([plain])
    with pytest.raises(im.RequestError, match="no dictionary to compare"):
        im.sweep([])
    assert plain._repr_mimebundle_() == {"text/plain": repr(plain)}
