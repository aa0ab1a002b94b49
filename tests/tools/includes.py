#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the include graph of the tree with the one that docs/ARCHITECTURE.md promises."""
import os
import re
import sys

# Module -> modules whose headers it may include (its own always). A folder is the longest match.
CORES = {"base", "wire"}
ALLOWED = {
    "mesh/base": set(),
    "mesh/base/host": {"base"},
    "mesh/wire": {"base"},
    "mesh/swim": CORES,
    "mesh/round": CORES,
    "mesh/fed": CORES,
    "mesh/push": CORES,
    "mesh/trust": CORES | {"host", "store"},
    "mesh/trust/secagg": CORES | {"host", "trust"},
    "mesh/link": CORES | {"host", "trust"},
    "consensus/raft": CORES,
    "consensus/jobs": CORES,
    "consensus/place": CORES,
    "consensus/roles": CORES,
    "store": CORES | {"host", "store"},
    "kernels": {"kernels"},
    "agent": {"*"},
    "agent/exec": {"base", "host"},
    "sim": {"*"},
    "tests": {"*"},
}
HOMES = {
    r"zmq\.h|czmq\.h": ("mesh/link", "tests"),
    r"rocksdb/c\.h": ("store/kv_rocks_parts.h",),
    r"sodium.*\.h": ("mesh/trust", "mesh/base/host"),
    r"cblas\.h": ("kernels/cpu",),
    r"cuda.*\.h|cublas.*\.h": ("kernels/cuda",),
    r"microhttpd\.h|wslay/.*": ("agent/api",),
    r"curl/.*": ("agent/cli", "tests"),
    r"jansson\.h|yaml\.h": ("agent",),
    r"expat\.h": ("agent/spec/conductor.c",),
    r"archive\.h|archive_entry\.h": ("agent/spec/archive.c",),
    r"zlib\.h|png\.h|jpeglib\.h": ("kernels/data", "kernels/format", "tests"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)


def module_of_header(header):
    if header.startswith("base/host/"):
        return "host"
    return header.split("/")[0]


def owner(path):
    best = ""
    for folder in ALLOWED:
        if (path.startswith(folder + "/")) and len(folder) > len(best):
            best = folder
    return best


def own_name(folder):
    return "host" if folder == "mesh/base/host" else folder.rsplit("/", 1)[-1]


def judge(path, text):
    """path: relative to the root. Returns complaint lines."""
    folder = owner(path)
    allowed = ALLOWED[folder] if folder else {"*"}
    for quoted, angled in INCLUDE.findall(text):
        if quoted and "*" not in allowed:
            local = os.path.dirname(quoted) == ""
            name = module_of_header(quoted)
            if not local and name != own_name(folder) and name not in allowed:
                yield f'{path}: {folder} may not include "{quoted}"'
        for pattern, homes in HOMES.items():
            if angled and re.fullmatch(pattern, angled):
                if not any(path == home or path.startswith(home + "/") for home in homes):
                    yield f"{path}: <{angled}> belongs to {', '.join(homes)}"


def sources(root):
    for top in ("mesh", "consensus", "store", "kernels", "agent", "sim", "tests"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cu", ".cuh")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main(root):
    complaints = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as source:
            complaints += judge(path, source.read())
    print("\n".join(complaints) if complaints else "the include graph is the one that is drawn")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
