"""The manifests for Kubernetes: valid by its schemas, and of one mind with settings, images, the
compose file and the gateway's answer. KEDA's objects are checked by a trial (docs/kubernetes.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mecapy_backend.api.routes.machines import ScaleFigures
from mecapy_backend.fleet import classes
from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.shared.version import __version__

from ..house.test_documents import SETTING, settings_in_code
from ..house.tracked import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.36"
CUSTOM = ("keda.sh/", "kustomize.config.k8s.io/")
FILES = [path for path in sorted(FOLDER.glob("**/*.yaml")) if path.name != "images.yaml"]
POOL, LARGE = FOLDER / "keda/pool.yaml", FOLDER / "keda/large.yaml"


@cache
def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def named(kind: str, name: str) -> dict[str, Any]:
    return next(
        one
        for path in FILES
        for one in objects(path)
        if (one["kind"], one.get("metadata", {}).get("name")) == (kind, name)
    )


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The template of each pod, by the name of what makes it."""
    for path in FILES:
        for one in objects(path):
            spec = one.get("spec", {})
            template = spec.get("jobTargetRef", spec).get("template")
            if template:
                yield one["metadata"]["name"], template


PODS = dict(pods())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_they_are_valid(path: Path) -> None:
    """The schemas of a current Kubernetes accept them, and know every field."""
    for one in objects(path):
        if not one["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(one, VERSION, strict=True)
    job = named("ScaledJob", "mecapy-large")["spec"]["jobTargetRef"]
    as_a_job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job}
    kubernetes_validate.validate(as_a_job, VERSION, strict=True)


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "keda"], ids=lambda path: path.name)
def test_nothing_is_left_out(folder: Path) -> None:
    """What kustomize applies is every file but the examples of secrets; images are of this
    release.
    """
    (one,) = objects(folder / "kustomization.yaml")
    there = {path.name for path in folder.glob("*.yaml")}
    aside = {"kustomization.yaml", "images.yaml", "secrets.example.yaml"}
    assert set(one["resources"]) == there - aside
    tags = {image["name"]: image["newTag"] for image in one["images"]}
    assert set(tags.values()) == {__version__}
    assert tags.keys() <= {"mecapy-gateway", "mecapy-worker"}


def test_their_settings_exist() -> None:
    """Each variable is a setting that the code knows."""
    named = {name for path in FILES for name in SETTING.findall(path.read_text())}
    assert named - settings_in_code() == set() and len(named) > 10


def variables(name: str) -> set[str]:
    """The variables of a pod's container, from wherever they come."""
    (container,) = PODS[name]["spec"]["containers"]
    found = {one["name"] for one in container.get("env", ())}
    for source in container["envFrom"]:
        for key, kind, data in (
            ("configMapRef", "ConfigMap", "data"),
            ("secretRef", "Secret", "stringData"),
        ):
            if key in source:
                found |= named(kind, source[key]["name"])[data].keys()
    return found


@pytest.mark.parametrize(
    ("pod", "service"),
    [
        ("mecapy-gateway", "gateway"), ("mecapy-worker", "worker"),
        ("mecapy-large", "worker"), ("mecapy-migrate", "migrate"),
    ],
)  # fmt: skip
def test_they_set_what_compose_sets(pod: str, service: str) -> None:
    """Whatever a part is given by the compose file, the pod is given; a worker no gateway's
    token.
    """
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    assert compose["services"][service]["environment"].keys() <= variables(pod)
    assert ("MECAPY_TOKEN" in variables(pod)) == (service == "gateway")


@pytest.mark.parametrize("name", PODS)
def test_pods_ask_for_no_right(name: str) -> None:
    """They fit the `restricted` standard, and write only where a volume is."""
    spec = PODS[name]["spec"]
    (container,) = spec["containers"]
    user = (ROOT / "worker/Dockerfile").read_text()
    assert f"USER {spec['securityContext']['runAsUser']}\n" in user
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    assert "memory" in container["resources"]["limits"]


