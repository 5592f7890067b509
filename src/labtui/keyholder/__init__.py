"""The short-lived process that alone sees a share, a token or the value of a secret.

`holder.py` is the console's side, `process.py` the other one; they speak lines of JSON, and no
secret is ever in one. `operations/` has what that process can do with what it was given.
"""
