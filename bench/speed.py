#!/usr/bin/env python3
"""Compare Occam's speed and memory with PyTorch's on the same models.

    python bench/speed.py                               # all rows, both modes
    python bench/speed.py --only vgg11 --mode train --compile --json
    python bench/speed.py --torch-only --json

Every measurement is a process of its own, so that its peak memory is its own; the two sides take turns in every round,
so that a slow moment of the machine hits both. Printed are medians over the rounds of each process' median. `ratio` is
PyTorch's time over Occam's: above 1, Occam is faster. Memory is the peak of the whole process; the columns `step` are
what of it came after the model was loaded. `others` is how many cores other processes kept busy meanwhile (Linux): where
it is not near 0 the times mean nothing, since the two sides suffer differently. Needs PyTorch. Exits 1 where a row could
not be compared.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODES = ("train", "eval")
# Of mmcls' SGD; the same that `occam bench` takes where a config has no optimizer.
LR, MOMENTUM = 0.01, 0.9


# Cores that others may keep busy on a machine that counts as quiet.
QUIET = 0.1


class Refused(Exception):
    """One side cannot run a row."""


def memory_mb(field):
    """A figure of /proc/self/status in MB of 2^20 bytes, as `occam bench` reports them; none elsewhere."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


class Others:
    """How many cores processes that are not ours keep busy, from all processors' time without that of our children."""

    def __init__(self):
        self.start = self.now()

    @staticmethod
    def now():
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        except OSError:
            return None
        user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        own = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
        return time.monotonic(), busy - sum(usage.ru_utime + usage.ru_stime for usage in own)

    def cores(self):
        end = self.now()
        if self.start is None or end is None:
            return None
        return max(0.0, (end[1] - self.start[1]) / (end[0] - self.start[0]))


def wait_for_quiet(seconds):
    """Waits until no other process computes, at most so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        others = Others()
        time.sleep(min(2.0, seconds))
        if (others.cores() or 0.0) < QUIET:
            return


def torch_worker(args):
    """Measures one model in this process and prints one JSON object."""
    import torch

    from models import ROWS

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    row = ROWS[args.only]
    model = row.build().train(args.mode == "train")
    params = sum(p.numel() for p in model.parameters())
    images = torch.randn(row.batch, *row.shape)
    labels = torch.randint(row.classes, (row.batch,))
    run = torch.compile(model) if args.compile else model
    if args.mode == "train":
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

        def step():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(run(images), labels).backward()
            optimizer.step()

    else:

        def step():
            with torch.inference_mode():
                run(images)

    load = memory_mb("VmRSS")
    times = []
    for _ in range(args.warmup + args.iters):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    times = times[args.warmup :]
    result = {
        "median_ms": statistics.median(times),
        "min_ms": min(times),
        "params": params,
        "peak_rss_mb": memory_mb("VmHWM"),
        "load_rss_mb": load,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


def call(command, env=None):
    """The JSON object that a command prints last."""
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    try:
        result = json.loads(lines[-1])
    except (IndexError, ValueError):
        result = {}
    if done.returncode != 0 or "median_ms" not in result:
        why = result.get("message") or done.stderr.strip() or f"it ended with code {done.returncode}"
        raise Refused(why.splitlines()[-1] if "Traceback" in why else why.splitlines()[0])
    return result


def occam(args, name, mode, row):
    """One process of Occam."""
    command = [args.occam, "--json", "bench", mode, HERE / "configs" / f"{name}.py"]
    command += ["--batch", row.batch, "--shape", ",".join(map(str, row.shape))]
    command += ["--warmup", args.warmup, "--iters", args.iters, "--threads", args.threads, "--seed", args.seed]
    return call([str(c) for c in command])


def torch(args, name, mode, compiled):
    """One process of PyTorch."""
    command = [sys.executable, HERE / "speed.py", "--torch-worker", "--only", name, "--mode", mode]
    command += ["--warmup", args.warmup, "--iters", args.iters, "--threads", args.threads, "--seed", args.seed]
    command += ["--compile"] if compiled else []
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads))
    return call([str(c) for c in command], env)


def undisturbed(args, run):
    """One process' figures and the cores that others kept busy meanwhile: of several attempts the quietest."""
    best = None
    for _ in range(1 + args.retries):
        wait_for_quiet(args.patience)
        others = Others()
        result = run()
        cores = others.cores()
        if best is None or (cores or 0.0) < (best[1] or 0.0):
            best = (result, cores)
        if (best[1] or 0.0) < QUIET:
            break
    return best


