"""Pure decisions: what facts mean and what to do about them.

Standard library only. No IO, no clock, no log, no randomness: `now` and everything
else come in as arguments, and what is to be done goes out as a value. `flows` carries
it out.
"""
