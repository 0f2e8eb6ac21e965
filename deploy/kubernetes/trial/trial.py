"""The manifests on a real API server, scaled by KEDA on a running gateway's figures. There is no
node: pods stay Pending. `build.sh DIRECTORY` first, then `python deploy/kubernetes/trial/trial.py
DIRECTORY`; needs kubectl, openssl and the [local] extra. Prints what is seen; 0: all of it.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent.parent
PYTHON = ".".join(platform.python_version_tuple()[:2])
LIMIT_S = 300.0


def free_port() -> int:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        return int(end.getsockname()[1])


def until(what: str, look: Callable[[], Any]) -> Any:
    began = time.monotonic()
    while True:
        try:
            if found := look():
                print(f"  {time.monotonic() - began:5.1f} s  {what}", flush=True)
                return found
        except (OSError, subprocess.CalledProcessError, KeyError, json.JSONDecodeError):
            pass
        if time.monotonic() - began > LIMIT_S:
            raise SystemExit(f"not within {LIMIT_S:.0f} s: {what}")
        time.sleep(1)


class Cluster:
    """etcd, the API server, its controllers, and KEDA; all end with the block."""

    def __init__(self, built: Path, folder: Path, stack: ExitStack) -> None:
        self.bin, self.folder, self.stack = built / "bin", folder, stack
        self.keda = built / "keda"
        self.port, self.etcd = free_port(), f"http://127.0.0.1:{free_port()}"
        self.config = folder / "kubeconfig"
        user = {"name": "admin", "user": {"token": "admin"}}
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        context = {"name": "trial", "context": {"cluster": "trial", "user": "admin"}}
        self.config.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "trial",
                    "clusters": [{"name": "trial", "cluster": cluster}],
                    "users": [user], "contexts": [context],
                }
            )
        )  # fmt: skip

    def start(self, name: str, *flags: str, **environ: str) -> None:
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        env = os.environ | {"KUBECONFIG": str(self.config), **environ}
        self.stack.enter_context(ended([str(self.bin / name), *flags], env, log))

    def kubectl(self, *words: str, given: str = "") -> str:
        argv = ["kubectl", "--kubeconfig", str(self.config), *words]
        done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
        if "Warning" in done.stderr:
            raise SystemExit(done.stderr)
        return done.stdout

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "-n", "mecapy", "-o", "json"))

    def up(self) -> None:
        (self.folder / "tokens.csv").write_text("admin,admin,1,system:masters\n")
        self._certificates()
        client, peer = self.etcd, f"http://127.0.0.1:{free_port()}"
        self.start(
            "etcd", "--data-dir", f"{self.folder}/etcd", "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--name", "one",
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}",
        )  # fmt: skip
        crt, key = f"{self.folder}/tls.crt", f"{self.folder}/tls.key"
        self.start(
            "kube-apiserver", "--etcd-servers", self.etcd, "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={self.folder}/apiserver",
            f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC",
            "--service-account-issuer=https://trial", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount", "--advertise-address=192.0.2.1",
            f"--requestheader-client-ca-file={self.folder}/ca.crt",
            "--requestheader-allowed-names=localhost", f"--proxy-client-cert-file={crt}",
            f"--proxy-client-key-file={key}", "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--endpoint-reconciler-type=none",
        )  # fmt: skip
        until("the API server answers", lambda: self.kubectl("get", "--raw", "/readyz"))
        self.start(
            "kube-controller-manager", f"--kubeconfig={self.config}", "--leader-elect=false",
            "--secure-port=0", "--horizontal-pod-autoscaler-sync-period=5s",
            "--controllers=deployment-controller,replicaset-controller,job-controller,"
            "horizontal-pod-autoscaler-controller,garbage-collector-controller,namespace-controller",
        )  # fmt: skip

    def _certificates(self) -> None:
        """One for all parts, as `localhost`, by an authority of this trial."""
        where = {"cwd": self.folder, "check": True, "capture_output": True}
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        subprocess.run(
            [*make, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=trial"], **where
        )
        own = ["-CA", "ca.crt", "-CAkey", "ca.key", "-subj", "/CN=localhost"]
        own += ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
        subprocess.run([*make, "-keyout", "tls.key", "-out", "tls.crt", *own], **where)

    def with_keda(self) -> None:
        grpc, https = free_port(), free_port()
        self.start(
            "keda-operator", f"--metrics-service-bind-address=127.0.0.1:{grpc}",
            "--metrics-bind-address=0", "--health-probe-bind-address=0",
            f"--cert-dir={self.folder}", "--enable-cert-rotation=false",
            KEDA_CLUSTER_OBJECT_NAMESPACE="keda", POD_NAMESPACE="keda", WATCH_NAMESPACE="",
        )  # fmt: skip
        if not (self.bin / "keda-adapter").exists():
            return
        self.start(
            "keda-adapter", f"--secure-port={https}", f"--port={free_port()}",
            f"--cert-dir={self.folder}", f"--tls-cert-file={self.folder}/tls.crt",
            f"--tls-private-key-file={self.folder}/tls.key", f"--kubeconfig={self.config}",
            f"--lister-kubeconfig={self.config}", f"--authentication-kubeconfig={self.config}",
            f"--authorization-kubeconfig={self.config}",
            f"--metrics-service-address=localhost:{grpc}", POD_NAMESPACE="keda", WATCH_NAMESPACE="",
        )  # fmt: skip
        service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": https}]}
        for each in (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}},
            {
                "apiVersion": "v1", "kind": "Service", "spec": service,
                "metadata": {"name": "keda", "namespace": "keda"},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
                "spec": {
                    "group": "external.metrics.k8s.io", "version": "v1beta1",
                    "groupPriorityMinimum": 100, "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {"name": "keda", "namespace": "keda", "port": https},
                },
            },
        ):  # fmt: skip
            self.kubectl("apply", "-f", "-", given=json.dumps(each))


@contextmanager
def ended(argv: list[str], env: dict[str, str], log: Any) -> Any:
    process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


class Gateway:
    """An embedded stack with one worker of the class `pool` and none of `large`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        settings = (HERE / "settings.yaml").read_text()
        machines = list(yaml.safe_load_all(settings))[1]["data"]["machines.toml"]
        assert tomllib.loads(machines)["large"]["provider"] == "keda"
        (folder / "machines.toml").write_text(machines)
        self.url = f"http://127.0.0.1:{free_port()}"
        argv = [sys.executable, "-m", "mecapy_jupyter.cli", "up", "--workers", "1"]
        argv += ["--data", f"{folder}/stack", "--port", self.url.rpartition(":")[2]]
        env = os.environ | {"MECAPY_MACHINES": f"{folder}/machines.toml"}
        self.process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
        stack.callback(self.process.wait, 60)
        stack.callback(self.process.terminate)
        assert self.process.stdout
        words = iter(self.process.stdout)
        self.token = next(line.split()[-1] for line in words if "token" in line.lower())

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def submit(self, count: int, seconds: int, **resources: str) -> list[str]:
        body = {"code": f"import time\ntime.sleep({seconds})", "resources": resources or None}
        return [self.ask("POST", "/tasks", body)["task_id"] for _ in range(count)]


