"""The process: services, store, workers, interceptors, metrics."""
