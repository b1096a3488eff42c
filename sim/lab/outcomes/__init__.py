"""Every way to answer thousands of questions, measured.

`answering` asks, `outcomes` writes the table, `judged` reads it.
"""
