#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the CUDA module, and nothing else of its preset, and examines it.

Shown here: it compiles for every architecture without a warning, and links; it exports kn_cuda_open alone and needs neither
the driver nor the program; its code, as PTX, has no atomic operation, no flush to zero, no approximate
division or root, and no multiply-add but where a cell says fmaf; loaded on this machine it answers as
its tests expect. Not shown, where there is no device: that its kernels run.
SKIP (77) where nvcc, or the C++ compiler that it needs, is not installed.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

CODE = {"sm_80", "sm_90", "sm_100", "compute_100"}
PTX_OF = "compute_90"
# The cells whose text says fmaf.
FUSED = {"dense_at", "dense_dx_at", "dense_dw_at", "conv_at", "conv_dx_at", "conv_dw", "bn_at",
         "bn_eval_at", "layernorm_at", "attend_probs_at", "attend_mix_at", "attend_dv_at",
         "attend_ds_at", "attend_dq_at", "attend_dk_at"}
# libstdc++ for the guards in nvcc's launch stubs; the program needs it anyway (RocksDB).
NEEDED = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2",
          "libdl.so.2", "librt.so.1", "libpthread.so.0"}
ROUGH = re.compile(r"\b(?:atom|red)\.|\.ftz\b|\.approx\b|\.full\b|\b(?:add|sub|mul|mad)\.f(?:32|64)\b")
FMA = re.compile(r"\bfma\.")


def skip(why):
    print("SKIP " + why)
    sys.exit(77)


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **options)
    if done.returncode != 0:
        print(f"{shlex.join(command)}: exit status {done.returncode}\n{done.stdout}")
        sys.exit(1)
    return done.stdout


def build(root, folder):
    run(["cmake", "--preset", "cuda", "-B", folder, "-DSHOAL_WERROR=ON"], cwd=root)
    run(["cmake", "--build", folder, "--target", "shoal_cuda"])
    return os.path.join(folder, "bin", "libshoal_cuda.so")


def judge_library(defined, needed):
    """Complaints about the lists of exported symbols and of needed libraries."""
    if defined != ["kn_cuda_open"]:
        yield f"exports {', '.join(defined) or 'nothing'}, expected kn_cuda_open alone"
    for library in sorted(set(needed) - NEEDED):
        yield f"needs {library}"


def examine_library(module):
    symbols = run(["nm", "-D", "--defined-only", module])
    dynamic = run(["readelf", "-d", module])
    return judge_library([line.split()[-1] for line in symbols.splitlines()],
                         re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))


def entries(ptx):
    """(cell, body) of each kernel."""
    for part in re.split(r"^(?:\.visible )?\.entry ", ptx, flags=re.M)[1:]:
        name = re.match(r"\w*?\d+(\w+)_grid", part)
        yield (name.group(1) if name else part[:40]), part


def judge_ptx(ptx):
    found = dict(entries(ptx))
    for cell in sorted(FUSED - set(found)):
        yield f"no kernel of {cell}"
    for cell, body in sorted(found.items()):
        rough = sorted(set(ROUGH.findall(body)))
        if rough:
            yield f"{cell}: {', '.join(rough)}"
        fused = bool(FMA.search(body))
        if fused != (cell in FUSED):
            yield f"{cell}: {'a' if fused else 'no'} fused multiply-add"


def compile_command(folder):
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as text:
        return next(c for c in json.load(text) if c["file"].endswith("module.cu"))


def judge_code(command):
    """Complaints about the architectures that a compile command names."""
    made = {code for codes in re.findall(r",code=\[?([\w,]+)\]?", command)
            for code in codes.split(",")}
    if made != CODE:
        yield f"code for {', '.join(sorted(made))}, expected {', '.join(sorted(CODE))}"


def ptx_of(folder):
    """The module's source compiled to PTX with the very options of the build."""
    command = compile_command(folder)
    words = shlex.split(command["command"])
    words = words[words.index(next(w for w in words if w.endswith("nvcc"))):]
    kept = [w for w in words if not w.startswith(("--generate-code", "-gencode"))]
    for flag, values in (("-x", 1), ("-c", 1), ("-o", 1)):
        if flag in kept:
            at = kept.index(flag)
            del kept[at:at + 1 + values]
    out = os.path.join(folder, "module.ptx")
    run(kept + [f"-arch={PTX_OF}", "-ptx", command["file"], "-o", out],
        cwd=command["directory"])
    with open(out, encoding="utf-8") as text:
        return text.read()


def run_tests(module, tests):
    environment = dict(os.environ, SHOAL_CUDA_MODULE=module)
    for words in (["test_kernels_cuda"], ["test_kernels_ops", "a_cuda_device"]):
        output = run([os.path.join(tests, words[0]), *words[1:]], env=environment)
        print("".join(f"  {line}\n" for line in output.splitlines()), end="")


def main():
    if not shutil.which("nvcc") and not os.path.exists("/usr/local/cuda/bin/nvcc"):
        skip("no nvcc on this machine: the CUDA module is not built")
    if not shutil.which("g++-12") and not shutil.which("g++"):
        skip("nvcc is here, but not the g++ that it needs: the CUDA module is not built")
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    built = os.environ.get("SHOAL_BUILD", os.path.join(root, "build", "dev"))
    folder = os.path.join(built, "cuda")
    module = build(root, folder)
    ptx = ptx_of(folder)
    complaints = [*judge_code(compile_command(folder)["command"]), *examine_library(module),
                  *judge_ptx(ptx)]
    if complaints:
        print("\n".join(complaints))
        return 1
    run_tests(module, os.path.join(built, "tests"))
    print(f"{len(list(entries(ptx)))} kernels, {os.path.getsize(module)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
