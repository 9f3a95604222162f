"""Tests of `sms`, in its own shape."""
