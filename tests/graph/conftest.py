"""Properties are judged by their results, not by the clock: shared machines stall now and then."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
