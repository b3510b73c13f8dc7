"""The object files of the kernels share no function by name.

A template or inline function of the standard library that is not inlined is emitted in each of them as a weak symbol, and the
linker keeps one for all: on a machine without AVX-512 the program would then run AVX-512 code. Arguments: the object files.
"""
import re
import subprocess
import sys

objects = [name for name in sys.argv[1:] if re.search(r"kernels_avx\w*\.cpp\.o$", name)]
assert len(objects) >= 2, f"no kernels among {sys.argv[1:]}"
weak = []
for name in objects:
    lines = subprocess.run(["nm", "-C", name], check=True, capture_output=True, text=True).stdout.splitlines()
    weak += [f"{name}: {line}" for line in lines if re.search(r" [WVu] ", line)]
print("\n".join(weak) if weak else f"{len(objects)} object files, no shared function")
sys.exit(1 if weak else 0)
