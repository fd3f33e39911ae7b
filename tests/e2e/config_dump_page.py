"""docs/config-dump.md as parts: prose, and what it speaks of, cut out of the config_dump of a real Envoy.

An excerpt says where it is in the dump and which fields of it are shown; what differs from run to run is masked.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tsunagu.lessons.masks import Masks
from tsunagu.lessons.prose import cleaned

ALL = None  # of a field: all that is in it
_VERSION = re.compile(r"(?<=version_info: ).+")
_ADDRESS = re.compile(r"\b10\.88\.\d+\.\d+\b")
_REVISION = re.compile(r"(?<=default/orders/)[0-9a-f]+(?=/)")
_VIRTUAL = re.compile(r"\b127\.255\.\d+\.\d+\b")


@dataclass(frozen=True)
class Excerpt:
    """`section` (Clusters, Listeners, ...) and `field` of the dump; the entry whose resource is called `name` (a regular
    expression); of it the fields in `keep`.
    """

    section: str
    field: str
    name: str
    keep: Any

    def of(self, dump: dict) -> dict:
        sections = [one for one in dump["configs"] if one["@type"].endswith(f".{self.section}ConfigDump")]
        found = [entry for one in sections for entry in one.get(self.field, []) if self._is_meant(entry)]
        assert found, f"the dump has no {self.name!r} in {self.section} {self.field}"
        return kept(found[0], self.keep)

    def _is_meant(self, entry: dict) -> bool:
        names = [
            entry.get("name"),
            *(
                value.get(key)
                for value in entry.values()
                if isinstance(value, dict)
                for key in ("name", "cluster_name")
            ),
        ]
        return any(re.fullmatch(self.name, name) for name in names if name)


@dataclass(frozen=True)
class Part:
    title: str
    text: str
    excerpts: tuple[Excerpt, ...] = ()
    after: str = ""


def kept(value: Any, keep: Any) -> Any:
    """The fields of a message that are shown; of a list, of each of its messages."""
    if keep is ALL:
        return value
    if isinstance(value, list):
        return [kept(one, keep) for one in value]
    missing = [name for name in keep if name not in value]
    assert not missing, f"{missing} are not in {sorted(value)}"
    return {name: kept(value[name], below) for name, below in keep.items()}


def page(dump: dict) -> str:
    """The page, of this dump."""
    masks = Masks()
    parts = [
        "<!-- made by tests/e2e/config_dump_page.py, of a run: TSUNAGU_REWRITE=1 pytest -m e2e tests/e2e/test_config_dump_page.py -->",
        "# One config_dump, explained",
        cleaned(INTRODUCTION),
    ]
    for part in PARTS:
        parts += [f"## {part.title}", cleaned(part.text)]
        parts += [f"```yaml\n{written(excerpt.of(dump), masks)}```" for excerpt in part.excerpts]
        parts += [cleaned(part.after)] if part.after else []
    return "\n\n".join(parts) + "\n"


def written(value: dict, masks: Masks) -> str:
    """As YAML, without what differs from run to run."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 200
    yaml.dump(value, out)
    text = masks(_REVISION.sub("REVISION", out.getvalue()))
    text = _VERSION.sub("the version of this state", text)
    return _VIRTUAL.sub("127.255.0.N", _ADDRESS.sub("10.88.0.N", text))


INTRODUCTION = """
What an Envoy has is what counts, whatever anybody sent it, and `config_dump` is where it says so. A dump is long, for
it holds everything, and it is hard to read as long as one does not know what to look for. This page follows two
requests through the dump of one Envoy: that of a task of `orders` in the shop (`examples/01-shop`), which is called by
`web` and calls `inventory`.

`tsunagu envoy orders '/config_dump?include_eds'` prints the whole of it, of your own run; without `include_eds` the
endpoints are left out. Only what is of interest here is shown below, as YAML. (`tsunagu envoy orders listeners`, `routes`,
`clusters` and `endpoints` make a table of each part, with which one sees more quickly *that* something is missing.)
"""

