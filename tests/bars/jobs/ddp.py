#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A torch.distributed script that knows nothing of shoal, on three of four agents: its loss equals
that of torchrun on this machine to 1e-6. Then again, and the agent of one member is killed: the
gang is placed anew under a new fence, with the fourth agent, goes on from the script's own
checkpoint, uses up no retry (it has none), and ends with the same loss. SKIP where python3-torch is not installed.
"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, Skip, agreed_leader, judge, require, until

PYTHON = "/usr/bin/python3"
RANKS = 3
END_S = 240
SCRIPT = '''
import os, time, torch, torch.distributed as dist, torch.nn as nn
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
torch.manual_seed(1)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
ddp = DistributedDataParallel(model)
optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05)
generator = torch.Generator().manual_seed(7)
x = torch.randn(600, 8, generator=generator)
y = x.sum(1, keepdim=True).sin()
first = 0
if os.path.exists("ckpt/last.pt"):
    saved = torch.load("ckpt/last.pt")
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    first = saved["step"]
    print("resumed at", first)
for step in range(first, 40):
    low = step * 60 % 600
    part = slice(low + rank, low + 60, world)
    optimizer.zero_grad()
    loss = ((ddp(x[part]) - y[part]) ** 2).mean()
    loss.backward()
    optimizer.step()
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    if rank == 0:
        os.makedirs("ckpt", exist_ok=True)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                    "step": step + 1}, "ckpt/new.pt")
        os.replace("ckpt/new.pt", "ckpt/last.pt")
        print("step", step, flush=True)
    time.sleep(float(os.environ.get("PAUSE", "0")))
if rank == 0:
    print("final loss %.9f" % (mean.item() / world))
    torch.save(model.state_dict(), "model.pt")
dist.destroy_process_group()
'''
JOB = f"""api: shoal/v1
kind: exec
name: NAME
package: package
run: [[{PYTHON}, train.py]]
env: {{PAUSE: "0.2"}}
model_file: model.pt
resources: {{agents: {RANKS}, cpus: 1}}
checkpoint: {{files: [ckpt/last.pt], every: 1s, keep: 2}}
retries: 0
"""


def final_loss(text):
    found = re.findall(r"final loss ([0-9.]+)", text)
    require(len(found) == 1, f"{len(found)} final losses")
    return float(found[0])


def torchrun(mesh):
    folder = mesh.path("reference")
    os.makedirs(folder)
    # Debian's torchrun knows the numbers 1 and 2 only (its enum and Python 3.11 disagree on others).
    done = subprocess.run([PYTHON, "-m", "torch.distributed.run", "--nproc_per_node", str(RANKS),
                           "--redirects", "1", "--tee", "1", "--log_dir", mesh.path("torchrun"),
                           "--master_port", str(mesh.free_port()), mesh.path("package/train.py")],
                          cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    require(done.returncode == 0, f"torchrun: {done.stderr[-500:]}")
    return final_loss(done.stdout)


def submit(mesh, agent, name):
    job = mesh.path(f"{name}.yaml", JOB.replace("NAME", name))
    out = mesh.must(["submit", job, "--json", "--peer", f"127.0.0.1:{agent.api_port}"])
    return json.loads(out)["id"]


def log(agent, job):
    return "\n".join(line["text"] for line in agent.read(f"/jobs/{job}/logs")["lines"])


def finish(agent, job):
    until("the job ends", END_S, lambda: agent.job(job)["state"] not in ("waiting", "running"))
    row = agent.job(job)
    require(row["state"] == "completed", f"{row['state']}: {row.get('failure')}")
    return final_loss(log(agent, job))


def disturbed(mesh, agents, watcher):
    job = submit(mesh, watcher, "disturbed")
    unit = until("a checkpoint", 120, lambda: [u for u in watcher.job(job)["unit_list"]
                                               if u["checkpoint_step"] > 0 and u.get("members")])[0]
    names = [m["name"] for m in unit["members"]]
    victim = next(a for a in agents if a.name in names and a is not watcher)
    victim.kill()
    loss = finish(watcher, job)
    causes = [e["cause"] for e in watcher.job(job)["history"]]
    require(sum(c.startswith("placed") for c in causes) >= 2, f"placed once: {causes}")
    require(re.search(r"resumed at [1-9]", log(watcher, job)), "it began anew")
    return loss


def main():
    try:
        subprocess.run([PYTHON, "-c", "import torch.distributed as d; assert d.is_available()"],
                       check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as gone:
        raise Skip("python3-torch is not installed") from gone
    with Mesh() as mesh:
        agents = mesh.three(extra=["--allow-commands"])
        agents.append(mesh.add("delta", join=agents[-1:], extra=["--allow-commands"]).start())
        leader = agreed_leader(agents)
        watcher = next(a for a in agents if a is not leader)
        mesh.path("package/train.py", SCRIPT)
        reference = torchrun(mesh)
        calm = finish(watcher, submit(mesh, watcher, "calm"))
        require(abs(calm - reference) <= 1e-6, f"loss {calm}, torchrun {reference}")
        killed = disturbed(mesh, agents, watcher)
        require(abs(killed - reference) <= 1e-6, f"loss after a kill {killed}, {reference}")
        print(f"loss {calm:.9f}, after a kill {killed:.9f}, torchrun {reference:.9f}")


if __name__ == "__main__":
    judge(main)
