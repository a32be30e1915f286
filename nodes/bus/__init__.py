"""What the cluster knows, over NATS: streams, buckets, objects and leases, and the servers that keep them.

`bus` is a process's end of it; `server` finds and starts the embedded server. What it does not: ask another process
(`nodes.mesh`). Import by module.
"""
