"""The shapes of App Mesh's requests, as its API's model (2019-01-25) has them.

The one rule: the table is made from that model (tests/unit/appmesh/test_shapes.py compares it with the one that is
installed, and writes it), so that the conversion needs none of AWS's libraries.

A row is a structure and its members: `!` is required, `#` a number, `?` a flag, `>SHAPE` a structure, `[]` a list of what
precedes it; everything else is a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

_MEMBER: Final = re.compile(r"(?P<name>\w+)(?P<kind>[#?]|>\w+)?(?P<many>\[\])?(?P<required>!)?")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure. `kind`: text, number, flag, part; `shape` is that of a part."""

    name: str
    kind: str
    many: bool
    required: bool
    shape: str = ""


@cache
def members(shape: str) -> dict[str, Member]:
    """The members of a structure by name. Raises KeyError if there is no such structure."""
    return {one.name: one for one in map(_member, SHAPES[shape].split())}


def _member(written: str) -> Member:
    match = _MEMBER.fullmatch(written)
    if match is None:
        raise ValueError(f"{written!r} is no member of a shape")
    kind = match["kind"] or ""
    words = {"#": "number", "?": "flag", "": "text"}
    return Member(
        match["name"], words.get(kind, "part"), bool(match["many"]), bool(match["required"]), kind.removeprefix(">")
    )


