"""The composition root: settings -> Api, providers, controllers -> one running program."""
