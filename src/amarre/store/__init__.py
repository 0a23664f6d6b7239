"""The only room with SQL: one file a table family, and the ways to a database.

Functions take a connection and `now`, run one statement each (an upper-case constant right
above them) and give back typed values. Nothing is decided here that `core` can decide, no
gateway or channel is spoken to, nothing reads the clock or the settings, and no row leaves
as a dict.
"""
