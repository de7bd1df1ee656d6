"""A stored dictionary on the device: what `data.dictionary` computes, in torch."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import RequestError
from ...program.operations import Stored, StoredDictionary

_EPSILON = 1e-5
_NEEDED = ("W_enc", "W_dec", "b_enc", "b_dec")
_OF_ARCHITECTURE = {"jumprelu": ("threshold",), "gated": ("b_gate", "b_mag", "r_mag")}

_MOST_RECENT = 2
_RECENT: OrderedDict[StoredDictionary, "Loaded"] = OrderedDict()


@dataclass(frozen=True)
class Loaded:
    """A dictionary's form and its weights by name, float32."""

    form: StoredDictionary
    weights: Mapping[str, Tensor]

    @classmethod
    def of(cls, form: StoredDictionary, fetch: Callable[[Stored], Tensor]) -> "Loaded":
        """Raises RequestError for weights that are missing or do not have the sizes that were said."""
        weights = {stored.name: fetch(stored) for stored in form.weights}
        d, m, out = form.width, form.latents, form.out
        shapes = {"W_enc": (d, m), "W_dec": (m, out), "b_enc": (m,), "b_dec": (out,), "W_skip": (out, d)}
        shapes |= dict.fromkeys(("threshold", "b_gate", "b_mag", "r_mag"), (m,))
        for name in (*_NEEDED, *_OF_ARCHITECTURE.get(form.architecture, ())):
            if name not in weights:
                raise RequestError(f"the dictionary has no {name}, which a {form.architecture} dictionary needs")
        for name, value in weights.items():
            if tuple(value.shape) != shapes.get(name) or value.dtype != torch.float32:
                raise RequestError(f"{name} of the dictionary has shape {list(value.shape)}, dtype {value.dtype}")
            if not bool(torch.isfinite(value).all()):
                raise RequestError(f"{name} of the dictionary has values that are not finite (NaN or infinity)")
        if form.architecture == "topk" and form.k is None:
            raise RequestError("a topk dictionary says its k")
        return cls(form, weights)

    @classmethod
    def recent(cls, form: StoredDictionary, fetch: Callable[[Stored], Tensor]) -> "Loaded":
        """The same, once for many programs: the dictionaries used last stay on the device. Objects are named by what they hold,
        so it does not matter whose program asked first."""
        if form not in _RECENT:
            _RECENT[form] = cls.of(form, fetch)
        _RECENT.move_to_end(form)
        while len(_RECENT) > _MOST_RECENT:
            _RECENT.popitem(last=False)
        return _RECENT[form]

    def encode(self, x: Tensor) -> Tensor:
        """Activations f [n, m] of rows x [n, d], float32."""
        return self.activate(self.before(x))

    def before(self, x: Tensor) -> Tensor:
        """Pre-activations [n, m]; of a gated dictionary without any bias."""
        rows = self._normal(x)[0] * self.form.scale
        if self.form.subtract_b_dec:
            rows = rows - self.weights["b_dec"]
        if self.form.architecture == "gated":
            return rows @ self.weights["W_enc"]
        return torch.addmm(self.weights["b_enc"], rows, self.weights["W_enc"])

    def activate(self, h: Tensor) -> Tensor:
        """Activations of pre-activations."""
        weights, kind = self.weights, self.form.architecture
        if kind == "jumprelu":
            return torch.where((h > weights["threshold"]) & (h > 0), h, h.new_zeros(()))
        if kind == "gated":
            magnitude = (h * weights["r_mag"].exp() + weights["b_mag"]).relu()
            return torch.where(h + weights["b_gate"] > 0, magnitude, h.new_zeros(()))
        return self._largest(h.relu()) if kind == "topk" else h.relu()

    def decode(self, f: Tensor, x: Tensor) -> Tensor:
        """The reconstruction [n, d_out] by activations f [n, m] of rows x, which a norm and a skip path look at."""
        normal, mean, spread = self._normal(x)
        made = torch.addmm(self.weights["b_dec"], f, self.weights["W_dec"])
        if "W_skip" in self.weights:
            made = made + (normal * self.form.scale) @ self.weights["W_skip"].T
        return made / self._out * spread + mean

    def difference(self, change: Tensor, x: Tensor, latents: Tensor | None = None) -> Tensor:
        """What the reconstruction [n, d_out] moves by when all latents change, or some, by [n, latents]."""
        rows = self.weights["W_dec"] if latents is None else self.weights["W_dec"][latents]
        return change @ rows / self._out * self._normal(x)[2]

    @property
    def _out(self) -> float:
        return self.form.scale if self.form.scale_out is None else self.form.scale_out

    def _normal(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing, one = x.new_zeros(()), x.new_ones(())
        if self.form.normalize == "layer_norm":
            mean = x.mean(1, keepdim=True)
            spread = (x - mean).std(1, keepdim=True)
            return (x - mean) / (spread + _EPSILON), mean, spread
        if self.form.normalize == "constant_norm":
            spread = x.norm(dim=1, keepdim=True) / self.form.width**0.5
            return x / torch.where(spread > 0, spread, one), nothing, spread
        return x, nothing, one

    def _largest(self, f: Tensor) -> Tensor:
        assert self.form.k is not None
        weight = f * self.weights["W_dec"].norm(dim=1) if self.form.rank_by_norm else f
        chosen = weight.topk(self.form.k, 1).indices
        return torch.zeros_like(f).scatter_(1, chosen, f.gather(1, chosen))
