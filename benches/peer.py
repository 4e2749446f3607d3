#!/usr/bin/env python3
"""Run dryscale and Dynamo's offline mocker in turns on the same requests, and print what each cost.

usage: peer.py [--requests N] [--rate R] [--replicas N] [--runs N] [--peer PYTHON] [--trace mooncake.jsonl]

Costs are the operating system's account of the whole process: user and system CPU time (the median of the runs) and peak
resident memory (the largest). Without --trace the requests are W80: Poisson arrivals, prompts of 512 and answers of 256 tokens
on average (lognormal, cv 1), no shared prefixes. With --trace they are those of a file in Mooncake's format, for both.

--peer names the Python of a virtual environment with ai-dynamo and ai-dynamo-runtime (1.6.1 was measured); without it only
dryscale runs. Timing models differ, the token work does not: compare CPU time, not what is simulated.
"""
import argparse, json, math, os, random, statistics, subprocess, sys, tempfile

PEER = """
import sys
from dynamo.replay.api import run_trace_replay
run_trace_replay(sys.argv[1], num_workers=int(sys.argv[2]), router_mode="round_robin", trace_block_size=512)
"""

LOOP = """
[scaled_object]
min_replica_count = {replicas}
max_replica_count = {replicas}
polling_interval = 15
[[scaled_object.triggers]]
type = "prometheus"
[scaled_object.triggers.metadata]
query = 'sum(vllm:num_requests_waiting{{namespace="$namespace", pod=~"$deployment.*"}})'
threshold = "2"
[[scaled_object.triggers]]
type = "prometheus"
[scaled_object.triggers.metadata]
query = '''histogram_quantile(0.95, sum by (le) (rate(
  vllm:time_to_first_token_seconds_bucket{{namespace="$namespace", pod=~"$deployment.*"}}[1m])))'''
threshold = "2"
"""


def lognormal(rng, mean, low, high):
    variance = math.log(2)
    return max(low, min(high, round(rng.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance)))))


def write_w80(folder, requests, rate):
    """The same requests as a plain table and in Mooncake's format; returns the paths and the duration in seconds."""
    rng, clock, block = random.Random(1), 0.0, 0
    plain_path, mooncake_path = os.path.join(folder, "plain.csv"), os.path.join(folder, "mooncake.jsonl")
    with open(plain_path, "w") as plain, open(mooncake_path, "w") as mooncake:
        plain.write("timestamp,prompt_tokens,output_tokens\n")
        for _ in range(requests):
            clock += rng.expovariate(rate)
            prompt, output = lognormal(rng, 512, 4, 8192), lognormal(rng, 256, 2, 4096)
            blocks = (prompt + 511) // 512
            plain.write(f"{clock:.6f},{prompt},{output}\n")
            row = {"timestamp": round(clock * 1000, 3), "input_length": prompt, "output_length": output,
                   "hash_ids": list(range(block, block + blocks))}
            mooncake.write(json.dumps(row) + "\n")
            block += blocks
    return plain_path, mooncake_path, clock


def cost(command):
    """CPU seconds and peak memory in MiB of one process."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"exit code {child.returncode}: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=80.0, help="requests a second")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", help="Python with the peer installed")
    parser.add_argument("--trace", help="a trace in Mooncake's format instead of W80")
    parser.add_argument("--dryscale", default="target/release/dryscale")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.trace:
            ours = theirs = args.trace
            duration = []
        else:
            ours, theirs, seconds = write_w80(folder, args.requests, args.rate)
            duration = ["--duration", f"{math.ceil(seconds)}s"]
        policy = os.path.join(folder, "loop.toml")
        with open(policy, "w") as file:
            file.write(LOOP.format(replicas=args.replicas))
        run = [args.dryscale, "simulate", "--trace", ours, "--no-requests", *duration, "--policy"]
        commands = {"fixed fleet": [*run, f"static:{args.replicas}"], "whole loop": [*run, policy],
                    "stepwise": [*run, f"static:{args.replicas}", "--engine", "stepwise"]}
        if args.peer:
            commands["peer"] = [args.peer, "-c", PEER, theirs, str(args.replicas)]
        costs = {name: [] for name in commands}
        for _ in range(args.runs):
            for name, command in commands.items():
                costs[name].append(cost(command))
    cpu = {name: statistics.median(cpu for cpu, _ in runs) for name, runs in costs.items()}
    for name, runs in costs.items():
        ratio = cpu[name] / cpu["fixed fleet"]
        print(f"{name:12} {cpu[name]:8.3f} CPU-s  {max(memory for _, memory in runs):7.1f} MiB  {ratio:7.2f} x")


if __name__ == "__main__":
    main()
