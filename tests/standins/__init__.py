"""Stateful stand-ins for SMS providers: real servers on loopback that speak the wire format."""
