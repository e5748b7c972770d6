"""Which arithmetic to train in: what the processor computes in by itself, never what it emulates."""

from __future__ import annotations

from typing import Any


def choose_precision(wanted: str, module: Any) -> str:
    """``"no"`` (float32), ``"bf16"`` or ``"fp16"`` for ``wanted``; ``"auto"`` goes by the device and the model.

    On a CPU, convolutions over pictures are twice as fast in bf16 where its arithmetic is built in; pose models are too
    small for it to pay (measured: within 5 % of float32).
    """
    import torch

    if wanted != "auto":
        return "no" if wanted == "fp32" else wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "no"
    able = torch.cpu.get_capabilities()
    built_in = able.get("avx512_bf16") or able.get("amx_bf16")
    # oneDNN may have been told to keep to less than the processor can; other kernels are hundreds of times slower.
    taken = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    pictures = getattr(module, "takes", "pose") != "pose"
    return "bf16" if pictures and built_in and taken else "no"
