"""What several test modules lean on: servers, builders and stand-ins."""
