"""The HTTP edge of a node: parse a request, call one service, reply."""
