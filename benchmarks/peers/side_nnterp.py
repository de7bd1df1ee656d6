"""nnterp 1.3 on nnsight 0.7: standard names for what is traced."""

import warnings

import torch
from nnterp import StandardizedTransformer

warnings.simplefilter("ignore")


class _Side:
    def __init__(self, path):
        self.model = StandardizedTransformer(path, check_renaming=False, device_map="cpu")

    def lens(self, ids):
        model = self.model
        with torch.inference_mode(), model.trace({"input_ids": ids}):
            tops = []
            for layer in range(12):
                tops.append(model.project_on_vocab(model.layers_output[layer]).softmax(-1).topk(5).values.sum())
            made = torch.stack(tops).save()
        return made.sum()

    batch = lens

    def generate(self, ids, new):
        model = self.model
        options = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
        with torch.inference_mode(), model.generate({"input_ids": ids}, **options) as tracer:
            rows = list().save()
            with tracer.iter[0:new]:
                rows.append([model.layers_output[layer] for layer in range(12)])
        layers = [torch.cat([row[i] for row in rows], 1) for i in range(12)]
        return sum(layer.double().sum() for layer in layers[:-1])

    def steer(self, prompts, new, layer, vector):
        model = self.model
        options = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
        with torch.no_grad(), model.generate({"input_ids": prompts}, **options) as tracer:
            made = list().save()
            with tracer.iter[0:new]:
                model.steer(layer, vector)
                made.append(model.logits[:, -1].argmax(-1))
        return torch.stack(made).sum()


side = _Side
