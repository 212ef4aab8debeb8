"""A real SLURM cluster on one Debian machine, for tests and for trying things out.

Standard library only: the scripts beside this file run before anything is installed.
"""
