"""What operators and their machines see of a node and ask of it, over HTTP and NATS; it runs in the desk process.

roles.py      the roles, and what each may
users.py      the users' file
hashing.py    their secrets at rest
sessions.py   who has signed in, and until when
throttle.py   how often somebody may be wrong
access.py     who asks: by session, by bearer, by the node's token
signin.py     the routes that sign in and out
audit.py      what was done, and by whom
guard.py      what every request passes first
refusals.py   errors as the API tells them
listener.py   how strangers are met: connections, and their limits
places.py     who has a connection, and who gives way
certificate.py  TLS of the server's own
files.py      files that hold secrets
node.py       this node's processes, asked one by one
routes.py     what a route is
api.py        the routes, as one table, and what they answer
openapi.py    the document that describes them, made from the table
do_not_call.py  the do-not-call list, over HTTP
forgetting.py   forgetting a person, over HTTP
recordings.py   where a call's recording is, and how it sounds
figures.py    `/metrics`
presence.py   the node's heartbeat, its entry in `rm_nodes`, and the service `ringmaster-node`
"""

__all__: list[str] = []
