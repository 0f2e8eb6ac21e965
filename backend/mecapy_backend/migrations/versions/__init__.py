"""One file per change of the tables, in order. An index of a table that has rows is built beside
its writers, and made anew where an attempt was broken off:

    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_name")
        op.create_index("tasks_name", "tasks", ["name"], postgresql_concurrently=True)
"""
