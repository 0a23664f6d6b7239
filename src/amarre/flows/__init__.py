"""The stories: one file each, all of one shape.

Gather (claim what is due, in a short transaction), ask (the gateway, with no transaction
open), decide (a pure function of `core`), record (state, event and follow-on in one
transaction, on the locked row), act later from what was recorded.

What may not enter: SQL (that is `store`), HTTP (that is `gateways`), and decisions (those
are `core`).
"""