def measure(args, name, mode, row, say):
    """All rounds of one row; both sides take turns in who begins."""
    sides = {
        "torch": lambda: torch(args, name, mode, False),
        "torch_compile": lambda: torch(args, name, mode, True),
        "occam": lambda: occam(args, name, mode, row),
    }
    if not args.compile:
        del sides["torch_compile"]
    if args.torch_only:
        del sides["occam"]
    results = {side: [] for side in sides}
    errors = {}
    disturbance = []
    for turn in range(args.rounds):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        for side in order:
            if side in errors:
                continue
            try:
                result, cores = undisturbed(args, sides[side])
                results[side].append(result)
                disturbance.append(cores)
            except (Refused, OSError) as e:
                errors[side] = str(e)
                results[side] = []
                say(f"{side} refuses {name} ({mode}): {e}")
    counts = {side: found[0]["params"] for side, found in results.items() if found}
    if len(set(counts.values())) > 1:
        errors["params"] = f"the models differ: parameters {counts}"
        say(f"{name} ({mode}): {errors['params']}")
    out = {"name": name, "mode": mode, "batch": row.batch, "shape": list(row.shape)}
    out["params"] = counts.get("torch", counts.get("occam"))
    for side in ("occam", "torch", "torch_compile"):
        found = results.get(side)
        out[f"{side}_ms"] = statistics.median(r["median_ms"] for r in found) if found else None
    out["rounds_ms"] = {side: [r["median_ms"] for r in found] for side, found in results.items()}
    disturbance = [cores for cores in disturbance if cores is not None]
    out["others_cores"] = statistics.mean(disturbance) if disturbance else None
    if disturbance and max(disturbance) > QUIET:
        say(f"{name} ({mode}): other processes kept up to {max(disturbance):.1f} cores busy; measure again")
    for side in ("occam", "torch"):
        found = [r for r in results.get(side, []) if r["peak_rss_mb"] is not None]
        out[f"{side}_mb"] = max((r["peak_rss_mb"] for r in found), default=None)
        out[f"{side}_load_mb"] = max((r["load_rss_mb"] for r in found), default=None)
        steps = [r["peak_rss_mb"] - r["load_rss_mb"] for r in found]
        out[f"{side}_step_mb"] = max(steps, default=None)
    comparable = out["occam_ms"] and out["torch_ms"] and "params" not in errors
    out["ratio"] = out["torch_ms"] / out["occam_ms"] if comparable else None
    if errors:
        out["errors"] = errors
    return out


COLUMNS = [
    ("model", "name", None),
    ("mode", "mode", None),
    ("occam ms", "occam_ms", 1),
    ("torch ms", "torch_ms", 1),
    ("compiled ms", "torch_compile_ms", 1),
    ("ratio", "ratio", 2),
    ("occam MB", "occam_mb", 0),
    ("step", "occam_step_mb", 0),
    ("torch MB", "torch_mb", 0),
    ("step", "torch_step_mb", 0),
    ("others", "others_cores", 2),
]


def table(rows):
    """The rows as aligned text."""

    def cell(value, digits):
        if value is None:
            return "-"
        return value if digits is None else f"{value:.{digits}f}"

    text = [[title for title, _, _ in COLUMNS]]
    text += [[cell(row[key], digits) for _, key, digits in COLUMNS] for row in rows]
    widths = [max(len(line[i]) for line in text) for i in range(len(COLUMNS))]
    for line in text:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))]
        yield "  ".join(cells).rstrip()


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--occam", default=str(ROOT / "target/release/occam"), help="the binary to measure")
    parser.add_argument("--only", metavar="NAME", help="one row")
    parser.add_argument("--mode", choices=MODES, help="train or eval alone")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side (default 3)")
    parser.add_argument("--warmup", type=int, default=3, help="untimed iterations of a process (default 3)")
    parser.add_argument("--iters", type=int, default=10, help="timed iterations of a process (default 10)")
    parser.add_argument(
        "--patience", type=float, default=60, metavar="SECONDS",
        help="waited at most before each process for others to leave the machine alone (default 60)",
    )  # fmt: skip
    parser.add_argument(
        "--retries", type=int, default=1, metavar="N",
        help="how often a process is repeated that others disturbed (default 1)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile as well")
    parser.add_argument("--torch-only", action="store_true", help="leave Occam out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--torch-worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads < 1 or args.rounds < 1 or args.iters < 1 or args.warmup < 0 or args.retries < 0:
        parser.error("--threads, --rounds and --iters must be at least 1, --warmup and --retries at least 0")
    return args


def main():
    args = arguments()
    if args.torch_worker:
        return torch_worker(args)
    from models import ROWS

    if args.only and args.only not in ROWS:
        sys.exit(f"there is no row {args.only}; there are {', '.join(ROWS)}")

    def say(text):
        print(text, file=sys.stderr, flush=True)

    rows = []
    for name in [args.only] if args.only else ROWS:
        for mode in [args.mode] if args.mode else MODES:
            rows.append(measure(args, name, mode, ROWS[name], say))
            found = [(side, rows[-1][f"{side}_ms"]) for side in ("occam", "torch", "torch_compile")]
            figures = ", ".join(f"{side} {ms:.1f} ms" for side, ms in found if ms is not None)
            say(f"{name} ({mode}): {figures or 'nothing measured'}")
    if args.json:
        keys = ("threads", "rounds", "warmup", "iters")
        print(json.dumps({"rows": rows, **{k: getattr(args, k) for k in keys}}, indent=1))
    else:
        print("\n".join(table(rows)))
    wanted = "torch_ms" if args.torch_only else "ratio"
    sys.exit(any(row[wanted] is None for row in rows))


if __name__ == "__main__":
    main()
