"""What a request for a steering vector says."""

from typing import Literal, get_args

from msgspec import Struct

from ...program.language import At, Span, Text

#: mean_difference: mean(positive) - mean(negative). logistic: the normal of a logistic regression. pca: the first
#: uncentred principal component of the differences of pairs, its sign such that the mean difference is positive.
FitMethod = Literal["mean_difference", "logistic", "pca"]
FIT_METHODS: tuple[FitMethod, ...] = get_args(FitMethod)
#: Where a text is read: at its last token, as the mean over all, or at the first token at which a pair differs.
ReadAt = Literal["last", "mean", "label"]
READ_AT: tuple[ReadAt, ...] = get_args(ReadAt)


class VectorRequest(Struct, frozen=True, tag="vector", forbid_unknown_fields=True):
    """A direction at `site` for every layer that separates the first `positive` texts from the others. With `paired`, text i
    and text `positive` + i differ in what the vector is to mean and in nothing else. `head` is the one that is read at
    `head_out`."""

    texts: tuple[Text, ...]
    positive: int
    site: str = "resid_post"
    layers: tuple[int, ...] | None = None
    position: ReadAt | At | Span = "last"
    method: FitMethod = "mean_difference"
    paired: bool = True
    name: str = ""
    head: int | None = None
