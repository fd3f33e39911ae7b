"""Looks into the bodies of resources: what they refer to, and what gRPC's own clients would refuse."""
