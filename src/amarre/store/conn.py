"""What every function of this room is handed: a connection whose rows are dicts."""

from psycopg import AsyncConnection
from psycopg.rows import DictRow

Conn = AsyncConnection[DictRow]
