"""From the mesh to Envoy's own messages: what each resource is made of is in docs/translation.md."""
