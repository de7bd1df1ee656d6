"""Plain transformers with forward hooks, a layer decoded at a time."""

import torch
from transformers import AutoModelForCausalLM


class _Side:
    def __init__(self, path):
        self.model = AutoModelForCausalLM.from_pretrained(path).eval()

    def _hooked(self, act):
        caught = []
        hooks = [b.register_forward_hook(lambda m, a, o: caught.append(o)) for b in self.model.model.layers]
        try:
            with torch.inference_mode():
                return act(caught)
        finally:
            for hook in hooks:
                hook.remove()

    def lens(self, ids):
        def act(caught):
            self.model(input_ids=ids, use_cache=False, logits_to_keep=1)
            decoded = (self.model.lm_head(self.model.model.norm(h)).softmax(-1).topk(5).values for h in caught)
            return sum(top.sum() for top in decoded)

        return self._hooked(act)

    batch = lens

    def generate(self, ids, new):
        def act(caught):
            self.model.generate(ids, max_new_tokens=new, min_new_tokens=new, do_sample=False)
            layers = [torch.cat(caught[i::12], 1) for i in range(12)]
            return sum(layer.double().sum() for layer in layers[:-1])

        return self._hooked(act)

    def users(self, prompts, new, layer, vectors):
        return self.steer(prompts, new, layer, vectors[:, None])

    def steer(self, prompts, new, layer, vector):
        hook = self.model.model.layers[layer].register_forward_hook(lambda m, a, o: o + vector)
        with torch.inference_mode():
            made = self.model.generate(prompts, max_new_tokens=new, min_new_tokens=new, do_sample=False)
        hook.remove()
        return made[:, prompts.shape[1] :].sum()


side = _Side
