"""ECDS and SDS: what a proxy refuses of what comes to its task, as the AccessPolicies of the service say.

| port | who refuses | what its caller gets |
|---|---|---|
| http, http2, grpc | the HTTP filter `access/...` (RBAC) | 403, or gRPC's PERMISSION_DENIED |
| tcp | the TLS handshake, by the names in the secret `admitted/...` | the connection ends before the app knows of it |

A network filter could refuse tcp connections too, but only after Envoy has connected to the app, whose greeting would get out;
it only counts here (`audited/...`). Two rules: the names and defaults that stand in a listener say nothing of any policy, so no
policy touches a listener; and what is missing refuses (an RBAC filter without policies denies all; a secret never has an empty
list of names, which would admit everybody of the CA).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.rbac import v3 as rbac_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.rbac import v3 as http_rbac_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.filters.network.rbac import v3 as network_rbac_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from tsunagu.mesh.access.words import AMBIGUOUS, Principal
from tsunagu.translate import names
from tsunagu.translate.clusters import FETCH_TIMEOUT, ads
from tsunagu.translate.codec import pack
from tsunagu.xds.resources import ECDS, SDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.access.words import AccessRule, Admission, Requests
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

#: The name that no certificate has: a secret for nobody.
NOBODY: Final = "spiffe://nobody.invalid/"
_HTTP_RBAC: Final = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_NETWORK_RBAC: Final = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"


@dataclass(frozen=True, slots=True)
class PortAccess:
    """The inputs of what one port of a service refuses. `service`: CLUSTER/SERVICE."""

    service: str
    port_name: str
    admission: Admission
    trust_domain: str

    @property
    def port(self) -> tuple[str, str]:
        return self.service, self.port_name


@dataclass(frozen=True, slots=True)
class PortAdmitted:
    """The inputs of a tcp port's secret. `bundle`: the certificates of the CAs in force, in PEM."""

    access: PortAccess
    bundle: str


# -- what stands in listeners -----------------------------------------------------------------------------------------


def http_filter(service: str, port_name: str) -> hcm_v3.HttpFilter:
    """The filter that refuses requests. Its listener waits for it for 5 s, and without it refuses everything."""
    return hcm_v3.HttpFilter(
        name=names.access(service, port_name), config_discovery=_discovered(_HTTP_RBAC, _deny_everything())
    )


def network_filter(service: str, port_name: str) -> listener_v3.Filter:
    """The filter that counts the connections to a tcp port which an audited policy would refuse. It refuses none."""
    name = names.audited(service, port_name)
    return listener_v3.Filter(
        name=name, config_discovery=_discovered(_NETWORK_RBAC, pack(_network(port_name, None, "")))
    )


def _discovered(type_url: str, default: Any) -> core_v3.ExtensionConfigSource:
    return core_v3.ExtensionConfigSource(config_source=ads(FETCH_TIMEOUT), default_config=default, type_urls=[type_url])


@cache
def _deny_everything() -> Any:
    return pack(http_rbac_v3.Rbac(rules=rbac_v3.Rbac()))


# -- what policies say ------------------------------------------------------------------------------------------------


def build_http(codec: Codec, row: PortAccess) -> Resource:
    """The RBAC filter of an http, http2 or grpc port. Without rules it takes everything, with empty ones nothing."""
    admission, name = row.admission, names.access(row.service, row.port_name)
    config = http_rbac_v3.Rbac(
        rules=None if admission.open else _rules(admission.rules, row.trust_domain),
        shadow_rules=_rules(admission.shadow, row.trust_domain) if admission.audited else None,
    )
    return codec.resource(ECDS, name, core_v3.TypedExtensionConfig(name=name, typed_config=pack(config)))


def build_network(codec: Codec, row: PortAccess) -> Resource:
    """The filter of a tcp port that counts what an audited policy would refuse."""
    name = names.audited(row.service, row.port_name)
    config = _network(row.port_name, row.admission, row.trust_domain)
    return codec.resource(ECDS, name, core_v3.TypedExtensionConfig(name=name, typed_config=pack(config)))


