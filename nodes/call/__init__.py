"""What a call is, and what it comes to: pure, and the same wherever it is gone on with.

Nothing here has a clock, a socket, a task or dice (import-linter holds it); `nodes.edge` gives it what happens and does
what it wants.
"""

__all__: list[str] = []  # import by module
