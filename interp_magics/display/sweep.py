"""How trainings look, while they go on and afterwards."""

from collections.abc import Mapping
from typing import Any

from ..data import view
from ..data.dictionary import Dictionary
from ..data.sweep import Course, Sweep, sweep
from .drawn import drawn, with_static


def _data(made: Sweep) -> Any:
    from interp_widgets.sweep import RunData, SweepData

    evaluated = any(course.worth for course in made.courses)
    heads = ("latents", "k or λ", *(("FVU held out", "CE score") if evaluated else ()))
    runs = []
    for course, name in zip(made.courses, _names(made.courses), strict=True):
        seen = [int(row["seen"]) for row in course.history]
        fvu, l0, dead = ([row.get(what) for row in course.history] for what in ("fvu", "l0", "dead"))
        runs.append(RunData(name, seen, fvu, l0, dead, _cells(course, evaluated)))
    kinds = len(made.courses)
    title = f"{kinds} dictionaries on one stream" if kinds > 1 else f"dictionary of {runs[0].name}"
    return SweepData(title, made.total, heads, runs, made.running)


def _cells(course: Course, evaluated: bool) -> list[str]:
    asked, worth = course.asked, course.worth
    cells = [f"{asked['latents']:,}", str(asked.get("k", asked.get("sparsity")))]
    if evaluated:
        cells += [f"{worth[name]:.4f}" if name in worth else "" for name in ("fvu", "ce_score")]
    return cells


def _names(courses: tuple[Course, ...]) -> list[str]:
    """Each by what tells it from the others; by its place among those that nothing tells apart."""
    parts = [_parts(course.asked) for course in courses]
    varies = [len({one[place] for one in parts}) > 1 for place in range(len(parts[0]))]
    varies = varies if any(varies) else [True, True, False, False]
    names = [", ".join(part for part, told in zip(one, varies, strict=True) if told) for one in parts]
    return [
        f"{name} #{names[:place].count(name) + 1}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _parts(asked: Mapping[str, Any]) -> tuple[str, str, str, str]:
    sparsity = f"k {asked['k']}" if "k" in asked else f"λ {asked['sparsity']:g}"
    return f"{asked['site']}[{asked['layer']}]", str(asked["architecture"]), f"{asked['latents']:,} latents", sparsity


@view.refresh.register
def _(made: Sweep, shown: Any) -> None:
    shown.show(_data(made))


@view.text.register
def _(made: Sweep) -> str:
    return f"{made!r}\n{made.table().round(4).to_string()}"


drawn(Sweep, "sweep", "Sweep", _data, view.text)


@view.widget.register
def _(made: Dictionary) -> Any:
    return view.widget(sweep([made]))


@view.mimebundle.register
def _(made: Dictionary) -> Any:
    """A dictionary that a pool has trained shows how that went."""
    if not made.made_from.get("recipe"):
        return {"text/plain": repr(made)}
    course = sweep([made])
    return with_static(view.widget(course), view.html(course), repr(made))


view.export.register(Dictionary, lambda made, path: view.export(sweep([made]), path))
