"""vLLM's second model runner, and steps that are scheduled ahead, on a host without GPUs.

Both are what vLLM chooses where there are GPUs. The runner's kernels are of Triton, whose own interpreter runs them here.
"""

import os
from typing import Any, Literal

#: The first model runner; the second; the second with steps that are scheduled before the tokens of the last are known.
Runner = Literal["first", "second", "ahead"]


def environment(runner: Runner) -> dict[str, str]:
    """Of a process in which vLLM is to use a runner."""
    chosen = {} if runner == "first" else {"VLLM_USE_V2_MODEL_RUNNER": "1", "TRITON_INTERPRET": "1"}
    return {**os.environ, **chosen}


def choose(runner: Runner) -> None:
    """Have vLLM use a runner in such a process, before anything of vLLM is imported."""
    if runner == "first":
        return
    from triton.backends import Backend, backends

    backends["cpu"] = Backend(compiler=None, driver=_Driver)
    from vllm import triton_utils

    assert triton_utils.HAS_TRITON
    del backends["cpu"]
    if runner == "ahead":
        _schedule_ahead()


class _Driver:
    """vLLM asks for a driver of Triton's for this host; the interpreter asks for none."""

    @staticmethod
    def is_active() -> bool:
        return True


def _schedule_ahead() -> None:
    from vllm.platforms.cpu import CpuPlatform

    check = CpuPlatform.check_and_update_config

    def checked(platform: Any, config: Any) -> None:
        check(config)
        config.scheduler_config.async_scheduling = True

    CpuPlatform.check_and_update_config = classmethod(checked)
