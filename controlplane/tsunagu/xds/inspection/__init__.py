"""What an operator can see of sessions: how far each proxy is with each type, and with each resource."""
