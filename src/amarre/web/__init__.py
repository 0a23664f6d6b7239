"""What browsers and other machines see: pages, the REST API, the functions, the webhook door.

Reads come from `store`, every write is a story of `flows`. What may not enter: SQL,
gateways, decisions. Every route says in its signature who may call it; what says nothing
is refused (tests/shape walks all routes).
"""