def test_they_wait_for_what_ends() -> None:
    """A pod gets longer to end than its settings say that it takes, and its disk holds the cache
    and the files of a task and of a short one beside it.
    """
    settings = named("ConfigMap", "mecapy-settings")["data"]
    grace_s, drain_s = float(settings["MECAPY_GRACE_S"]), float(settings["MECAPY_DRAIN_S"])
    for name in ("mecapy-worker", "mecapy-large"):
        assert PODS[name]["spec"]["terminationGracePeriodSeconds"] >= grace_s + 20
    gateway = PODS["mecapy-gateway"]["spec"]
    assert gateway["terminationGracePeriodSeconds"] >= drain_s + 30
    assert gateway["containers"][0]["readinessProbe"]["periodSeconds"] < drain_s
    disk = int(settings["MECAPY_CACHE_BYTES"]) + 2 * Settings().max_disk_bytes
    for name in ("mecapy-worker", "mecapy-large"):
        volumes = {one["name"]: one for one in PODS[name]["spec"]["volumes"]}
        assert disk < int(volumes["tmp"]["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 2**30


def test_the_classes_are_those_of_the_scalers(tmp_path: Path) -> None:
    """The gateway can read their file; bounds, sizes and names agree with what KEDA runs."""
    path = tmp_path / "machines.toml"
    path.write_text(named("ConfigMap", "mecapy-machines")["data"]["machines.toml"])
    pool, large = classes.read(str(path)).classes
    scaled, job = (named("ScaledObject", "mecapy-worker"), named("ScaledJob", "mecapy-large"))
    assert (pool.provider, large.provider) == (classes.KEDA, classes.KEDA)
    assert pool.min == scaled["spec"]["minReplicaCount"]
    assert pool.max == scaled["spec"]["maxReplicaCount"]
    assert large.max == job["spec"]["maxReplicaCount"] and large.on_demand
    assert scaled["spec"]["scaleTargetRef"]["name"] in PODS
    (container,) = PODS["mecapy-large"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert env["MECAPY_MACHINE_CLASS"] == large.name
    assert env["MECAPY_MAX_MEMORY_BYTES"] == str(large.memory_bytes)
    for kind, template in ((pool, "mecapy-worker"), (large, "mecapy-large")):
        (container,) = PODS[template]["spec"]["containers"]
        assert container["resources"]["requests"]["cpu"] == f"{kind.cpus:g}"


@pytest.mark.parametrize(("path", "name"), [(POOL, "pool"), (LARGE, "large")])
def test_what_keda_reads_is_answered(path: Path, name: str) -> None:
    """The trigger reads a field that the route's answer has, asked at the Service, with the Python
    of the image and a token from a secret.
    """
    (trigger,) = objects(path)[0]["spec"]["triggers"]
    asked, place = trigger["metadata"], trigger["metadata"]["valueLocation"].split(".")
    assert place[0] == name and place[1] in ScaleFigures.__slots__
    service = named("Service", "mecapy-gateway")
    python = re.findall(r"ARG PYTHON=(\S+)", (ROOT / "worker/Dockerfile").read_text())[0]
    namespace = objects(FOLDER / "namespace.yaml")[0]["metadata"]["name"]
    host = f"{service['metadata']['name']}.{namespace}.svc:{service['spec']['ports'][0]['port']}"
    assert asked["url"] == f"http://{host}/system/scale?python={python}"
    access = named("TriggerAuthentication", trigger["authenticationRef"]["name"])
    (secret,) = access["spec"]["secretTargetRef"]
    assert secret["key"] in named("Secret", secret["name"])["stringData"]
    assert (secret["parameter"], asked["authMode"]) == ("token", "bearer")
    # KEDA refuses one in a ScaledJob, which its CRD does not say.
    assert trigger.get("metricType") == ("AverageValue" if path == POOL else None)
