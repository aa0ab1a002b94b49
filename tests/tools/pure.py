#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Symbol audit. Archives listed as pure may call only memory and string primitives, the panics, and
pure modules; every external symbol that a module defines begins with a prefix of that module."""
import re
import subprocess
import sys

ALLOWED = re.compile(
    r"^(mem(cpy|set|move|cmp|chr)|__mem(cpy|set|move)_chk|str(len|nlen|cmp|ncmp)|sh_panic(_cmp)?"
    r"|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|gcov|sanitizer)_.*|__popcountdi2)$")
PREFIX = {
    "base": "sh_", "host": "sh_", "kernels": "kn_", "wire": ("wire_", "frame_"),
    "ledger": "sim_", "gang": "train_", "script": ("script_", "scripts_"),
    # The parts of the running agent, one noun each.
    "agent": ("agent_", "apply_", "backlog_", "backup_", "blobs_", "bulk_", "calls_", "copies_",
              "demo_", "disk_", "garbage_", "housekeeping_",
              "founding_", "gossip_", "handles_", "held_", "inventory_", "journal_", "loop_", "members_", "nearby_", "outbox_",
              "planner_", "proposals_", "queue_", "reads_", "reasons_", "records_", "replica_", "restore_", "roster_", "runners_", "selftest_", "service_",
              "snapshots_", "stores_", "vitals_", "voters_", "waits_"),
}


def symbols(archive, *flags):
    out = subprocess.run(["nm", "-A", *flags, archive], check=True, capture_output=True, text=True)
    for line in out.stdout.splitlines():
        where, _, rest = line.rpartition(":")
        words = rest.split()
        yield where, words[-1]


def audit(modules):
    """modules: (name, is_pure, archive). Returns complaint lines."""
    complaints = []
    defined_by_pure = set()
    for name, is_pure, archive in modules:
        prefix = PREFIX.get(name, name + "_")
        for where, symbol in symbols(archive, "--defined-only", "--extern-only"):
            if symbol.startswith("__odr_asan."):
                continue  # the address sanitizer's mark of a global symbol, which is looked at itself
            if not symbol.lower().startswith(prefix):  # constants are in capitals
                complaints.append(f"{where}: defines {symbol}, which does not begin with {prefix}")
            if is_pure:
                defined_by_pure.add(symbol)
    for name, is_pure, archive in modules:
        if not is_pure:
            continue
        for where, symbol in symbols(archive, "--undefined-only"):
            if symbol not in defined_by_pure and not ALLOWED.match(symbol):
                complaints.append(f"{where}: a pure module may not use {symbol}")
    return complaints


def read_list(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                name, kind, _, archive = line.split()
                yield name, kind == "pure", archive


if __name__ == "__main__":
    found = audit(list(read_list(sys.argv[1])))
    print("\n".join(found) if found else "every pure module is pure, every symbol has its prefix")
    sys.exit(1 if found else 0)
