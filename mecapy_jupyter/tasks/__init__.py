"""Tasks as Python sees them: one as a Future (`task`), many calls as few tasks (`mapping`, `pace`),
all that one printed (`logs`). Used by `client`.
"""
