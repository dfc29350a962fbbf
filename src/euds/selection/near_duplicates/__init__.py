"""Texts that are almost the same: copies, edits, another version of the same passage.

Two texts are compared by their word 3-shingles (Broder 1997, doi:10.1109/SEQUEN.1997.666900): the
Jaccard similarity is the share of the shingles that they have in common. Comparing all pairs would
take too long, so an index of each text's rarest shingles proposes pairs and the exact similarity
decides (the prefix filter: Bayardo, Ma and Srikant 2007, doi:10.1145/1242572.1242591; the bound by
positions: Xiao et al. 2011, doi:10.1145/2000824.2000825). No pair is missed and none is wrong, so
whether two texts make a pair depends on these two texts alone.

Millions of short texts fit: shingles are counted in shards of their hashes, only those that occur
twice are looked at again, and pairs are proposed and compared in blocks.
"""

from euds.selection.near_duplicates.groups import Groups, near_duplicate_groups, near_duplicates_of
from euds.selection.near_duplicates.prefixes import DEFAULT_THRESHOLD
from euds.selection.near_duplicates.standing import stand_ins

__all__ = [
    "DEFAULT_THRESHOLD",
    "Groups",
    "near_duplicate_groups",
    "near_duplicates_of",
    "stand_ins",
]
