"""The specification of a scope, as tests that run against a deployed one."""
