"""The REST API: parse, one service call, render.  No handler touches the store."""