# What follows is written by the test.
SHAPES: Final[dict[str, str]] = {
    "AccessLog": "file>FileAccessLog",
    "AwsCloudMapInstanceAttribute": "key! value!",
    "AwsCloudMapServiceDiscovery": "attributes>AwsCloudMapInstanceAttribute[] ipPreference namespaceName! serviceName!",
    "Backend": "virtualService>VirtualServiceBackend",
    "BackendDefaults": "clientPolicy>ClientPolicy",
    "ClientPolicy": "tls>ClientPolicyTls",
    "ClientPolicyTls": "certificate>ClientTlsCertificate enforce? ports#[] validation>TlsValidationContext!",
    "ClientTlsCertificate": "file>ListenerTlsFileCertificate sds>ListenerTlsSdsCertificate",
    "CreateGatewayRouteInput": (
        "clientToken gatewayRouteName! meshName! meshOwner spec>GatewayRouteSpec! tags>TagRef[] virtualGatewayName!"
    ),
    "CreateMeshInput": "clientToken meshName! spec>MeshSpec tags>TagRef[]",
    "CreateRouteInput": "clientToken meshName! meshOwner routeName! spec>RouteSpec! tags>TagRef[] virtualRouterName!",
    "CreateVirtualGatewayInput": (
        "clientToken meshName! meshOwner spec>VirtualGatewaySpec! tags>TagRef[] virtualGatewayName!"
    ),
    "CreateVirtualNodeInput": "clientToken meshName! meshOwner spec>VirtualNodeSpec! tags>TagRef[] virtualNodeName!",
    "CreateVirtualRouterInput": (
        "clientToken meshName! meshOwner spec>VirtualRouterSpec! tags>TagRef[] virtualRouterName!"
    ),
    "CreateVirtualServiceInput": (
        "clientToken meshName! meshOwner spec>VirtualServiceSpec! tags>TagRef[] virtualServiceName!"
    ),
    "DnsServiceDiscovery": "hostname! ipPreference responseType",
    "Duration": "unit value#",
    "EgressFilter": "type!",
    "FileAccessLog": "format>LoggingFormat path!",
    "GatewayRouteHostnameMatch": "exact suffix",
    "GatewayRouteHostnameRewrite": "defaultTargetHostname",
    "GatewayRouteSpec": "grpcRoute>GrpcGatewayRoute http2Route>HttpGatewayRoute httpRoute>HttpGatewayRoute priority#",
    "GatewayRouteTarget": "port# virtualService>GatewayRouteVirtualService!",
    "GatewayRouteVirtualService": "virtualServiceName!",
    "GrpcGatewayRoute": "action>GrpcGatewayRouteAction! match>GrpcGatewayRouteMatch!",
    "GrpcGatewayRouteAction": "rewrite>GrpcGatewayRouteRewrite target>GatewayRouteTarget!",
    "GrpcGatewayRouteMatch": "hostname>GatewayRouteHostnameMatch metadata>GrpcGatewayRouteMetadata[] port# serviceName",
    "GrpcGatewayRouteMetadata": "invert? match>GrpcMetadataMatchMethod name!",
    "GrpcGatewayRouteRewrite": "hostname>GatewayRouteHostnameRewrite",
    "GrpcMetadataMatchMethod": "exact prefix range>MatchRange regex suffix",
    "GrpcRetryPolicy": "grpcRetryEvents[] httpRetryEvents[] maxRetries#! perRetryTimeout>Duration! tcpRetryEvents[]",
    "GrpcRoute": "action>GrpcRouteAction! match>GrpcRouteMatch! retryPolicy>GrpcRetryPolicy timeout>GrpcTimeout",
    "GrpcRouteAction": "weightedTargets>WeightedTarget[]!",
    "GrpcRouteMatch": "metadata>GrpcRouteMetadata[] methodName port# serviceName",
    "GrpcRouteMetadata": "invert? match>GrpcRouteMetadataMatchMethod name!",
    "GrpcRouteMetadataMatchMethod": "exact prefix range>MatchRange regex suffix",
    "GrpcTimeout": "idle>Duration perRequest>Duration",
    "HeaderMatchMethod": "exact prefix range>MatchRange regex suffix",
    "HealthCheckPolicy": (
        "healthyThreshold#! intervalMillis#! path port# protocol! timeoutMillis#! unhealthyThreshold#!"
    ),
    "HttpGatewayRoute": "action>HttpGatewayRouteAction! match>HttpGatewayRouteMatch!",
    "HttpGatewayRouteAction": "rewrite>HttpGatewayRouteRewrite target>GatewayRouteTarget!",
    "HttpGatewayRouteHeader": "invert? match>HeaderMatchMethod name!",
    "HttpGatewayRouteMatch": (
        "headers>HttpGatewayRouteHeader[] hostname>GatewayRouteHostnameMatch method path>HttpPathMatch port# "
        "prefix queryParameters>HttpQueryParameter[]"
    ),
    "HttpGatewayRoutePathRewrite": "exact",
    "HttpGatewayRoutePrefixRewrite": "defaultPrefix value",
    "HttpGatewayRouteRewrite": (
        "hostname>GatewayRouteHostnameRewrite path>HttpGatewayRoutePathRewrite prefix>HttpGatewayRoutePrefixRewrite"
    ),
    "HttpPathMatch": "exact regex",
    "HttpQueryParameter": "match>QueryParameterMatch name!",
    "HttpRetryPolicy": "httpRetryEvents[] maxRetries#! perRetryTimeout>Duration! tcpRetryEvents[]",
    "HttpRoute": "action>HttpRouteAction! match>HttpRouteMatch! retryPolicy>HttpRetryPolicy timeout>HttpTimeout",
    "HttpRouteAction": "weightedTargets>WeightedTarget[]!",
    "HttpRouteHeader": "invert? match>HeaderMatchMethod name!",
    "HttpRouteMatch": (
        "headers>HttpRouteHeader[] method path>HttpPathMatch port# prefix queryParameters>HttpQueryParameter[] scheme"
    ),
    "HttpTimeout": "idle>Duration perRequest>Duration",
    "JsonFormatRef": "key! value!",
    "Listener": (
        "connectionPool>VirtualNodeConnectionPool healthCheck>HealthCheckPolicy "
        "outlierDetection>OutlierDetection portMapping>PortMapping! timeout>ListenerTimeout tls>ListenerTls"
    ),
    "ListenerTimeout": "grpc>GrpcTimeout http>HttpTimeout http2>HttpTimeout tcp>TcpTimeout",
    "ListenerTls": "certificate>ListenerTlsCertificate! mode! validation>ListenerTlsValidationContext",
    "ListenerTlsAcmCertificate": "certificateArn!",
    "ListenerTlsCertificate": (
        "acm>ListenerTlsAcmCertificate file>ListenerTlsFileCertificate sds>ListenerTlsSdsCertificate"
    ),
    "ListenerTlsFileCertificate": "certificateChain! privateKey!",
    "ListenerTlsSdsCertificate": "secretName!",
    "ListenerTlsValidationContext": (
        "subjectAlternativeNames>SubjectAlternativeNames trust>ListenerTlsValidationContextTrust!"
    ),
    "ListenerTlsValidationContextTrust": "file>TlsValidationContextFileTrust sds>TlsValidationContextSdsTrust",
    "Logging": "accessLog>AccessLog",
    "LoggingFormat": "json>JsonFormatRef[] text",
    "MatchRange": "end#! start#!",
    "MeshServiceDiscovery": "ipPreference",
    "MeshSpec": "egressFilter>EgressFilter serviceDiscovery>MeshServiceDiscovery",
    "OutlierDetection": "baseEjectionDuration>Duration! interval>Duration! maxEjectionPercent#! maxServerErrors#!",
    "PortMapping": "port#! protocol!",
    "QueryParameterMatch": "exact",
    "RouteSpec": "grpcRoute>GrpcRoute http2Route>HttpRoute httpRoute>HttpRoute priority# tcpRoute>TcpRoute",
    "ServiceDiscovery": "awsCloudMap>AwsCloudMapServiceDiscovery dns>DnsServiceDiscovery",
    "SubjectAlternativeNameMatchers": "exact[]!",
    "SubjectAlternativeNames": "match>SubjectAlternativeNameMatchers!",
    "TagRef": "key! value!",
    "TcpRoute": "action>TcpRouteAction! match>TcpRouteMatch timeout>TcpTimeout",
    "TcpRouteAction": "weightedTargets>WeightedTarget[]!",
    "TcpRouteMatch": "port#",
    "TcpTimeout": "idle>Duration",
    "TlsValidationContext": "subjectAlternativeNames>SubjectAlternativeNames trust>TlsValidationContextTrust!",
    "TlsValidationContextAcmTrust": "certificateAuthorityArns[]!",
    "TlsValidationContextFileTrust": "certificateChain!",
    "TlsValidationContextSdsTrust": "secretName!",
    "TlsValidationContextTrust": (
        "acm>TlsValidationContextAcmTrust file>TlsValidationContextFileTrust sds>TlsValidationContextSdsTrust"
    ),
    "VirtualGatewayAccessLog": "file>VirtualGatewayFileAccessLog",
    "VirtualGatewayBackendDefaults": "clientPolicy>VirtualGatewayClientPolicy",
    "VirtualGatewayClientPolicy": "tls>VirtualGatewayClientPolicyTls",
    "VirtualGatewayClientPolicyTls": (
        "certificate>VirtualGatewayClientTlsCertificate enforce? ports#[] "
        "validation>VirtualGatewayTlsValidationContext!"
    ),
    "VirtualGatewayClientTlsCertificate": (
        "file>VirtualGatewayListenerTlsFileCertificate sds>VirtualGatewayListenerTlsSdsCertificate"
    ),
    "VirtualGatewayConnectionPool": (
        "grpc>VirtualGatewayGrpcConnectionPool http>VirtualGatewayHttpConnectionPool "
        "http2>VirtualGatewayHttp2ConnectionPool"
    ),
    "VirtualGatewayFileAccessLog": "format>LoggingFormat path!",
    "VirtualGatewayGrpcConnectionPool": "maxRequests#!",
    "VirtualGatewayHealthCheckPolicy": (
        "healthyThreshold#! intervalMillis#! path port# protocol! timeoutMillis#! unhealthyThreshold#!"
    ),
    "VirtualGatewayHttp2ConnectionPool": "maxRequests#!",
    "VirtualGatewayHttpConnectionPool": "maxConnections#! maxPendingRequests#",
    "VirtualGatewayListener": (
        "connectionPool>VirtualGatewayConnectionPool healthCheck>VirtualGatewayHealthCheckPolicy "
        "portMapping>VirtualGatewayPortMapping! tls>VirtualGatewayListenerTls"
    ),
    "VirtualGatewayListenerTls": (
        "certificate>VirtualGatewayListenerTlsCertificate! mode! validation>VirtualGatewayListenerTlsValidationContext"
    ),
    "VirtualGatewayListenerTlsAcmCertificate": "certificateArn!",
    "VirtualGatewayListenerTlsCertificate": (
        "acm>VirtualGatewayListenerTlsAcmCertificate file>VirtualGatewayListenerTlsFileCertificate "
        "sds>VirtualGatewayListenerTlsSdsCertificate"
    ),
    "VirtualGatewayListenerTlsFileCertificate": "certificateChain! privateKey!",
    "VirtualGatewayListenerTlsSdsCertificate": "secretName!",
    "VirtualGatewayListenerTlsValidationContext": (
        "subjectAlternativeNames>SubjectAlternativeNames trust>VirtualGatewayListenerTlsValidationContextTrust!"
    ),
    "VirtualGatewayListenerTlsValidationContextTrust": (
        "file>VirtualGatewayTlsValidationContextFileTrust sds>VirtualGatewayTlsValidationContextSdsTrust"
    ),
    "VirtualGatewayLogging": "accessLog>VirtualGatewayAccessLog",
    "VirtualGatewayPortMapping": "port#! protocol!",
    "VirtualGatewaySpec": (
        "backendDefaults>VirtualGatewayBackendDefaults listeners>VirtualGatewayListener[]! "
        "logging>VirtualGatewayLogging"
    ),
    "VirtualGatewayTlsValidationContext": (
        "subjectAlternativeNames>SubjectAlternativeNames trust>VirtualGatewayTlsValidationContextTrust!"
    ),
    "VirtualGatewayTlsValidationContextAcmTrust": "certificateAuthorityArns[]!",
    "VirtualGatewayTlsValidationContextFileTrust": "certificateChain!",
    "VirtualGatewayTlsValidationContextSdsTrust": "secretName!",
    "VirtualGatewayTlsValidationContextTrust": (
        "acm>VirtualGatewayTlsValidationContextAcmTrust file>VirtualGatewayTlsValidationContextFileTrust "
        "sds>VirtualGatewayTlsValidationContextSdsTrust"
    ),
    "VirtualNodeConnectionPool": (
        "grpc>VirtualNodeGrpcConnectionPool http>VirtualNodeHttpConnectionPool "
        "http2>VirtualNodeHttp2ConnectionPool tcp>VirtualNodeTcpConnectionPool"
    ),
    "VirtualNodeGrpcConnectionPool": "maxRequests#!",
    "VirtualNodeHttp2ConnectionPool": "maxRequests#!",
    "VirtualNodeHttpConnectionPool": "maxConnections#! maxPendingRequests#",
    "VirtualNodeServiceProvider": "virtualNodeName!",
    "VirtualNodeSpec": (
        "backendDefaults>BackendDefaults backends>Backend[] listeners>Listener[] logging>Logging "
        "serviceDiscovery>ServiceDiscovery"
    ),
    "VirtualNodeTcpConnectionPool": "maxConnections#!",
    "VirtualRouterListener": "portMapping>PortMapping!",
    "VirtualRouterServiceProvider": "virtualRouterName!",
    "VirtualRouterSpec": "listeners>VirtualRouterListener[]",
    "VirtualServiceBackend": "clientPolicy>ClientPolicy virtualServiceName!",
    "VirtualServiceProvider": "virtualNode>VirtualNodeServiceProvider virtualRouter>VirtualRouterServiceProvider",
    "VirtualServiceSpec": "provider>VirtualServiceProvider",
    "WeightedTarget": "port# virtualNode! weight#!",
}
