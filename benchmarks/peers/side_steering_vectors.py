"""steering-vectors: its context manager around transformers' generate."""

import torch
from steering_vectors import SteeringVector
from transformers import AutoModelForCausalLM


class _Side:
    def __init__(self, path):
        self.model = AutoModelForCausalLM.from_pretrained(path).eval()

    def steer(self, prompts, new, layer, vector):
        with SteeringVector({layer: vector}).apply(self.model), torch.inference_mode():
            made = self.model.generate(prompts, max_new_tokens=new, min_new_tokens=new, do_sample=False)
        return made[:, prompts.shape[1] :].sum()

    def users(self, prompts, new, layer, vectors):
        pairs = zip(prompts, vectors, strict=True)
        return sum(self.steer(prompt[None], new, layer, vector) for prompt, vector in pairs)


side = _Side
