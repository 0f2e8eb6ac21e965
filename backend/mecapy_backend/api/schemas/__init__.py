"""What the REST surface takes and gives, as pydantic models by noun; the same shapes as
`mecapy_jupyter.wire`.
"""
