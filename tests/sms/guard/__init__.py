"""Tests of the pumping guard, as a library."""
