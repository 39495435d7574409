"""Whole files through a running service: what is asked, in what order, and what is kept if it is interrupted."""
