"""The runtime on fake time: no test here waits for a real second."""
