"""The simulated agencies: a synthetic county with known truth, served over the protocols such agencies use.

Nothing here names an agency: subjects, fields, codes and protocols come from the contracts.
"""
