"""What runs: the only room with sockets, clocks, disks and processes.

Each kind of process is a package (`launcher edge media speech central desk recorder`), and none imports another; they
share `links`, `audio`, `telemetry` and `config`, and speak with each other in the messages of `protocols.wire`.
"""

__all__: list[str] = []  # import by module: a process loads only what it needs
