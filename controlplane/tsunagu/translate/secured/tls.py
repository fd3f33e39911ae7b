"""TLS between proxies: both ends prove who they are, with SPIFFE IDs.

A proxy's own certificate and key are in a file beside its configuration, at a path that is the same in every task, so the
resources here are shared by all; what is trusted comes over ADS. The one rule: TLS 1.3 and nothing else. It has to be said
twice, since Envoy's clients stop at 1.2 unless the maximum is raised as well.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Struct

from tsunagu.translate import names, wire
from tsunagu.translate.codec import pack
from tsunagu.xds.resources import SDS

if TYPE_CHECKING:
    import betterproto2

    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

#: After so long a connection ends, however busy it is, so that a certificate is of use no longer than its life and this.
#: One of HTTP is drained: its requests end, and the caller's proxy, which looks first, takes another.
AGE: Final = timedelta(hours=1)
CALLERS_AGE: Final = timedelta(minutes=55)
#: One of tcp is cut: nobody but the app knows when it could be spared.
TCP_AGE: Final = timedelta(hours=24)

_SOCKET: Final = "envoy.transport_sockets.tls"
#: Relative to the proxy's working directory. Without "./" Envoy refuses it.
_IDENTITY_FILE: Final = "./identity.json"
# How long Envoy waits for the trust bundle; by default one that is missing could hold up a proxy for 15 s.
_FETCH_TIMEOUT: Final = timedelta(seconds=5)
_MATCH: Final = {"mtls": "1"}
_MATCHED_BY: Final = "envoy.transport_socket_match"
_VERSION: Final = tls_v3.TlsParametersTlsProtocol.TLSv1_3


def matches(peers: tuple[str, ...]) -> list[cluster_v3.ClusterTransportSocketMatch]:
    """How a cluster's connections are secured: with TLS to endpoints that are marked so, and not to others.

    `peers`: the SPIFFE IDs of which the server has to prove one; empty: no connection is.
    """
    if not peers:
        return []
    return [
        cluster_v3.ClusterTransportSocketMatch(
            name=names.TLS, match=Struct.from_dict(dict(_MATCH)), transport_socket=_upstream(peers)
        )
    ]


@cache
def endpoint_metadata() -> bytes:
    """The encoded core.v3.Metadata that marks an endpoint at which TLS is spoken."""
    return wire.encode(core_v3.Metadata(filter_metadata={_MATCHED_BY: Struct.from_dict(dict(_MATCH))}))


def downstream(validation: str, protocol: str) -> core_v3.TransportSocket:
    """What an ingress demands: a certificate that the secret `validation` accepts. `protocol`: tcp, http, http2, grpc."""
    common = _common(alpn=("h2", "http/1.1") if protocol != "tcp" else ())
    common.validation_context_sds_secret_config = _secret(validation)
    context = tls_v3.DownstreamTlsContext(common_tls_context=common, require_client_certificate=True)
    return _socket(context)


def trust(codec: Codec, certificates: str) -> Resource:
    """The secret with the certificates (PEM) of all authorities in force."""
    return _validation(codec, names.TRUST, tls_v3.CertificateValidationContext(trusted_ca=_inline(certificates)))


def _upstream(peers: tuple[str, ...]) -> core_v3.TransportSocket:
    common = _common()
    common.combined_validation_context = tls_v3.CommonTlsContextCombinedCertificateValidationContext(
        default_validation_context=tls_v3.CertificateValidationContext(
            match_typed_subject_alt_names=[_uri(matcher_v3.StringMatcher(exact=one)) for one in peers]
        ),
        validation_context_sds_secret_config=_secret(names.TRUST),
    )
    return _socket(tls_v3.UpstreamTlsContext(common_tls_context=common))


def _common(alpn: tuple[str, ...] = ()) -> tls_v3.CommonTlsContext:
    return tls_v3.CommonTlsContext(
        tls_params=tls_v3.TlsParameters(tls_minimum_protocol_version=_VERSION, tls_maximum_protocol_version=_VERSION),
        tls_certificate_sds_secret_configs=[_own()],
        alpn_protocols=list(alpn),
    )


def _own() -> tls_v3.SdsSecretConfig:
    source = core_v3.ConfigSource(
        path_config_source=core_v3.PathConfigSource(path=_IDENTITY_FILE), resource_api_version=core_v3.ApiVersion.V3
    )
    return tls_v3.SdsSecretConfig(name=names.IDENTITY, sds_config=source)


def _secret(name: str) -> tls_v3.SdsSecretConfig:
    source = core_v3.ConfigSource(
        ads=core_v3.AggregatedConfigSource(),
        resource_api_version=core_v3.ApiVersion.V3,
        initial_fetch_timeout=_FETCH_TIMEOUT,
    )
    return tls_v3.SdsSecretConfig(name=name, sds_config=source)


def _validation(codec: Codec, name: str, context: tls_v3.CertificateValidationContext) -> Resource:
    return codec.resource(SDS, name, tls_v3.Secret(name=name, validation_context=context))


def _uri(matcher: matcher_v3.StringMatcher) -> tls_v3.SubjectAltNameMatcher:
    return tls_v3.SubjectAltNameMatcher(san_type=tls_v3.SubjectAltNameMatcherSanType.URI, matcher=matcher)


def _inline(text: str) -> core_v3.DataSource:
    return core_v3.DataSource(inline_string=text)


def _socket(context: betterproto2.Message) -> core_v3.TransportSocket:
    return core_v3.TransportSocket(name=_SOCKET, typed_config=pack(context))
