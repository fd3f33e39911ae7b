"""A service with backends: its proxy has these, hears of nothing else, and calls to others end as to nobody."""

import pytest

from tests.e2e.traffic_lab import apply, ask, caller, lab, route, service, stat
from tsunagu.testing import CallFailed, Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

LIMITED = "serviceConnectConfiguration: {enabled: true, namespace: lab}"


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        whole = lab(service("blue"), service("green"), service("red"))
        assert LIMITED in whole
        mesh.apply(text=whole.replace(LIMITED, f"{LIMITED}\ntsunagu: {{backends: [blue]}}"))
        mesh.wait_steady()
        yield mesh


def clusters(mesh):
    dump = mesh.envoy(caller(mesh), "/config_dump?resource=dynamic_active_clusters").json()
    return {one["cluster"]["name"] for one in dump["configs"]}


def test_it_has_its_backends_alone(mesh):
    assert clusters(mesh) == {"blackhole", "svc/lab/blue"}
    assert ask(mesh, "http://blue/").text == "blue"
    with pytest.raises(CallFailed):
        ask(mesh, "http://green/")


def test_its_apps_know_the_names_of_its_backends_alone_and_start_without_the_others(mesh):
    hosts = mesh.execute(caller(mesh), "cat", "/etc/hosts").text
    assert "blue" in hosts
    assert "green" not in hosts
    # Who waits for names that never come says so, and starts after a time.
    lines = (mesh.home.root / "log" / "node.log").read_text().splitlines()
    assert not [
        line for line in lines if "containers start before all names are known" in line and caller(mesh) in line
    ]


def test_it_hears_of_no_other_change(mesh):
    before = stat(mesh, "cluster_manager.cds.update_success"), stat(mesh, "cluster.svc/lab/blue.update_success")
    mesh.scale("green", 2)
    mesh.wait_steady()
    mesh.wait_converged()
    assert (
        stat(mesh, "cluster_manager.cds.update_success"),
        stat(mesh, "cluster.svc/lab/blue.update_success"),
    ) == before
    mesh.scale("blue", 2)
    mesh.wait_steady()
    mesh.wait_converged()
    assert stat(mesh, "cluster.svc/lab/blue.update_success") > before[1]


def test_a_route_of_a_backend_leads_where_it_says(mesh):
    apply(mesh, route("lead", "action: {weightedTargets: [{target: green}]}"))
    assert ask(mesh, "http://blue/").text == "green"
    assert clusters(mesh) == {"blackhole", "svc/lab/blue", "svc/lab/green"}
    mesh.delete("Route", "lab/lead")
    mesh.wait_converged()
    assert ask(mesh, "http://blue/").text == "blue"
    mesh.wait_until(lambda: clusters(mesh) == {"blackhole", "svc/lab/blue"}, 60, "the cluster's end")