def main(built: Path) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mecapy-trial-")))
        cluster = Cluster(built.resolve(), folder, stack)
        print("manifests")
        cluster.up()
        cluster.kubectl("apply", "--validate=strict", "-f", str(HERE / "namespace.yaml"))
        gateway = Gateway(folder, stack)
        token = gateway.ask("POST", "/tokens", {"name": "keda", "scopes": ["read"]})["token"]
        secrets = (HERE / "secrets.example.yaml").read_text()
        secrets = secrets.replace("token: TOKEN", f"token: {token}")
        cluster.kubectl("apply", "--validate=strict", "-f", "-", given=secrets)
        print(cluster.kubectl("apply", "--validate=strict", "-k", str(HERE)))
        admitted(cluster)
        print("KEDA")
        cluster.kubectl("apply", "--server-side", "-f", f"{cluster.keda}/config/crd/bases")
        rendered = cluster.kubectl("kustomize", str(HERE / "keda"))
        rendered = rendered.replace("http://mecapy-gateway.mecapy.svc:8000", gateway.url)
        rendered = rendered.replace("python=3.12", f"python={PYTHON}")
        # From none on, which KEDA's operator does itself; from one on it is the autoscaler's.
        rendered = rendered.replace("minReplicaCount: 1", "minReplicaCount: 0")
        until("its kinds are known", lambda: cluster.get("scaledobject,scaledjob"))
        print(cluster.kubectl("apply", "--validate=strict", "-f", "-", given=rendered))
        if not (cluster.bin / "keda-operator").exists():
            raise SystemExit("KEDA is not built: its objects fit its CRDs, and nothing scales")
        cluster.kubectl("-n", "mecapy", "scale", "deployment/mecapy-worker", "--replicas=0")
        cluster.with_keda()
        scaled(cluster, gateway)


def admitted(cluster: Cluster) -> None:
    """Admission takes each pod; the Deployments do not show that."""
    for kind, name in (("deployment", "mecapy-gateway"), ("deployment", "mecapy-worker")):
        template = cluster.get(kind, name)["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        pod["metadata"] = {"name": f"{name}-x", "namespace": "mecapy"}
        words = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
        print(" ", cluster.kubectl(*words, given=json.dumps(pod)).strip(), "under `restricted`")


def scaled(cluster: Cluster, gateway: Gateway) -> None:
    def condition(kind: str, name: str) -> bool:
        found = cluster.get(kind, name)["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in found)

    def replicas() -> int:
        return cluster.get("deployment", "mecapy-worker")["spec"]["replicas"]

    until("spec.replicas of the workers is 0", lambda: replicas() == 0)
    until("ScaledObject is Ready", lambda: condition("scaledobject", "mecapy-worker"))
    until("the gateway wants a worker: spec.replicas is 1", lambda: replicas() == 1)
    until("ScaledJob is Ready", lambda: condition("scaledjob", "mecapy-large"))
    gateway.submit(2, 1, machine="large")
    until("2 tasks for `large` wait: 2 Jobs", lambda: len(jobs(cluster)) == 2)
    print("         ", gateway.ask("GET", f"/system/scale?python={PYTHON}"))
    time.sleep(40)
    assert len(jobs(cluster)) == 2, "more Jobs than tasks"
    print("  after two more looks there are 2 Jobs still")
    if not (cluster.bin / "keda-adapter").exists():
        raise SystemExit("KEDA's adapter is not built: the autoscaler has no figure from one on")
    gateway.submit(40, 250)
    until("40 tasks wait: the gateway wants more workers", lambda: wanted(gateway) > 1)
    until("spec.replicas is what it wants", lambda: replicas() == wanted(gateway) > 1)
    print("         ", replicas())


def wanted(gateway: Gateway) -> int:
    return gateway.ask("GET", f"/system/scale?python={PYTHON}")["pool"]["wanted"]


def jobs(cluster: Cluster) -> list[Any]:
    found = cluster.get("jobs")["items"]
    return [one for one in found if one["metadata"]["name"].startswith("mecapy-large")]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
