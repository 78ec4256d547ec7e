"""The black box: the last events in a ring of memory that outlives the process, kept on disk only after a death."""
