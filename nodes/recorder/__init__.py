"""What is remembered: the streams as tables, and what the tables say.

`rows` reads messages, `store` keeps them in DuckDB, `reports` answers for them and hands them out as Parquet; `process`
connects all that to the buses.
"""

from nodes.recorder.store import Row, Store, StoreError, StoreLocked, StoreUnwritable

__all__ = ["Row", "Store", "StoreError", "StoreLocked", "StoreUnwritable"]
