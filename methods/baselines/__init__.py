"""The baselines of Wang et al. 2018: random sets, the best of many, class means and k-means."""
