"""Talking to the gateway: which one (`config`), requests and events (`http`), blobs (`transfer`,
and `direct` to the object store).
"""