TYPED = {"@type": ALL}
PARTS = (
    Part(
        "How it is laid out",
        """
        A dump is a list of sections, one for each kind of thing: `BootstrapConfigDump`, `ClustersConfigDump`,
        `EndpointsConfigDump`, `ListenersConfigDump`, `RoutesConfigDump`, `SecretsConfigDump`. In each, what the Envoy was
        started with is *static*, and what came over xDS *dynamic*: it has the version in which it came.

        The only thing that this Envoy was started with is the way to its control plane:
        """,
        (
            Excerpt(
                "Clusters",
                "static_clusters",
                "xds.*|control.*",
                {"cluster": {"name": ALL, "type": ALL}},
            ),
        ),
    ),
    Part(
        "A request to `http://inventory/`: the listeners",
        """
        The app calls `inventory` on port 80. In its task the name stands for an address of its own in 127.255.0.0/16, and one
        rule of the task's network leads every connection to such an address to port 15001. There the *capture* listener
        accepts it, the only one of the outgoing ones that is bound to a port:
        """,
        (
            Excerpt(
                "Listeners",
                "dynamic_listeners",
                "capture",
                {
                    "name": ALL,
                    "active_state": {
                        "version_info": ALL,
                        "listener": {"address": ALL, "use_original_dst": ALL, "traffic_direction": ALL},
                    },
                },
            ),
            Excerpt(
                "Listeners",
                "dynamic_listeners",
                "alias/shop/inventory:80",
                {
                    "name": ALL,
                    "active_state": {
                        "version_info": ALL,
                        "listener": {
                            "address": ALL,
                            "filter_chains": {
                                "filters": {
                                    "name": ALL,
                                    "typed_config": {"stat_prefix": ALL, "rds": {"route_config_name": ALL}},
                                }
                            },
                            "bind_to_port": ALL,
                        },
                    },
                },
            ),
        ),
        """
        `use_original_dst` hands the connection to the listener whose address it was meant for: that of the *alias*
        `inventory:80`. It listens at no port (`bind_to_port: false`), so it takes none from the app. Its one filter is the
        HTTP connection manager, and that asks for its routes over RDS, by name.

        `active_state` is what serves. A listener that still waits for something would stand under `warming_state`, and one
        that was refused has an `error_state` with Envoy's words; an entry may have several of them at once.
        """,
    ),
    Part(
        "The route",
        "The name in `route_config_name` leads to this entry:",
        (
            Excerpt(
                "Routes",
                "dynamic_route_configs",
                "alias/shop/inventory:80",
                {
                    "version_info": ALL,
                    "route_config": {
                        "name": ALL,
                        "virtual_hosts": {
                            "domains": ALL,
                            "routes": {
                                "match": ALL,
                                "route": {
                                    "cluster": ALL,
                                    "timeout": ALL,
                                    "retry_policy": {"retry_on": ALL, "num_retries": ALL},
                                },
                            },
                        },
                    },
                },
            ),
        ),
        """
        Every host and every path go to one cluster. Timeouts and retries stand here and not in the listener, since a route
        can change without a connection being cut.

        Without an entry of that name the listener would still warm, for it waits for its routes. If the cluster that the
        route names is missing, requests get a 503 (lesson 4).
        """,
    ),
    Part(
        "The cluster and its endpoints",
        "`cluster` in the route leads to the cluster; and that, being of the type EDS, to the endpoints of its name:",
        (
            Excerpt(
                "Clusters",
                "dynamic_active_clusters",
                "svc/shop/inventory",
                {
                    "version_info": ALL,
                    "cluster": {
                        "name": ALL,
                        "type": ALL,
                        "eds_cluster_config": ALL,
                        "connect_timeout": ALL,
                        "outlier_detection": {"consecutive_5xx": ALL, "base_ejection_time": ALL},
                    },
                },
            ),
            Excerpt(
                "Endpoints",
                "dynamic_endpoint_configs",
                "svc/shop/inventory",
                {
                    "endpoint_config": {
                        "cluster_name": ALL,
                        "endpoints": {
                            "locality": ALL,
                            "lb_endpoints": {"endpoint": {"address": ALL}, "health_status": ALL},
                        },
                    }
                },
            ),
        ),
        """
        Three addresses for three copies, each with the port that callers know. It is not the app that answers there: a rule of
        the copy's network leads what comes to that port to its own Envoy, as the last section shows.

        `health_status` is what the control plane said. Whether an endpoint is ejected for failing, the dump does not tell:
        that is in `/clusters` (`health_flags::/failed_outlier_check`), and in the table of `tsunagu envoy orders endpoints`.

        The clusters are `dynamic_active_clusters`; one that waits for its endpoints would be among
        `dynamic_warming_clusters` (lesson 3).
        """,
    ),
    Part(
        "The other side: a request that comes in",
        """
        `web` calls `orders`, so its Envoy has this task's address among its endpoints, with port 80. The rule leads the
        connection to port 15100, to this listener. Its routes stand in it, for they never change; and they lead to the
        app, on the loopback interface of its task:
        """,
        (
            Excerpt(
                "Listeners",
                "dynamic_listeners",
                "in/default/orders/.*",
                {
                    "name": ALL,
                    "active_state": {
                        "listener": {
                            "address": ALL,
                            "filter_chains": {
                                "filters": {
                                    "typed_config": {
                                        "route_config": {
                                            "virtual_hosts": {
                                                "domains": ALL,
                                                "routes": {"match": ALL, "route": {"cluster": ALL}},
                                            }
                                        }
                                    }
                                }
                            },
                            "traffic_direction": ALL,
                        }
                    },
                },
            ),
            Excerpt(
                "Clusters",
                "dynamic_active_clusters",
                "app/default/orders/.*",
                {
                    "cluster": {
                        "name": ALL,
                        "type": ALL,
                        "load_assignment": {"endpoints": {"lb_endpoints": {"endpoint": {"address": ALL}}}},
                    }
                },
            ),
        ),
        """
        The hash in the names is that of the service revision: a new version of `orders` has listeners and clusters of its
        own. A cluster of the type STATIC holds its endpoints itself, so nothing is asked for over EDS.
        """,
    ),
    Part(
        "What to look at first",
        """
        - A request fails: take its listener, the route that it names, the cluster of that, the endpoints of that, as above,
          and stop where something is missing.
        - A change does not arrive: compare `version_info` with what was sent (`tsunagu proxies orders --diff` does that for all of
          it), and look for `error_state`.
        - An Envoy does not get ready: something is among `dynamic_warming_clusters` or in a `warming_state`; `/init_dump` says
          what it waits for.
        """,
    ),
)
