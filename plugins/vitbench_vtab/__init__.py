"""The 19 tasks of VTAB-1k as datasets, and the suite that ranks models over them (Zhai et al. 2019)."""
