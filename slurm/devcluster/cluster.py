"""The cluster as one object: up, down, status, and the accidents that tests ask for."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devcluster import configuration
from devcluster.processes import Daemons, kill_namespace, wait_for
from devcluster.settings import ROOT_ONLY, SYSTEM_PATH, DevClusterError, Settings, require_host

HOSTS = Path("/etc/hosts")
LOCK = Path("/run/lars-sweep-devcluster.lock")
SMALL_QOS = "few"
"""A QOS that takes at most 10 jobs of one user (accounting only): a site's submit limit."""


class Cluster:
    """One development cluster, running or not, at ``settings.base``."""

    def __init__(self, settings: Settings) -> None:
        self.base = Path(settings.base)
        self._saved = self.base / "settings.json"
        # What runs there was started with these, whatever the environment says now.
        self.settings = Settings.load(self._saved) if self._saved.exists() else settings
        self._wanted = settings
        self._daemons = Daemons(self.base / "daemons.json", self.base / "log")

    # ── life

    def up(self) -> bool:
        """Starts the cluster and waits until all nodes are idle; False: it was up already."""
        require_host(self._wanted)
        with self._locked():
            if self.running:
                if dead := self.dead_daemons():
                    raise DevClusterError(
                        f"at {self.base} {', '.join(dead)} died and the rest still runs: "
                        "look into its log folder, then stop the rest with `down`"
                    )
                self.settings = Settings.load(self._saved)
                return False
            self.settings = self._wanted.with_port()
            try:
                self._prepare()
                self._start()
            except BaseException:
                self._stop()
                raise
        return True

    def down(self, *, wipe: bool = False) -> None:
        """Stops every daemon and job of this cluster; ``wipe`` removes its files too."""
        with self._locked():
            self._stop()
            if wipe:
                shutil.rmtree(self.base, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Whether daemons were started and not stopped since."""
        return bool(self._daemons.recorded())

    def dead_daemons(self) -> list[str]:
        """Daemons that were started, not stopped, and do not run."""
        return [name for name in self._daemons.recorded() if not self._daemons.alive(name)]

    # ── accidents

    def kill_node(self, node: str) -> None:
        """SIGKILL to everything on the node at once, as if its power went out."""
        kill_namespace(self._namespace(node))

    def start_node(self, node: str) -> None:
        """Starts the node's slurmd (again), as after a boot, and waits until it takes jobs."""
        self._namespace(node)
        self._daemons.stop(node)
        before = self._node_says(node, "SlurmdStartTime")
        # -b says that the node has booted. Back within SlurmdTimeout it would else keep jobs that
        # nobody runs any more; so it is down until its administrator has had a look.
        self._start_node(node, "-b")
        what = f"slurmd of {node} to report in"
        wait_for(lambda: self._node_says(node, "SlurmdStartTime") not in ("", before), 120, what)
        if "DOWN" in self._node_says(node, "State"):
            self.set_node(node, "resume")
        self._wait_idle([node])

    def set_node(self, node: str, state: str) -> None:
        """Sets the node ``down``, ``drain`` or ``resume`` as an administrator would."""
        self._namespace(node)
        self.run("scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=devcluster")

    def stop_controller(self) -> None:
        """Stops slurmctld; jobs go on."""
        self._daemons.stop("slurmctld")

    def start_controller(self) -> None:
        """Starts slurmctld and waits until it answers."""
        if not self._daemons.alive("slurmctld"):
            self._daemons.stop("slurmctld")
            self._daemons.start("slurmctld", ["slurmctld", "-D"], self.environ)
        wait_for(lambda: self._answers("scontrol", "ping"), 30, "slurmctld")

    # ── asking

    @property
    def environ(self) -> dict[str, str]:
        """This process's environment, pointed at the cluster."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, "PATH": SYSTEM_PATH, "SLURM_CONF": f"{self.base}/etc/slurm.conf"}

    def run(self, *command: str, timeout_s: float = 20.0) -> str:
        """Standard output of a SLURM command; DevClusterError with its complaint."""
        try:
            done = subprocess.run(
                command, env=self.environ, capture_output=True, text=True, timeout=timeout_s
            )
        except subprocess.TimeoutExpired:
            raise DevClusterError(f"`{' '.join(command)}` took over {timeout_s:.0f} s") from None
        if done.returncode:
            complaint = done.stderr.strip() or f"exit status {done.returncode}"
            raise DevClusterError(f"`{' '.join(command)}`: {complaint}")
        return done.stdout

    # ── inside

    def _prepare(self) -> None:
        self._release_nodes()  # of an `up` that was killed
        shutil.rmtree(self.base, ignore_errors=True)
        for folder in ("etc", "run", "log", "state", "mysql", *self._spools()):
            (self.base / folder).mkdir(parents=True, mode=0o755)
        self.settings.save(self._saved)
        configuration.write(self.settings)
        self._edit_hosts(f"127.0.0.1 {' '.join(self.settings.node_names)}")
        for node in self.settings.node_names:
            handle = self.base / "run" / f"{node}.uts"
            handle.touch()
            # A UTS namespace makes gethostname() in a job the node's name. Bound to a file it
            # also tells, later and without guessing, which processes run on the node.
            self.run("unshare", f"--uts={handle}", "hostname", node)

    def _start(self) -> None:
        run = self.base / "run"
        key, socket = str(self.base / "etc/munge.key"), str(run / "munge.sock")
        self.run("mungekey", "--create", f"--keyfile={key}")
        # --force: the folder above may be root's alone ($XDG_RUNTIME_DIR); so are the daemons.
        self._launch(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket}",
            f"--pid-file={run}/munged.pid", f"--seed-file={run}/munge.seed",
            f"--log-file={self.base}/log/munged.log",
        )  # fmt: skip
        self._wait_answer("munged", 10, "munge", f"--socket={socket}", "--no-input")
        if self.settings.accounting:
            self._start_accounting()
        self._launch("slurmctld", "-D")
        for node in self.settings.node_names:
            self._start_node(node)
        self._wait_idle(self.settings.node_names)

    def _start_accounting(self) -> None:
        data, socket = self.base / "mysql", self.base / "run/mysql.sock"
        self.run(
            "mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
            "--auth-root-authentication-method=normal", "--skip-test-db", timeout_s=120,
        )  # fmt: skip
        self._launch(
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
            f"--pid-file={self.base}/run/mariadbd.pid", f"--log-error={self.base}/log/mariadbd.log",
            "--bind-address=127.0.0.1", f"--port={self.settings.port + 2}",
            "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
            "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0",
            "--skip-log-bin", "--performance-schema=OFF", "--skip-name-resolve",
        )  # fmt: skip
        sql = ("mariadb", "--no-defaults", f"--socket={socket}", "-uroot", "-e")
        self._wait_answer("mariadbd", 60, *sql, "select 1")
        self.run(
            *sql,
            "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm';"
            "grant all on slurm_acct_db.* to slurm@'127.0.0.1'",
        )
        self._launch("slurmdbd", "-D")
        self._wait_answer("slurmdbd", 60, "sacctmgr", "-n", "show", "cluster")
        for words in (
            f"add cluster {self.settings.name}",
            f"add qos {SMALL_QOS} set MaxSubmitJobsPerUser=10",
            f"modify user root set qos=normal,{SMALL_QOS}",
        ):
            self.run("sacctmgr", "-i", *words.split())

    def _start_node(self, node: str, *options: str) -> None:
        enter = ["nsenter", f"--uts={self._namespace(node)}"]
        self._daemons.start(node, [*enter, "slurmd", "-D", "-N", node, *options], self.environ)

    def _launch(self, *command: str) -> None:
        self._daemons.start(command[0], command, self.environ)

    def _stop(self) -> None:
        if self._daemons.alive("slurmctld"):
            self._answers("scancel", "--full", "-u", "root")
        for name in reversed(self._daemons.recorded()):
            self._daemons.stop(name)
        self._release_nodes()
        self._edit_hosts(None)

    def _release_nodes(self) -> None:
        """Ends what outlived its slurmd, and gives back what the nodes held of the machine."""
        for handle in (self.base / "run").glob("*.uts"):
            if handle.stat().st_dev != handle.parent.stat().st_dev:  # still bound
                kill_namespace(handle)
                self.run("umount", str(handle))
            _remove_cgroups(handle.stem)

    def _wait_idle(self, nodes: Sequence[str]) -> None:
        def idle() -> bool:
            states = self._output("sinfo", "-h", "-N", "-p", "main", "-o", "%N %t").split("\n")
            return {f"{node} idle" for node in nodes} <= set(states)

        try:
            wait_for(idle, 120, f"{', '.join(nodes)} to become idle")
        except DevClusterError as error:
            logs = (f"{name}:\n{self._daemons.log_tail(name)}" for name in ("slurmctld", nodes[0]))
            raise DevClusterError("\n".join([str(error), *logs])) from None

    def _wait_answer(self, daemon: str, seconds: float, *question: str) -> None:
        def answered() -> bool:
            if not self._daemons.alive(daemon):
                raise DevClusterError(f"{daemon} died:\n{self._daemons.log_tail(daemon)}")
            return self._answers(*question)

        wait_for(answered, seconds, f"{daemon} to answer (its log: {self.base}/log/{daemon}.log)")

    def _answers(self, *command: str) -> bool:
        try:
            self.run(*command, timeout_s=5)
        except DevClusterError:
            return False
        return True

    def _output(self, *command: str) -> str:
        try:
            return self.run(*command, timeout_s=5)
        except DevClusterError:
            return ""

    def _node_says(self, node: str, word: str) -> str:
        """What ``scontrol show node`` says of it; empty if it does not answer."""
        said = re.search(rf"\b{word}=(\S+)", self._output("scontrol", "show", "node", node))
        return said[1] if said else ""

    def _namespace(self, node: str) -> Path:
        if not self.running or node not in self.settings.node_names:
            known = ", ".join(self.settings.node_names) if self.running else "none, it is down"
            raise DevClusterError(f"node: got {node!r}; allowed: {known}")
        return self.base / "run" / f"{node}.uts"

    def _spools(self) -> list[str]:
        return [f"spool/{node}" for node in self.settings.node_names]

    def _edit_hosts(self, line: str | None) -> None:
        mark = f"  # lars-sweep devcluster {self.settings.name}\n"
        with HOSTS.open("r+") as file:  # in place: in a container it is often a mount point
            fcntl.flock(file, fcntl.LOCK_EX)
            kept = [old.rstrip("\n") + "\n" for old in file if not old.endswith(mark)]
            file.seek(0)
            file.writelines([*kept, *([line + mark] if line else [])])
            file.truncate()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time on this machine: two would find the same ports free."""
        try:
            file = os.open(LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
        except PermissionError:
            raise DevClusterError(f"{LOCK}: {ROOT_ONLY}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def _remove_cgroups(node: str) -> None:
    """slurmd leaves its memory cgroups behind, one folder below another."""
    top = configuration.MEMORY_CGROUP / f"slurm_{node}"
    for folder in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
    if top.exists():
        top.rmdir()
