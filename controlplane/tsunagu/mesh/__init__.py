"""The mesh as proxies should see it, at one revision of the registry: pure, frozen, indexed."""
