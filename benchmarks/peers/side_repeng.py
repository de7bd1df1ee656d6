"""repeng: its wrapped model, under a control set before transformers' generate."""

import torch
from repeng import ControlModel
from transformers import AutoModelForCausalLM


class _Side:
    def __init__(self, path):
        self.model, self.layer = AutoModelForCausalLM.from_pretrained(path).eval(), None

    def steer(self, prompts, new, layer, vector):
        if self.layer is None:
            self.model, self.layer = ControlModel(self.model, [layer]), layer
        self.model.set_raw_control({layer: vector})
        with torch.inference_mode():
            made = self.model.generate(prompts, max_new_tokens=new, min_new_tokens=new, do_sample=False)
        self.model.reset()
        return made[:, prompts.shape[1] :].sum()

    def users(self, prompts, new, layer, vectors):
        pairs = zip(prompts, vectors, strict=True)
        return sum(self.steer(prompt[None], new, layer, vector) for prompt, vector in pairs)


side = _Side
