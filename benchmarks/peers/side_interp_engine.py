"""interp-engine 1.14, its eager arm; it generates for one prompt at a time."""

import torch
from interp_engine import capture, capture_generation, decode_residuals, generate_stream
from interp_engine.model import EagerModel
from interp_engine.steer import SteerSpec, steer


class _Side:
    def __init__(self, path):
        self.model = EagerModel(path)
        self.points = [("resid_post", layer) for layer in range(12)]

    def lens(self, ids):
        with torch.inference_mode():
            cache = capture(self.model, ids, self.points)
            streams = [cache[point] for point in self.points]
            return sum(decode_residuals(self.model, h).softmax(-1).topk(5).values.sum() for h in streams)

    batch = lens

    def generate(self, ids, new):
        with torch.inference_mode():
            _, cache = capture_generation(self.model, ids, self.points, max_tokens=new)
            return sum(cache[point].double().sum() for point in self.points[:-1])

    def steer(self, prompts, new, layer, vector):
        with torch.inference_mode(), steer(self.model, [SteerSpec(vector, layer)]):
            streams = (
                generate_stream(self.model, ids, max_tokens=new, temperature=0.0, stop_at_eos=False) for ids in prompts
            )
            return sum(step.token_id for stream in streams for step in stream)


side = _Side
