"""`triptych serve`: the process that a newcomer starts and that answers for all the others.

It holds the listening socket from the first moment to the last, starts one process that holds Ray and the models and
one for each gateway, passes on what they log, starts anew what may be started anew, and ends with a reason where it
cannot go on. It imports neither Ray nor torch's models into itself: what befalls those befalls a child.
"""
