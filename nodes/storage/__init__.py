"""Where recordings are in the long run: encrypted, in a store, for as long as they may be kept.

`names` says what objects are called, `files` what is on the disk, `sealing` and `store` are adapters to two libraries;
`stock` reads whatever there is, `keeper` brings it where it belongs; `process` answers for both.
"""

__all__: list[str] = []
