"""How many examples: few by default, `--hypothesis-profile=long` for many."""

from hypothesis import HealthCheck, settings

# How slow a machine is, and how many of the files grown are readable, is no one's fault.
_SLOW_IS_FINE = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.register_profile("default", _SLOW_IS_FINE, max_examples=200)
settings.register_profile("long", _SLOW_IS_FINE, max_examples=10_000)
settings.load_profile("default")
