"""The desk: agents and phones at browsers. The process that holds an agent's connection is the authority on them.

process.py    the process: seats, HTTP server, what operators see
seats.py      which seats there are, and what edges and media say about them
seat.py       what all seats have: a page, a call, the audio between them
agent.py      an agent's seat: `protocols.agent` and a page
phone.py      a browser that the robot calls
waiting.py    callers who wait for a seat
control.py    what page and desk say to each other on the WebSocket, as one table
browser.py    one WebSocket
web.py        pages and sockets on the HTTP server
pages/        the pages: HTML and JavaScript, as they are
"""

__all__: list[str] = []
