"""How a person is told: one file a channel (WhatsApp, e-mail, signed webhook, Apprise).

Empty until alerts arrive; the room exists so that nothing else grows into it. What may
not enter: deciding who is told, and storing that he was.
"""
