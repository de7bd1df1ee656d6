"""TransformerLens 4: the bridge, and its `logit_lens` tool."""

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.tools.analysis import logit_lens


class _Side:
    def __init__(self, path):
        self.model = TransformerBridge.boot_transformers(path, device="cpu")
        self.names = [f"blocks.{i}.hook_resid_post" for i in range(12)]

    def lens(self, ids):
        with torch.inference_mode():
            made = logit_lens(self.model, ids, positions=None, return_type="probs", top_k=5)
        return made.values[-12:].sum()

    batch = lens

    def generate(self, ids, new):
        kept = {name: [] for name in self.names}
        hooks = [(name, lambda value, hook, name=name: kept[name].append(value)) for name in self.names]
        with torch.inference_mode(), self.model.hooks(fwd_hooks=hooks):
            self.model.generate(
                ids, max_new_tokens=new, do_sample=False, stop_at_eos=False, verbose=False, return_type="tokens"
            )
        return sum(torch.cat(kept[name], 1).double().sum() for name in self.names[:-1])

    def steer(self, prompts, new, layer, vector):
        def add(value, hook):
            return value + vector

        with torch.inference_mode(), self.model.hooks(fwd_hooks=[(self.names[layer], add)]):
            made = self.model.generate(
                prompts, max_new_tokens=new, do_sample=False, stop_at_eos=False, verbose=False, return_type="tokens"
            )
        return made[:, prompts.shape[1] :].sum()

    def users(self, prompts, new, layer, vectors):
        return self.steer(prompts, new, layer, vectors[:, None])


side = _Side
