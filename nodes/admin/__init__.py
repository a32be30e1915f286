"""What operators and their machines see of a node and ask of it, over HTTP and NATS; it runs in the desk process.

access.py     who may: the token, and which page may ask
listener.py   how strangers are met: connections, and their limits
places.py     who has a connection, and who gives way
files.py      files that hold secrets
cluster.py    the views of calls, agents and nodes that this process keeps
node.py       this node's processes, asked one by one
api.py        the routes, as one table, and what they answer
openapi.py    the document that describes them, made from the table
figures.py    `/metrics`
presence.py   the node's heartbeat, its entry in `rm_nodes`, and the service `ringmaster-node`
"""

__all__: list[str] = []
