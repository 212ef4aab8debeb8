"""What a development cluster looks like, from the environment, and what it needs to be there."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

SYSTEM_PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
"""Daemons live in /usr/sbin, which is not on every user's PATH."""

LIGHT_PACKAGES = "slurmctld slurmd slurm-client munge"
FULL_PACKAGES = f"{LIGHT_PACKAGES} slurmdbd mariadb-server"
LIGHT_COMMANDS = ("slurmctld", "slurmd", "sbatch", "munged", "mungekey", "unshare", "nsenter")
FULL_COMMANDS = (*LIGHT_COMMANDS, "slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")

ROOT_ONLY = (
    "only root can start and stop the cluster (its nodes have host names of their own, written to "
    "/etc/hosts): use sudo, or a container, where you are root"
)


class DevClusterError(Exception):
    """The cluster cannot do as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One cluster. Two with different names and bases run side by side."""

    name: str = "dev"
    """Of the cluster; its nodes are called dev-1, dev-2, …"""
    base: str = ""
    """Folder of everything it writes; default: one with its name in the runtime directory."""
    nodes: int = 4
    cpus: int = 4
    """Pretended, of each node."""
    gpus: int = 4
    """Pretended, of each node."""
    memory_mib: int = 8192
    """Pretended, of each node."""
    accounting: bool = True
    """Run slurmdbd on MariaDB, so that sacct answers."""
    max_array_size: int = 1001
    node_timeout_s: int = 10
    """SlurmdTimeout. A node that was killed is noticed after two to three times as long."""
    port: int = 0
    """First of a block of ports (three, and one per node); 0: the first free block."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads DEVCLUSTER_NAME, DEVCLUSTER_NODES, … (the fields above in capitals)."""
        given: dict[str, str | int | bool] = {}
        for field in fields(cls):
            variable = f"DEVCLUSTER_{field.name.upper()}"
            if variable in environ:
                given[field.name] = _parse(variable, environ[variable], type(field.default))
        return cls(**given).checked()  # type: ignore[arg-type]

    def checked(self) -> Settings:
        """The same with ``base`` filled in; refuses what cannot work."""
        if not re.fullmatch(r"[a-z][a-z0-9]{0,19}", self.name):
            raise DevClusterError(
                f"DEVCLUSTER_NAME: got {self.name!r}; allowed: at most 20 lower-case letters and "
                "digits, a letter first (it becomes part of host names)"
            )
        for name, least in (("nodes", 1), ("cpus", 1), ("gpus", 0), ("max_array_size", 2)):
            given = getattr(self, name)
            if given < least:
                raise DevClusterError(
                    f"DEVCLUSTER_{name.upper()}: got {given}; allowed: {least} or more"
                )
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
        base = Path(self.base) if self.base else runtime / "lars-sweep-devcluster" / self.name
        if len(str(base)) > 80:  # a socket's path has at most 107 bytes
            raise DevClusterError(f"DEVCLUSTER_BASE: got {len(str(base))} characters; allowed: 80")
        return replace(self, base=str(base.absolute()))

    @property
    def node_names(self) -> list[str]:
        return [f"{self.name}-{i}" for i in range(1, self.nodes + 1)]

    def with_port(self) -> Settings:
        """The same with a block of ports that nothing listens on now."""
        size = 3 + self.nodes
        # Above the ports that worlds of ranks meet at, below those of outgoing connections.
        starts = [self.port] if self.port else range(32000, 32768 - size, 20 * -(-size // 20))
        for start in starts:
            if _all_free(range(start, start + size)):
                return replace(self, port=start)
        raise DevClusterError(
            f"no free block of {size} ports at {'or after ' if not self.port else ''}{starts[0]}: "
            "set DEVCLUSTER_PORT to the first of a free block"
        )

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, file: Path) -> Settings:
        return cls(**json.loads(file.read_text()))


def require_host(settings: Settings) -> None:
    """Refuses a host that cannot carry the cluster, naming everything it lacks at once."""
    commands = FULL_COMMANDS if settings.accounting else LIGHT_COMMANDS
    missing = [name for name in commands if shutil.which(name, path=SYSTEM_PATH) is None]
    if missing:
        packages = FULL_PACKAGES if settings.accounting else LIGHT_PACKAGES
        raise DevClusterError(
            f"this machine lacks {', '.join(missing)}. On Debian or Ubuntu:\n"
            f"  apt-get update && apt-get install -y --no-install-recommends {packages}"
        )
    if os.geteuid() != 0:
        raise DevClusterError(ROOT_ONLY)


def _parse(variable: str, text: str, kind: type) -> str | int | bool:
    try:
        if kind is bool:
            return {"yes": True, "no": False}[text]
        return kind(text)  # type: ignore[no-any-return]
    except (KeyError, ValueError):
        allowed = "yes or no" if kind is bool else "a whole number"
        raise DevClusterError(f"{variable}: got {text!r}; allowed: {allowed}") from None


def _all_free(ports: Iterable[int]) -> bool:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
