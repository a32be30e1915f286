"""Stand-ins for media, speech and the telephones of a rehearsal: ten thousand calls without a sample of audio.

They are processes of a node like those whose place they take, with the same messages on the same mesh, spares and
deaths; only what would be sound is time. So all else is measured as it is: signalling, calls, journal, events, views.
"""
