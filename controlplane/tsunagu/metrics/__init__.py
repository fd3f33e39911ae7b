"""The exporter: what Envoys and the control plane have counted, for Prometheus. A process of its own, and a client like any other."""
