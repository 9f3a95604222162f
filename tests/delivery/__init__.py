"""Delivery, end to end: the outbox and Twilio's own client, against a stand-in that goes wrong."""
