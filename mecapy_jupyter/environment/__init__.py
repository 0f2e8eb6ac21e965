"""What a cell needs beside its variables: the state around them (`ambient`), the user's own modules
(`modules`), files (`files`).
"""
