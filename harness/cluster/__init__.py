"""A Dask cluster as an engine: what travels (`errand`), what a worker does (`serve`), who gives it work (`engine`)."""
