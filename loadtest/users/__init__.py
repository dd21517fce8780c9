"""Locust users over gRPC on gevent. They run in the processes that Locust runs in, and nowhere else: importing Locust
changes the standard library under whoever does it.

open_loop   a user: its arrivals, and what is timed of each          record   what a run leaves behind, as files
payments    single calls, batches, replays, cancels, wrong input     looks    quotes, routes, status, watching
locustfile  what Locust is started with
"""
