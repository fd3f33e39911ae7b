"""What clients say: requests are read, measured, and the words of a NACK understood.

Rule: nothing here knows a stream, and nothing of a message outlives it but the values copied out of it.
"""
