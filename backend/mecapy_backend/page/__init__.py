"""The page at the gateway's `/`: for everybody who may log in, in a browser.

`routes` is its door: one table of its addresses, each with the REST route whose right it needs.
Nothing outside this folder imports more than that table. Nothing here has rights of its own or
writes SQL.
"""
