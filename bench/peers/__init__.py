"""The peers: small drivers for the same job on LangGraph, DBOS and Restate, each as its own docs advise.

Each runs in a virtual environment of its own (places.py), so nothing here is a dependency of the program.
"""
