"""What the processor can compute with."""

from pathlib import Path

__all__ = ["cpu_has_bfloat16"]

CPU_INFO = Path("/proc/cpuinfo")


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 itself: where it does not, autocast is emulated,
    and slower than float32. What Linux says of x86 and ARM; False on other systems."""
    flags = {"avx512_bf16", "amx_bf16", "bf16"}
    return CPU_INFO.is_file() and not flags.isdisjoint(CPU_INFO.read_text().split())
