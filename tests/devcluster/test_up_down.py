"""The cluster's own life: what it starts, it stops; what it lacks, it names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from devcluster import cluster as cluster_module
from devcluster import settings as settings_module
from devcluster.cluster import Cluster
from devcluster.processes import kill_namespace
from devcluster.settings import DevClusterError, Settings

COMMANDS = Path(settings_module.__file__).parent


def small(tmp_path: Path, name: str, folder: str = "") -> Settings:
    base = str(tmp_path / (folder or name))
    return Settings(name=name, base=base, nodes=1, accounting=False).checked()


def processes_mentioning(text: str) -> list[str]:
    """Command lines of living processes (a zombie has none)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if text in command:
                found.append(command.replace("\0", " "))
    return found


@pytest.mark.slurm
def test_up_and_down_twice_leaves_nothing(tmp_path: Path) -> None:
    settings = small(tmp_path, f"u{os.getpid()}")
    for _ in range(2):
        cluster = Cluster(settings)
        assert cluster.up()
        assert not Cluster(settings).up(), "a second up finds it running"
        job = cluster.run("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "sleep 600").strip()
        assert f"{settings.name}-1" in cluster_module.HOSTS.read_text()
        Cluster(settings).down()
        assert not Cluster(settings).running
        assert processes_mentioning(settings.base) == [], job
        assert settings.name not in cluster_module.HOSTS.read_text()
    assert (tmp_path / settings.name / "log/slurmctld.log").exists(), "logs stay for a look"
    Cluster(settings).down(wipe=True)
    assert not (tmp_path / settings.name).exists()


@pytest.mark.slurm
def test_up_needs_nothing_of_the_callers_environment(tmp_path: Path) -> None:
    settings = small(tmp_path, f"z{os.getpid()}")
    environ = {
        "DEVCLUSTER_NAME": settings.name,
        "DEVCLUSTER_BASE": settings.base,
        "DEVCLUSTER_NODES": "1",
        "DEVCLUSTER_ACCOUNTING": "no",
        "PATH": "/usr/bin:/bin",
    }
    try:
        done = subprocess.run(
            [COMMANDS / "up"], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, f"source {settings.base}/env.sh\n"), (
            done.stderr
        )
    finally:
        Cluster(settings).down(wipe=True)


@pytest.mark.slurm
def test_two_clusters_start_at_once_and_run_side_by_side(tmp_path: Path) -> None:
    """In different folders, so that nothing but the machine tells them of each other."""
    both = [Cluster(small(tmp_path, f"{x}{os.getpid()}", f"{x}/{x}")) for x in "vw"]
    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(Cluster.up, both)) == [True, True]
        ports = [range(c.settings.port, c.settings.port + 3 + c.settings.nodes) for c in both]
        assert not set(ports[0]) & set(ports[1])
        seen = [cluster.run("sinfo", "-h", "-p", "main", "-o", "%N %t").strip() for cluster in both]
        assert seen == [f"{cluster.settings.name}-1 idle" for cluster in both]
    finally:
        for cluster in both:
            cluster.down(wipe=True)


@pytest.mark.slurm
def test_a_daemon_that_died_is_named(tmp_path: Path) -> None:
    cluster = Cluster(small(tmp_path, f"x{os.getpid()}"))
    cluster.up()
    try:
        cluster.kill_node(cluster.settings.node_names[0])
        with pytest.raises(DevClusterError, match=r"x\d+-1 died and the rest still runs"):
            cluster.up()
    finally:
        cluster.down(wipe=True)


def test_status_of_a_cluster_that_is_down(tmp_path: Path) -> None:
    environ = {**os.environ, "DEVCLUSTER_BASE": str(tmp_path / "none"), "DEVCLUSTER_NAME": "none"}
    done = subprocess.run(
        [COMMANDS / "status"], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, f"none: down (base {tmp_path}/none)\n")


@pytest.mark.parametrize("command", ["up", "down", "status", "node", "controller"])
def test_every_command_explains_itself(command: str) -> None:
    done = subprocess.run(
        [COMMANDS / command, "--help"], capture_output=True, text=True, check=True
    )
    assert f"usage: devcluster {command}" in done.stdout


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings_module, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(
        DevClusterError, match=r"slurmctld, slurmd(.|\n)*apt-get install .*slurmdbd"
    ):
        settings_module.require_host(Settings().checked())
    with pytest.raises(DevClusterError) as light:
        settings_module.require_host(Settings(accounting=False).checked())
    assert "mariadb" not in str(light.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("NODES", "many", "DEVCLUSTER_NODES: got 'many'; allowed: a whole number"),
        ("NODES", "0", "DEVCLUSTER_NODES: got 0; allowed: 1 or more"),
        ("ACCOUNTING", "maybe", "DEVCLUSTER_ACCOUNTING: got 'maybe'; allowed: yes or no"),
        ("NAME", "Dev_1", "DEVCLUSTER_NAME: got 'Dev_1'; allowed: at most 20 lower-case"),
        ("BASE", "/" + "x" * 99, "DEVCLUSTER_BASE: got 100 characters; allowed: 80"),
    ],
)
def test_wrong_settings_are_named(variable: str, value: str, message: str) -> None:
    with pytest.raises(DevClusterError) as error:
        Settings.from_environment({f"DEVCLUSTER_{variable}": value})
    assert str(error.value).startswith(message)


def test_settings_survive_being_saved(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {"DEVCLUSTER_NODES": "2", "DEVCLUSTER_ACCOUNTING": "no", "DEVCLUSTER_PORT": "30000"}
    )
    settings.save(tmp_path / "settings.json")
    assert Settings.load(tmp_path / "settings.json") == settings
    assert (settings.nodes, settings.accounting, settings.port) == (2, False, 30000)


def test_a_namespace_that_is_our_own_is_never_killed() -> None:
    with pytest.raises(DevClusterError, match="own namespace"):
        kill_namespace(Path("/proc/self/ns/uts"))


def test_the_scripts_need_no_third_party_module() -> None:
    code = "import devcluster.__main__, sys; print('site-packages' in str(sys.modules))"
    environ = {**os.environ, "PYTHONPATH": str(COMMANDS.parent)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.slurm
def test_a_start_that_was_killed_is_cleared_by_the_next(tmp_path: Path) -> None:
    settings = small(tmp_path, f"y{os.getpid()}")
    code = """if True:
        import os, signal
        from devcluster.cluster import Cluster
        from devcluster.settings import Settings
        Cluster._start_node = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        Cluster(Settings.from_environment()).up()"""
    environ = {
        **os.environ,
        "PYTHONPATH": str(COMMANDS.parent),
        "DEVCLUSTER_NAME": settings.name,
        "DEVCLUSTER_BASE": settings.base,
        "DEVCLUSTER_NODES": "1",
        "DEVCLUSTER_ACCOUNTING": "no",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert processes_mentioning(settings.base) != []
    cluster = Cluster(settings)
    cluster.down()
    assert processes_mentioning(settings.base) == []
    assert cluster.up()
    cluster.down(wipe=True)
    assert not Path(settings.base).exists()
