"""Where requests go, how often they are tried, what is cut off and what is injected: one model for every dialect."""
