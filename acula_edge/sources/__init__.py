"""Where sound comes from: microphones, files, raw PCM on a pipe and packet links.

Import the module you need; `acula_edge.sources.open.open_source` picks one from the command line.
"""
