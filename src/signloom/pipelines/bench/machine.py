"""What the figures were taken on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from signloom.runtime.workers import default_workers
from signloom.training.precision import choose_precision

PACKAGES = ("torch", "mediapipe", "ai-edge-litert", "opencv-contrib-python", "av", "numpy", "accelerate")
ABILITIES = {
    "avx2": ("avx2",),
    "avx512": ("avx512_f",),
    "avx512_bf16": ("avx512_bf16",),
    "amx": ("amx_bf16", "amx_int8", "amx_fp16"),
}


def describe_machine() -> dict[str, Any]:
    """The processor, its abilities, those that torch uses, and the precision that training chooses; GPU, versions."""
    import torch

    able = torch.cpu.get_capabilities()
    return {
        "processor": _processor(),
        "abilities": {name: any(bool(able.get(a)) for a in ways) for name, ways in ABILITIES.items()},
        "torch_uses": torch.backends.cpu.get_cpu_capability(),
        "precision": {takes: _precision(takes) for takes in ("pose", "video")},
        "cores": default_workers(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _precision(takes: str) -> str:
    return choose_precision("auto", SimpleNamespace(takes=takes)).replace("no", "fp32")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
