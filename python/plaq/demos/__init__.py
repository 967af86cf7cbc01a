"""Demonstrations of the command line, one module each; `plaq.demo` lists them."""
