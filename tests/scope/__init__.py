"""The specification of a scope, run against one that stands."""
