"""What a cell's code reads and binds, found without running it. For `capture`.

`bytecode` decodes, `flow` and `uses` follow; `hidden` and `inline` find code that stands in
strings.
"""