def build_admitted(codec: Codec, row: PortAdmitted) -> Resource:
    """The secret of a tcp port: whose certificates are taken, by which CAs."""
    access = row.access
    name = names.admitted(access.service, access.port_name)
    context = tls_v3.CertificateValidationContext(
        trusted_ca=core_v3.DataSource(inline_bytes=row.bundle.encode()),
        match_typed_subject_alt_names=[
            tls_v3.SubjectAltNameMatcher(san_type=tls_v3.SubjectAltNameMatcherSanType.URI, matcher=matcher)
            for matcher in _admitted(access.admission, access.trust_domain)
        ],
    )
    return codec.resource(SDS, name, tls_v3.Secret(name=name, validation_context=context))


def _admitted(admission: Admission, trust_domain: str) -> list[matcher_v3.StringMatcher]:
    """Whom a tcp port takes: everybody of the trust domain, those whom rules admit, or nobody."""
    everybody = matcher_v3.StringMatcher(prefix=f"spiffe://{trust_domain}/")
    if admission.open:
        return [everybody]
    principals = dict.fromkeys(one for rule in _of_connections(admission.rules) for one in rule.principals)
    if any(one.anyone for one in principals):
        return [everybody]
    return [_identity(one, trust_domain) for one in principals] or [matcher_v3.StringMatcher(exact=NOBODY)]


def _network(port_name: str, admission: Admission | None, trust_domain: str) -> network_rbac_v3.Rbac:
    audited = admission is not None and admission.audited
    return network_rbac_v3.Rbac(
        stat_prefix=f"tcp.{names.ingress_stat_prefix(port_name)}.",
        shadow_rules=_rules(_of_connections(admission.shadow), trust_domain) if admission and audited else None,
    )


def _of_connections(rules: Iterable[AccessRule]) -> Iterable[AccessRule]:
    """The rules that say nothing of requests. Others allow no connection, and Envoy would refuse them there."""
    return (rule for rule in rules if not rule.requests)


def _rules(rules: Iterable[AccessRule], trust_domain: str) -> rbac_v3.Rbac:
    return rbac_v3.Rbac(policies={rule.name: _policy(rule, trust_domain) for rule in rules})


def _policy(rule: AccessRule, trust_domain: str) -> rbac_v3.Policy:
    return rbac_v3.Policy(
        permissions=[_permission(one) for one in rule.requests] or [rbac_v3.Permission(any=True)],
        principals=[_principal(one, trust_domain) for one in rule.principals],
    )


def _principal(principal: Principal, trust_domain: str) -> rbac_v3.Principal:
    if principal.anyone:
        return rbac_v3.Principal(any=True)
    return rbac_v3.Principal(
        authenticated=rbac_v3.PrincipalAuthenticated(principal_name=_identity(principal, trust_domain))
    )


def _identity(principal: Principal, trust_domain: str) -> matcher_v3.StringMatcher:
    whole = f"spiffe://{trust_domain}{principal.path}"
    return matcher_v3.StringMatcher(prefix=whole) if principal.below else matcher_v3.StringMatcher(exact=whole)


def _permission(requests: Requests) -> rbac_v3.Permission:
    rules = []
    if requests.method:
        exactly = matcher_v3.StringMatcher(exact=requests.method)
        rules.append(rbac_v3.Permission(header=route_v3.HeaderMatcher(name=":method", string_match=exactly)))
    if requests.path_kind == "exact":
        rules.append(_path(matcher_v3.StringMatcher(exact=requests.path)))
    if requests.path_kind == "below":
        rules += _below(requests.path)
    if not rules:
        return rbac_v3.Permission(any=True)
    return rules[0] if len(rules) == 1 else rbac_v3.Permission(and_rules=rbac_v3.PermissionSet(rules=rules))


def _below(path: str) -> list[rbac_v3.Permission]:
    """The path and what is below it, in no spelling that an app could read as something else."""
    under = _path(matcher_v3.StringMatcher(prefix=path if path.endswith("/") else path + "/"))
    if not path.endswith("/"):
        itself = _path(matcher_v3.StringMatcher(exact=path))
        under = rbac_v3.Permission(or_rules=rbac_v3.PermissionSet(rules=[itself, under]))
    return [under, rbac_v3.Permission(not_rule=_ambiguous())]


@cache
def _ambiguous() -> rbac_v3.Permission:
    return _path(matcher_v3.StringMatcher(safe_regex=matcher_v3.RegexMatcher(regex=AMBIGUOUS)))


def _path(matcher: matcher_v3.StringMatcher) -> rbac_v3.Permission:
    return rbac_v3.Permission(url_path=matcher_v3.PathMatcher(path=matcher))
