"""`interp steer-eval`: the whole protocol on one question file, as a table in the terminal."""

from dataclasses import dataclass
from pathlib import Path

from .connecting import connect
from .data.questions import read_questions
from .data.steerability import SteerabilityRun
from .studies import SteeringStudy

_COLUMNS = ["slope", "ci_low", "ci_high", "r2", "spearman", "anti_steerable"]


@dataclass(frozen=True)
class Protocol:
    """What is asked of which model: how a question is put, how the vector is fitted, how the file is split."""

    file: str
    model: str | None = None
    template: str | None = None
    chat: bool = False
    layers: str | None = None
    site: str = "resid_post"
    method: str = "mean_difference"
    position: str = "label"
    train: float = 0.4
    validation: float = 0.1
    seed: int = 0
    out: str | None = None


def evaluate(asked: Protocol) -> None:
    """Print what a vector of the file does, and write the curves if `out` names a file. Raises RequestError."""
    questions = read_questions(asked.file, asked.template, asked.chat)
    print(questions)
    with connect(model=asked.model) as pool:
        study = pool.steer_eval(
            questions,
            asked.layers,
            asked.site,
            asked.method,
            asked.position,
            train=asked.train,
            validation=asked.validation,
            seed=asked.seed,
        )
    _print(study)
    if asked.out:
        target = study.test.save(Path(asked.out))
        print(f"\nthe curves of the test part are in {target}; interp_magics.load reads them")


def _print(study: SteeringStudy) -> None:
    made = study.vector.made_from
    asked = len(study.validation.meta.prompts), len(study.test.meta.prompts)
    print(f"\n{made['model']}, {study.vector.site}; {asked[0]} questions to choose the layer, {asked[1]} to test it\n")
    print("validation")
    print(_shown(study.validation))
    print(f"\ntest, layer {study.layer} (chosen on validation alone)")
    print(_shown(study.test))
    bias = study.test.label_bias[0]
    print(
        f"\nsteeper by {bias:+.3f} where the favoured answer is the commoner label; 0 is a vector that moves the meaning"
    )


def _shown(run: SteerabilityRun) -> str:
    table = run.table()
    columns = [*_COLUMNS, *(column for column in table.columns if column.endswith("_slope"))]
    return str(table[columns].round(3).to_string())
