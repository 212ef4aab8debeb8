"""Command line of the development cluster; up, down, status, node and controller call it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from devcluster.cluster import Cluster
from devcluster.configuration import limits_memory
from devcluster.settings import DevClusterError, Settings

EPILOG = """
Environment: DEVCLUSTER_NAME (dev), DEVCLUSTER_BASE, DEVCLUSTER_NODES (4), DEVCLUSTER_CPUS (4),
DEVCLUSTER_GPUS (4), DEVCLUSTER_MEMORY_MIB (8192), DEVCLUSTER_ACCOUNTING (yes),
DEVCLUSTER_MAX_ARRAY_SIZE (1001), DEVCLUSTER_NODE_TIMEOUT_S (10), DEVCLUSTER_PORT (first free).
Two clusters run side by side under different names.
"""


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _COMMANDS[arguments.command](Cluster(Settings.from_environment()), arguments)
    except DevClusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devcluster", description=__doc__, epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, or say that it is up")
    down = commands.add_parser("down", help="stop every daemon and job of it")
    down.add_argument("--wipe", action="store_true", help="remove its files and logs too")
    commands.add_parser("status", help="daemons, nodes and jobs; exit status 1 unless all is well")
    node = commands.add_parser("node", help="an accident, or an administrator's act, on one node")
    node.add_argument("act", choices=["kill", "start", "down", "drain", "resume"])
    node.add_argument("name")
    controller = commands.add_parser("controller", help="stop or start slurmctld; jobs go on")
    controller.add_argument("act", choices=["stop", "start"])
    return parser


def _up(cluster: Cluster, _: argparse.Namespace) -> int:
    started = time.monotonic()
    fresh = cluster.up()
    took = f"up in {time.monotonic() - started:.1f} s" if fresh else "up already"
    settings = cluster.settings
    print(f"{settings.name}: {settings.nodes} nodes idle, {took}", file=sys.stderr)
    if not limits_memory():
        print("no cgroup v1 memory controller: --mem is not enforced", file=sys.stderr)
    print(f"source {cluster.base}/env.sh")
    return 0


def _down(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.down(wipe=arguments.wipe)
    print(f"{cluster.settings.name}: down", file=sys.stderr)
    return 0


def _status(cluster: Cluster, _: argparse.Namespace) -> int:
    if not cluster.running:
        print(f"{cluster.settings.name}: down (base {cluster.base})")
        return 1
    dead = cluster.dead_daemons()
    print(f"{cluster.settings.name}: {'dead: ' + ', '.join(dead) if dead else 'all daemons run'}")
    print(f"base {cluster.base}, ports from {cluster.settings.port}")
    for question in (("sinfo", "-N", "-l", "-p", "main"), ("squeue", "-a")):
        print(f"\n$ {' '.join(question)}\n{cluster.run(*question)}", end="")
    return 1 if dead else 0


def _node(cluster: Cluster, arguments: argparse.Namespace) -> int:
    if arguments.act == "kill":
        cluster.kill_node(arguments.name)
    elif arguments.act == "start":
        cluster.start_node(arguments.name)
    else:
        cluster.set_node(arguments.name, arguments.act)
    return 0


def _controller(cluster: Cluster, arguments: argparse.Namespace) -> int:
    (cluster.stop_controller if arguments.act == "stop" else cluster.start_controller)()
    return 0


_COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "node": _node,
    "controller": _controller,
}

if __name__ == "__main__":
    sys.exit(main())
