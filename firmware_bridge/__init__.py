"""The same model as C for microcontrollers, and the link that brings their sound to the host."""
