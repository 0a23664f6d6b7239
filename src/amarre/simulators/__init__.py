"""Stand-ins for other people's servers, so that everything can be tried without a phone.

Each behaves as the real one was recorded or documented to behave, quirks included, and
has switches for what goes wrong in the field. For `amarre demo`, tests and benches only.
What may not enter: knowledge of our own service. A simulator knows the protocol of the
server that it plays and nothing of who calls it; otherwise tests would prove only that we
agree with ourselves.
"""
