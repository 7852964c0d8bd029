"""Other libraries' interfaces on the engine, for programs that were written for them.

``llama_cpp`` has the high-level interface of llama-cpp-python.
"""
