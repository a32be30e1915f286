"""What the supervision kernel costs, measured beside its floor and its peers: `ringmaster bench core`.

Each contender does the same work (`contender.py`) at the same sizes (`field.py`), in fresh processes: contenders in
turns (`round.py`), or one of them with very many children (`crowd.py`). `core.py` holds the promises against the
medians; peers are in `peers/`. Imports the kernel and the standard library only, so that what is measured is not what
else is loaded.
"""
