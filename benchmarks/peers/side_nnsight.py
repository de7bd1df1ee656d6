"""nnsight 0.8: tracing contexts around transformers."""

import warnings

import torch
from nnsight import LanguageModel

warnings.simplefilter("ignore")


class _Side:
    def __init__(self, path):
        self.model = LanguageModel(path, dispatch=True, device_map="cpu")

    def lens(self, ids):
        model = self.model
        with torch.inference_mode(), model.trace({"input_ids": ids}):
            tops = []
            for block in model.model.layers:
                tops.append(model.lm_head(model.model.norm(block.output)).softmax(-1).topk(5).values.sum())
            made = torch.stack(tops).save()
        return made.sum()

    batch = lens

    def generate(self, ids, new):
        model = self.model
        options = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
        with torch.inference_mode(), model.generate({"input_ids": ids}, **options) as tracer:
            rows = list().save()
            for _ in tracer.iter[0:new]:
                rows.append([block.output for block in model.model.layers])
        layers = [torch.cat([row[i] for row in rows], 1) for i in range(12)]
        return sum(layer.double().sum() for layer in layers[:-1])

    def steer(self, prompts, new, layer, vector):
        model = self.model
        options = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
        with torch.inference_mode(), model.generate({"input_ids": prompts}, **options) as tracer:
            made = list().save()
            for _ in tracer.iter[0:new]:
                model.model.layers[layer].output[:] += vector
                made.append(model.lm_head.output[:, -1].argmax(-1))
        return torch.stack(made).sum()

    def users(self, prompts, new, layer, vectors):
        return self.steer(prompts, new, layer, vectors[:, None])


side = _Side
