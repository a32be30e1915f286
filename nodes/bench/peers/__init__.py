"""Other people's supervised actors at the same work, for `ringmaster bench core --peers`; none has to be installed."""
