"""What processes say to each other, and what the cluster may know: messages, events, names, and their bytes.

Import by module: `messages` (between processes), `campaigns` (to central), `journal` (what central writes down),
`events` (what becomes of calls), `context` (to an agent's desk), `subjects` (names on the bus), `ids`; `codec` and
`envelope` are the mesh's own. Nothing is re-exported here: the launcher needs `ids` and must not load the codec.
"""

__all__: list[str] = []
